"""Filters of the client list: by problem and by state."""

from collections.abc import Callable, Mapping
from datetime import datetime

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import list_filter
from connector_project.core.check_results import Text
from connector_project.operations.tenant_status import TenantStatus, is_denied, today_condition, zones_in_use
from telephony.models import Call
from tenants.models import Employee


def _unlinked(_now: datetime) -> Q:
    return Q(Exists(Employee.objects.filter(tenant=OuterRef("pk")).unlinked()), offboarded_at=None)


def _failed_calls(now: datetime) -> Q:
    failed = Call.objects.filter(today_condition("failed_at", zones_in_use(), now=now), tenant=OuterRef("pk"))
    return Q(Exists(failed))


# A problem, and the condition for clients that have it.
PROBLEMS: Mapping[str, tuple[Text, Callable[[datetime], Q]]] = {
    "uis": (_("access denied by UIS"), lambda _now: is_denied("uis") & Q(offboarded_at=None)),
    "crm": (_("access denied by the CRM"), lambda _now: is_denied("crm") & Q(offboarded_at=None)),
    "no_events": (_("no events"), lambda _now: Q(status=TenantStatus.NO_EVENTS)),
    "unlinked": (_("unlinked employees"), _unlinked),
    "checks": (_("failing checks"), lambda _now: Q(check_run__failed_count__gt=0, offboarded_at=None)),
    "activation": (
        _("activation failed or not started"),
        lambda _now: Q(status__in=[TenantStatus.ACTIVATION_FAILED, TenantStatus.NOT_ACTIVATED]),
    ),
    "calls": (_("calls that failed today"), _failed_calls),
}


ProblemFilter = list_filter(
    _("what is wrong"),
    "wrong",
    choices=lambda: [(name, text) for name, (text, _condition) in PROBLEMS.items()],
    condition=lambda name: PROBLEMS[name][1](timezone.now()),
)
TenantStatusFilter = list_filter(
    _("state"),
    "state",
    choices=lambda: [(state.name, state.label) for state in TenantStatus],
    condition=lambda name: Q(status=TenantStatus[name]),
)
