"""What transfer rules would have done to the calls of the last day, before somebody saves them."""

from dataclasses import dataclass
from datetime import date, datetime

from django.utils.formats import date_format
from django.utils.translation import gettext

from connector_project.core import local_dates
from telephony.models import Call
from tenants.models import Tenant
from tenants.transfer_rules import RuleSet


@dataclass(frozen=True)
class Forecast:
    """A day whose calls would all have been skipped."""

    day: date
    total: int

    def __str__(self) -> str:
        message = gettext("These rules would skip %(count)d of %(count)d calls of %(day)s: nothing would be uploaded.")
        return message % {"count": self.total, "day": date_format(self.day, "j E")}


def find_day_without_uploads(tenant: Tenant, rules: RuleSet, *, now: datetime) -> Forecast | None:
    """Return yesterday, or the last day with calls, if these rules would have skipped all its calls."""
    today = local_dates.begin(local_dates.day_of(now, zone=tenant.zone), zone=tenant.zone)
    calls = Call.objects.filter(tenant=tenant)
    last = calls.filter(started_at__lt=today).order_by("-started_at").first() or calls.order_by("-started_at").first()
    if last is None:
        return None
    day = local_dates.day_of(last.started_at, zone=tenant.zone)
    since, till = (local_dates.begin(one, zone=tenant.zone) for one in (day, day + local_dates.DAY))
    total = 0
    of_day = calls.filter(started_at__gte=since, started_at__lt=till).select_related("employee", "tenant")
    for call in of_day.defer("uis_snapshot", "recording_url").iterator():
        if call.skipping_rule(rules, now=call.started_at) is None:  # at that moment, so that it is not too old
            return None
        total += 1
    return Forecast(day, total)
