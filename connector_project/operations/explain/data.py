"""What an explanation is made of: the rows it reads, its parts, and what its reader may see."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from connector_project.core import phone_numbers, redaction
from connector_project.core.check_results import Responsible
from crm.models import Command, Popup
from telephony.calls.evidence import CLICK_TO_CALL_PREFIX, UisSnapshot, load
from telephony.models import Call, CallLogEntry, Notification
from tenants import permissions
from tenants.models import Employee
from tenants.transfer_rules import SkipReason

# An unreadable notification this close to a call may belong to it.
BEFORE, AFTER = timedelta(minutes=1), timedelta(minutes=10)
UNREADABLE_SHOWN = 20
LOCAL = 10  # digits after the country code of Russia, which people also write as 8 or omit


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A stable code, a message, and who is responsible, if anybody has to act."""

    reason: str
    message: str
    responsible: Responsible | None = None
    css_class: str = ""  # style: "bad", "warn", "good", or "" for plain


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    at: datetime
    step: str  # a stable code
    message: str
    ms: int | None = None  # duration
    took_by: str = ""  # the system that took it
    parts: Sequence[tuple[str, str]] = ()  # details: name, value
    raw: str = ""  # as received, without secrets
    is_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class PopupTiming:
    """The times of one pop-up, or why there was none, and how long each system took."""

    person: str
    state: str
    ringing_at: datetime
    received_at: datetime
    sent_at: datetime | None = None
    accepted_at: datetime | None = None
    uis_ms: int | None = None
    our_ms: int | None = None
    crm_ms: int | None = None
    slow: str = ""  # the slow system; empty if none

    @property
    def total_ms(self) -> int | None:
        """From the ring to the pop-up."""
        if self.uis_ms is None or self.our_ms is None or self.crm_ms is None:
            return None
        return self.uis_ms + self.our_ms + self.crm_ms


@dataclass(frozen=True, kw_only=True)
class Explanation:
    diagnosis: Diagnosis
    next: str
    next_at: datetime | None
    warnings: Sequence[Diagnosis] = ()
    timeline: Sequence[TimelineEntry] = ()
    popups: Sequence[PopupTiming] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class CallData:
    """All that is known about one call. `call` is loaded with its client (both connections, rules) and employee."""

    call: Call
    notifications: Sequence[Notification]
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
        notifications = list(Notification.objects.filter(**of_call).order_by("received_at", "pk"))
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
            current_skip_reason=call.tenant.rules.rule_set().upload_skip_reason(call.rule_input(now=now))
            if is_skipped
            else None,
            now=now,
        )

    def name(self, uis_id: int | None) -> str:
        """Return an employee's name; "" for None."""
        if uis_id is None:
            return ""
        return str(self.employees.get(uis_id, uis_id))


def _employees_of(call: Call, notifications: Sequence[Notification], snapshot: UisSnapshot) -> dict[int, Employee]:
    """Return the client's employees that the events, the legs or the call name."""
    employee_ids = {stored.employee_uis_id for stored in notifications}
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


@dataclass(frozen=True)
class Redactor:
    """How numbers, and texts from other systems, are shown to the reader."""

    number: Callable[[str], str]
    text: Callable[[str], str]
    is_unmasked: bool

    def on(self, number: str) -> "Redactor":
        """Return a redactor that also masks this customer's number in texts, in any spelling."""
        if self.is_unmasked or phone_numbers.mask(number) == number:
            return self
        # A remaining country code reveals nothing.
        spellings = re.compile(r"[\s().-]*".join(number[-LOCAL:]))
        mask = f"***{number[-4:]}"
        return replace(self, text=lambda text: spellings.sub(mask, self.text(text)))


MASKED = Redactor(phone_numbers.mask, redaction.redact, is_unmasked=False)
UNMASKED = Redactor(phone_numbers.e164, redaction.redact_secrets, is_unmasked=True)


def redactor_for(user: Any) -> Redactor:
    """Return the redactor for a user of the admin."""
    return UNMASKED if permissions.can_see_full_numbers(user) else MASKED
