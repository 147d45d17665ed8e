"""The rows an explanation is built from, in a fixed number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm.models import Command, Popup
from telephony.calls import sources
from telephony.calls.evidence import CLICK_TO_CALL_PREFIX, UisSnapshot, load
from telephony.models import Call, CallLogEntry, Notification
from telephony.uis.types import CallEvent, ParsedWebhook
from tenants.models import Employee
from tenants.transfer_rules import SkipReason

# An unreadable notification this close to a call may belong to it.
BEFORE, AFTER = timedelta(minutes=1), timedelta(minutes=10)
UNREADABLE_SHOWN = 20


@dataclass(frozen=True)
class ParsedNotification:
    stored: Notification
    parsed: ParsedWebhook


@dataclass(frozen=True, kw_only=True)
class CallData:
    """All that is known about one call. `call` is loaded with its client (both connections, rules) and employee."""

    call: Call
    notifications: Sequence[ParsedNotification]
    log_entries: Sequence[CallLogEntry]
    popups: Sequence[Popup]
    uis_snapshot: UisSnapshot
    employees: Mapping[int, Employee]
    unreadable: Sequence[Notification]  # unreadable notifications of this client at the time of the call
    click_to_call: Command | None
    setting: str  # the entries of the filter that skipped it
    current_skip_reason: SkipReason | None  # the rule that would skip it today
    now: datetime

    @classmethod
    def load(cls, call: Call, *, now: datetime) -> "CallData":
        of_call = {"tenant": call.tenant_id, "session_id": call.session_id}
        rows = list(Notification.objects.filter(**of_call).order_by("received_at", "pk"))
        for stored in rows:
            stored.tenant = call.tenant
        notifications = [ParsedNotification(stored, sources.parse_stored(stored)) for stored in rows]
        snapshot = load(call.uis_snapshot)
        is_skipped = call.state == Call.State.SKIPPED and call.skip_reason != SkipReason.MANUAL
        return cls(
            call=call,
            notifications=notifications,
            log_entries=list(call.history.all()),
            popups=list(Popup.objects.filter(**of_call).select_related("employee").order_by("ringing_at", "pk")),
            uis_snapshot=snapshot,
            employees=_employees_of(call, notifications, snapshot),
            unreadable=_unreadable(call),
            click_to_call=_click_to_call(call),
            setting=_filter_entries(call),
            current_skip_reason=call.tenant.rules.choices().upload_skip_reason(call.rule_input(now=now))
            if is_skipped
            else None,
            now=now,
        )

    def name(self, uis_id: int | None) -> str:
        """Return an employee's name; "" for None."""
        if uis_id is None:
            return ""
        return str(self.employees.get(uis_id, uis_id))


def _employees_of(
    call: Call, notifications: Sequence[ParsedNotification], snapshot: UisSnapshot
) -> dict[int, Employee]:
    """Return the client's employees that the events, the legs or the call name."""
    employee_ids = {
        notification.parsed.employee_id for notification in notifications if isinstance(notification.parsed, CallEvent)
    }
    employee_ids |= {leg.employee_id for leg in snapshot.legs} | set(call.rung_employee_ids)
    rows = Employee.objects.filter(tenant=call.tenant_id, uis_id__in=[uis_id for uis_id in employee_ids if uis_id])
    return {employee.uis_id: employee for employee in rows}


def _unreadable(call: Call) -> list[Notification]:
    """Return unreadable notifications from that time, those with this call's session first."""
    near = (call.started_at - BEFORE, call.ended_at + AFTER)
    rows = Notification.objects.filter(tenant=call.tenant_id, received_at__range=near)
    found = list(rows.filter(outcome=Notification.Outcome.UNREADABLE).order_by("received_at")[:UNREADABLE_SHOWN])
    return sorted(found, key=lambda stored: not is_about(stored, call))


def is_about(stored: Notification, call: Call) -> bool:
    """Return whether an unreadable notification contains the call's session anywhere."""
    return str(call.session_id) in f"{stored.query} {stored.body}"


def _click_to_call(call: Call) -> Command | None:
    """Return the click in the CRM that started the call."""
    number = call.command_external_id.removeprefix(CLICK_TO_CALL_PREFIX)
    if number == call.command_external_id or not number.isdecimal():
        return None
    return Command.objects.filter(tenant=call.tenant_id, pk=int(number)).select_related("employee").first()


def _filter_entries(call: Call) -> str:
    """Return the entries of the filter that skipped the call; customers' numbers are not listed."""
    rules = call.tenant.rules
    if call.skip_reason == SkipReason.NUMBER:
        return ", ".join(map(str, rules.numbers.all()))
    if call.skip_reason == SkipReason.EMPLOYEE:
        return ", ".join(map(str, rules.employees.all()))
    return ""
