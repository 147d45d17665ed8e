"""The alert rule of employees whose phones ring, but who are linked to no CRM user: no pop-up opens for them."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import Count
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import join_limited
from connector_project.core.redaction import redact
from connector_project.operations.alerts.rule import Context, Rule
from connector_project.operations.models import Incident
from telephony.models import Notification
from telephony.models.notification import POPUP_FAULTS
from telephony.uis.types import Event
from tenants.models import Employee, Tenant

PERIOD = timedelta(days=1)
# A phone that rings once or twice a day may be a test, or a colleague's desk.
LEAST_CALLS = 3
MOST_NAMED = 50

Reason = Notification.Reason
Rung = tuple[int, int]  # client, employee in UIS


class UnlinkedEmployees(Rule):
    kind = Incident.Kind.NOT_LINKED
    resolved_text = _("All employees whose phones ring are linked, or marked as working without the CRM.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        """Find the clients with such employees: which, and in how many calls of the last day they rang."""
        rung = {key: calls for key, calls in _rung(now - PERIOD).items() if calls >= LEAST_CALLS}
        by_client: dict[int, list[tuple[str, int]]] = defaultdict(list)
        known = {(one.tenant_id, one.uis_id): one for one in _staff(rung)}
        for (pk, uis_id), calls in sorted(rung.items(), key=lambda item: -item[1]):
            employee = known.get((pk, uis_id))
            if employee is None or _needs_link(employee):
                by_client[pk].append((str(employee or uis_id), calls))
        for pk, found in by_client.items():
            employees = [{"name": name, "calls": calls} for name, calls in found[:MOST_NAMED]]
            yield self.incident("RUNG", pk, employees=employees, calls=sum(calls for _name, calls in found))

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "Employees whose phones ring have no CRM user, so no pop-ups open for them. In the last day: %(names)s. "
            "Link them on the page “Employee mapping”, or mark them as working without the CRM."
        )
        rows = context.get("employees", ())
        return text % {"names": redact(join_limited(f"{one['name']} – {one['calls']}" for one in rows)) or "–"}


def _rung(since: datetime) -> Counter[Rung]:
    """Count the calls that rang each employee without a CRM user, and so without a pop-up."""
    rings = Notification.objects.filter(
        POPUP_FAULTS,
        reason__in=[Reason.UNKNOWN_EMPLOYEE, Reason.NOT_LINKED],
        event=Event.WAITING,
        received_at__gte=since,
        employee_uis_id__isnull=False,
    )
    counted = rings.order_by().values_list("tenant", "employee_uis_id").annotate(Count("session_id", distinct=True))
    return Counter({(pk, uis_id): calls for pk, uis_id, calls in counted})


def _staff(rung: Counter[Rung] | dict[Rung, int]) -> list[Employee]:
    if not rung:
        return []
    rows = Employee.objects.filter(tenant__in={pk for pk, _id in rung}, uis_id__in={uis_id for _pk, uis_id in rung})
    return list(rows)


def _needs_link(employee: Employee) -> bool:
    is_left_out = employee.is_dismissed or employee.linked_by == Employee.LinkedBy.NOT_NEEDED
    return employee.crm_user_id is None and not is_left_out
