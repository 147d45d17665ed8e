"""What must be right at the end beside the calls: links made by hand, the module in the CRM, incidents, pages."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from connector_project.operations.models import Incident
from telephony.models import Call
from tenants.models import Employee
from tests.chaos.scenario import GroundTruth
from tests.chaos.tenants import ChaosTenant

# Of one cause and client. A vendor that fails twice in an hour is one cause that comes back.
MOST_INCIDENTS = 3
# Calls whose notifications were refused are found by the reconciliation of every ten minutes.
FOUND_WITHIN = timedelta(minutes=30)


def links(tenants: Iterable[ChaosTenant]) -> Iterator[str]:
    """Yield the links made by hand that are gone."""
    for tenant in tenants:
        now = dict(
            Employee.objects.filter(tenant=tenant.row.pk, linked_by="MANUAL").values_list("uis_id", "crm_user_id")
        )
        for person in tenant.people:
            if person.is_linked_by_hand and now.get(person.uis_id) != person.user_id:
                yield f"{tenant.slug} the link of {person.extension} made by hand is gone"


def modules(tenants: Iterable[ChaosTenant]) -> Iterator[str]:
    """Yield the people whose extension the module in the CRM lacks."""
    for tenant in tenants:
        codes = _codes(tenant)
        for person in tenant.people:
            if person.user_id is not None and codes is not None and codes.get(person.user_id) != person.extension:
                yield f"{tenant.slug} the module in the CRM lacks {person.extension}"


def _codes(tenant: ChaosTenant) -> dict[int, str] | None:
    """Return user and extension as the CRM has them; None if its settings are of the old version."""
    for module in tenant.crm.modules.values():
        codes = module.get("integrations", {}).get("telephony", {}).get("additionalCodes")
        if codes is not None:
            return {int(one["userId"]): str(one["code"]) for one in codes}
    return None


def incidents(rows: Sequence[tuple[int | None, str, str, str]], names: dict[int, str]) -> Iterator[str]:
    """Yield causes with two open incidents, and those that were opened again and again."""
    opened = Counter((tenant_id, kind, reason) for tenant_id, kind, reason, _state in rows)
    unresolved = Counter((tenant_id, kind, reason) for tenant_id, kind, reason, state in rows if state != "RESOLVED")
    for (tenant_id, kind, reason), count in opened.items():
        name = names.get(tenant_id or 0, "all clients")
        if count > MOST_INCIDENTS:
            yield f"{name} {count} incidents of one cause: {kind} {reason}"
        if unresolved[tenant_id, kind, reason] > 1:
            yield f"{name} two open incidents of one cause: {kind} {reason}"


def stored_incidents() -> list[tuple[int | None, str, str, str]]:
    return list(Incident.objects.order_by("pk").values_list("tenant_id", "kind", "reason", "state"))


def not_found(tenants: Iterable[ChaosTenant], truth: GroundTruth) -> Iterator[str]:
    """Yield the calls without a row of ours."""
    for tenant in tenants:
        known = set(Call.objects.filter(tenant=tenant.row.pk).values_list("session_id", flat=True))
        for scenario in truth.calls_of(tenant):
            if scenario.session.session_id not in known:
                yield f"{tenant.slug} {scenario.session.session_id}: the connector has not found it by itself"
