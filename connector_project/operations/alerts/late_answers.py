"""The alert rule of late answers: calls that the CRM shows as missed although somebody talked."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.operations.alerts.rule import Context, Rule
from connector_project.operations.models import Incident
from telephony.models import CallLogEntry, Step
from tenants.models import Tenant

PERIOD = timedelta(days=1)


class LateAnswers(Rule):
    kind = Incident.Kind.LATE_ANSWER
    resolved_text = _("No more answers came too late. The CRM still shows the calls before as missed.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        """Find the late answers of a day, without those before a person resolved the incident: nothing mends a call."""
        since = now - PERIOD
        resolved = Incident.objects.filter(kind=self.kind, resolved_manually=True, resolved_at__gt=since).order_by()
        seen = dict(resolved.values_list("tenant").annotate(Max("resolved_at")))
        late: dict[int, list[datetime]] = defaultdict(list)
        entries = CallLogEntry.objects.filter(step=Step.LATE_ANSWER, at__gt=since).order_by("at")
        for pk, at in entries.values_list("call__tenant", "at"):
            if at > seen.get(pk, since):
                late[pk].append(at)
        for pk, times in late.items():
            yield self.incident("UPLOADED_AS_MISSED", pk, calls=len(times), since=times[0])

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "The CRM shows answered calls as missed: %(calls)s since %(moment)s. UIS reported the talk after the "
            "upload, and the CRM accepts no correction."
        )
        return text % context
