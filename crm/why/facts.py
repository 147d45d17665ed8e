"""The rows an explanation is built from, in a fixed number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm.models import Command, Popup
from telephony import facts
from telephony.models import Attempt, Call, Notification
from telephony.told import ORDERED, Asked, load
from telephony.uis.types import Heard, Said
from tenants.models import Employee
from tenants.transfer import KeptBack

# An unreadable notification this close to a call may belong to it.
BEFORE, AFTER = timedelta(minutes=1), timedelta(minutes=10)
UNREAD_SHOWN = 20


@dataclass(frozen=True)
class Notice:
    stored: Notification
    said: Said


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known about one call. `call` is loaded with its client (both connections, rules) and employee."""

    call: Call
    notices: Sequence[Notice]
    tries: Sequence[Attempt]
    cards: Sequence[Popup]
    asked: Asked
    people: Mapping[int, Employee]
    unread: Sequence[Notification]  # unreadable notifications of this client at the time of the call
    click: Command | None
    setting: str  # the entries of the filter that skipped it
    kept_back_now: KeptBack | None  # the rule that would skip it today
    now: datetime

    @classmethod
    def of(cls, call: Call, *, now: datetime) -> "Facts":
        of_call = {"tenant": call.tenant_id, "session_id": call.session_id}
        rows = list(Notification.objects.filter(**of_call).order_by("received_at", "pk"))
        for stored in rows:
            stored.tenant = call.tenant
        notices = [Notice(stored, facts.read(stored)) for stored in rows]
        asked = load(call.told_by_uis)
        is_skipped = call.state == Call.State.SKIPPED and call.kept_back_by != KeptBack.BY_HAND
        return cls(
            call=call,
            notices=notices,
            tries=list(call.history.all()),
            cards=list(Popup.objects.filter(**of_call).select_related("employee").order_by("rang_at", "pk")),
            asked=asked,
            people=_people(call, notices, asked),
            unread=_unread(call),
            click=_click(call),
            setting=_listed(call),
            kept_back_now=call.tenant.rules.choices().keeps_back_upload(call.facts(now=now)) if is_skipped else None,
            now=now,
        )

    def name(self, uis_id: int | None) -> str:
        """Return an employee's name; "" for None."""
        if uis_id is None:
            return ""
        return str(self.people.get(uis_id, uis_id))


def _people(call: Call, notices: Sequence[Notice], asked: Asked) -> dict[int, Employee]:
    """Return the client's employees that the events, the legs or the call name."""
    named = {notice.said.employee_id for notice in notices if isinstance(notice.said, Heard)}
    named |= {leg.employee_id for leg in asked.legs} | set(call.rung_ids)
    rows = Employee.objects.filter(tenant=call.tenant_id, uis_id__in=[uis_id for uis_id in named if uis_id])
    return {person.uis_id: person for person in rows}


def _unread(call: Call) -> list[Notification]:
    """Return unreadable notifications from that time, those with this call's session first."""
    near = (call.started_at - BEFORE, call.ended_at + AFTER)
    rows = Notification.objects.filter(tenant=call.tenant_id, received_at__range=near)
    found = list(rows.filter(outcome=Notification.Outcome.UNREADABLE).order_by("received_at")[:UNREAD_SHOWN])
    return sorted(found, key=lambda stored: not is_about(stored, call))


def is_about(stored: Notification, call: Call) -> bool:
    """Return whether an unreadable notification contains the call's session anywhere."""
    return str(call.session_id) in f"{stored.query} {stored.body}"


def _click(call: Call) -> Command | None:
    """Return the click in the CRM that started the call."""
    number = call.external_id.removeprefix(ORDERED)
    if number == call.external_id or not number.isdecimal():
        return None
    return Command.objects.filter(tenant=call.tenant_id, pk=int(number)).select_related("employee").first()


def _listed(call: Call) -> str:
    """Return the entries of the filter that skipped the call; customers' numbers are not listed."""
    rules = call.tenant.rules
    if call.kept_back_by == KeptBack.NUMBER:
        return ", ".join(map(str, rules.numbers.all()))
    if call.kept_back_by == KeptBack.EMPLOYEE:
        return ", ".join(map(str, rules.employees.all()))
    return ""
