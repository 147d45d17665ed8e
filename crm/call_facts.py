"""The facts of calls and of ringing phones that a field map reads, as the CRM is to get them."""

from connector_project.core import phone_numbers
from telephony.models import Call
from tenants import erased_numbers
from tenants.field_map.facts import Fact, Facts, Value
from tenants.models import Employee, Tenant

ANSWERED, MISSED = "answered", "missed"


def of_call(call: Call, *, store: str, recording_url: str) -> Facts:
    """Return what is known of a finished call; what is not known is left out."""
    return _known(
        _of_parties(call.contact, call.number, call.employee, direction=call.direction, store=store)
        | {
            Fact.OUTCOME: ANSWERED if call.is_answered else MISSED,
            Fact.TALK_SECONDS: call.talk_seconds,
            Fact.WAIT_SECONDS: call.wait_seconds,
            Fact.RECORDING: recording_url,
            Fact.SOURCE: call.source,
        }
    )


def of_ring(contact: str, number: str, employee: Employee, *, direction: str, store: str) -> Facts:
    """Return what is known while a phone rings."""
    return _known(_of_parties(contact, number, employee, direction=direction, store=store))


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


def _known(facts: dict[Fact, Value]) -> Facts:
    return {fact: value for fact, value in facts.items() if value not in ("", ())}
