"""The facts of calls and of ringing phones that a field map reads, as the CRM is to get them."""

from collections.abc import Collection, Mapping
from typing import Any

from connector_project.core import phone_numbers
from connector_project.core.compiled_queries import CompiledSelect
from telephony.calls import attribution
from telephony.models import Call
from telephony.uis import call_facts as uis_facts
from tenants import erased_numbers
from tenants.field_map.facts import Fact, Facts, Value
from tenants.models import Employee, Tenant, VirtualNumber

ANSWERED, MISSED = "answered", "missed"
ATTRIBUTION = frozenset(Fact(code) for code in uis_facts.ATTRIBUTION)  # where a call came from


def of_call(call: Call, *, store: str, recording_url: str, needed: Collection[Fact]) -> Facts:
    """Return what is known of a finished call; what is not known is left out.

    Where it came from is read only if one of these facts is `needed`.
    """
    told = _of_columns(call) if ATTRIBUTION.intersection(needed) else {}
    return _known(
        _of_parties(call.contact, call.number, call.employee, direction=call.direction, store=store)
        | {
            Fact.OUTCOME: ANSWERED if call.is_answered else MISSED,
            Fact.TALK_SECONDS: call.talk_seconds,
            Fact.WAIT_SECONDS: call.wait_seconds,
            Fact.RECORDING: recording_url,
            Fact.CUSTOMER: call.crm_customer,
        }
        | told
    )


def of_ring(
    contact: str, number: str, employee: Employee, *, direction: str, store: str, static: Facts | None = None
) -> Facts:
    """Return what is known while a phone rings; `static` is what is known of the virtual number."""
    parties: dict[Any, Value] = {**_of_parties(contact, number, employee, direction=direction, store=store)}
    return _known(parties | dict(static or {}))


def of_number(tenant: Tenant, number: str, *, needed: Collection[Fact]) -> Facts:
    """Return what is known of a virtual number, if one of these facts is `needed`. One query then."""
    found = _STATIC.first(tenant=tenant.pk, number=number) if ATTRIBUTION.intersection(needed) else None
    return as_facts(found[0]) if found else {}


def as_facts(stored: Mapping[str, Value]) -> Facts:
    """Return what is stored as facts: a list of names is one."""
    return {Fact(code): tuple(value) if isinstance(value, list) else value for code, value in stored.items()}


def salt_of(tenant: Tenant) -> str:
    """Return the secret by which a field map of this client hashes; "" if it hashes nothing."""
    return erased_numbers.key_of(tenant.pk) if tenant.rules.field_map.hashes else ""


def _of_parties(
    contact: str, number: str, employee: Employee | None, *, direction: str, store: str
) -> dict[Fact, Value]:
    return {
        Fact.CONTACT: phone_numbers.e164(contact),
        Fact.NUMBER: phone_numbers.e164(number),
        Fact.EMPLOYEE: employee.full_name if employee else "",
        Fact.DIRECTION: direction,
        Fact.STORE: store,
    }


def _of_columns(call: Call) -> dict[Fact, Value]:
    known = attribution.from_columns(attribution.columns_of(call))
    return {Fact(code): found.value for code, found in known.items()}


_STATIC: CompiledSelect[tuple[dict[str, Any]]] = CompiledSelect(
    lambda given: (
        VirtualNumber.objects.filter(tenant=given.integer("tenant"), number=given.text("number"))
        .order_by()
        .values_list("attribution")
    )
)


def _known(facts: Mapping[Any, Value]) -> Facts:
    return {fact: value for fact, value in facts.items() if value not in ("", (), [])}
