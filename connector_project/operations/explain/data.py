"""What an explanation is made of: the rows it reads, and what its reader may see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Self

from django.db.models import Case, Q, When
from django.utils.translation import gettext as _

from connector_project.core import number_forms, phone_numbers, redaction, secret_redaction
from connector_project.core.untrusted_input import parse_id
from connector_project.operations.explain import labels
from crm.models import Command, Popup
from telephony.calls.evidence import CLICK_TO_CALL_PREFIX, UisSnapshot, load
from telephony.models import Call, CallLogEntry, Notification, OutgoingRequest, RequestedCall
from telephony.uis.types import Event
from telephony.webhooks import unreadable
from tenants import permissions
from tenants.models import Employee
from tenants.rules import POPUP_FIELDS, PopupChoice
from tenants.transfer_rules import SkipReason

Reason = Notification.Reason
# An unreadable notification this close to a call may belong to it.
BEFORE, AFTER = timedelta(minutes=1), timedelta(minutes=10)
LONGEST_DELAY = timedelta(days=1)  # of one that names the call
UNREADABLE_SHOWN = 20
REQUESTS_SHOWN = 50  # the newest
TALK_EVENTS = {Event.TALK_STARTED, Event.TALK_FINISHED, Event.RECORDED}
POPUP_EVENTS = {Event.WAITING, Event.OUTGOING}
# A pop-up that was no longer needed is no fault.
FAULTS = set(Reason) - {
    Reason.CALL_OVER,
    Reason.COLLEAGUE_ANSWERED,
    Reason.ON_ANSWER,
    Reason.ALREADY_SHOWN,
    Reason.NOTHING_TO_DO,
    Reason.SUPERSEDED,
}
# Skips that no rule of today would change: a person chose them.
NOT_BY_RULE = {SkipReason.MANUAL, SkipReason.NOT_IMPORTED}


@dataclass(frozen=True)
class Redactor:
    """How numbers, and texts from other systems, are shown to the reader."""

    number: Callable[[str], str]
    text: Callable[[str], str]
    is_unmasked: bool

    def on(self, number: str) -> "Redactor":
        """Return a redactor that also masks this customer's number in texts, in any spelling."""
        if self.is_unmasked:
            return self
        return replace(self, text=lambda text: number_forms.mask_number(self.text(text), number))


MASKED = Redactor(phone_numbers.mask, redaction.redact, is_unmasked=False)
UNMASKED = Redactor(phone_numbers.e164, secret_redaction.redact_secrets, is_unmasked=True)


def redactor_for(user: Any) -> Redactor:
    """Return the redactor for a user of the admin."""
    return UNMASKED if permissions.can_see_full_numbers(user) else MASKED


@dataclass(frozen=True, kw_only=True)
class CallData:
    """All that is known about one call.

    `call` is loaded with its client (both connections, rules), version and employee.
    """

    call: Call
    notifications: Sequence[Notification]
    log_entries: Sequence[CallLogEntry]
    popups: Sequence[Popup]
    requests: Sequence[OutgoingRequest]
    uis_snapshot: UisSnapshot
    employees: Mapping[int, Employee]
    unreadable: Sequence[Notification]  # unreadable notifications of this client that name the call, or of its time
    click_to_call: Command | None
    setting: str  # of the rule that skipped it
    is_rule_changed: bool  # a rule skipped it, and none would today
    redactor: Redactor
    now: datetime

    @classmethod
    def load(cls, call: Call, *, redactor: Redactor, now: datetime) -> Self:
        of_call = {"tenant": call.tenant_id, "session_id": call.session_id}
        notifications = list(Notification.objects.filter(**of_call).order_by("received_at", "pk"))
        snapshot = load(call.uis_snapshot)
        is_skipped = call.state == Call.State.SKIPPED
        is_by_rule = is_skipped and call.skip_reason not in NOT_BY_RULE
        return cls(
            call=call,
            notifications=notifications,
            log_entries=list(call.history.all()),
            popups=list(
                Popup.objects.filter(**of_call).select_related("employee", "rule_version").order_by("ringing_at", "pk")
            ),
            requests=_requests(call),
            uis_snapshot=snapshot,
            employees=_employees_of(call, notifications, snapshot),
            unreadable=_unreadable(call),
            click_to_call=_click_to_call(call),
            setting=labels.rule_setting(call) if is_skipped else "",
            is_rule_changed=is_by_rule and call.skipping_rule(call.tenant.rule_set, now=now) is None,
            redactor=redactor.on(call.contact),
            now=now,
        )

    @cached_property
    def own_unreadable(self) -> list[Notification]:
        """Unreadable notifications that name this call."""
        return [stored for stored in self.unreadable if unreadable.names(stored, self.call.session_id)]

    @cached_property
    def has_talk(self) -> bool:
        """Whether a notification, the report or a leg tells of a talk, whatever the call was decided by."""
        row, legs = self.uis_snapshot.row, self.uis_snapshot.legs
        parsed = (one.parsed_event["values"] for one in self.notifications if one.parsed_event)
        return (
            any(stored.event in TALK_EVENTS for stored in self.notifications)
            or any(values.get("talk_seconds") for values in parsed)
            or bool(row and row.talk_seconds)
            or any(leg.is_talked for leg in legs)
        )

    @property
    def rings_without_popup(self) -> list[Notification]:
        """Notifications of a ringing phone, or of an answer that should have opened a pop-up, that were dropped."""
        dropped = [stored for stored in self.notifications if stored.outcome == Notification.Outcome.DROPPED]
        return [stored for stored in dropped if self.opens_popup(stored)]

    def opens_popup(self, stored: Notification) -> bool:
        """Return whether a notification was to open a pop-up; that of an answer may have been to close others only."""
        if stored.event in POPUP_EVENTS:
            return True
        is_answer = stored.event == Event.TALK_STARTED and stored.outcome == Notification.Outcome.DROPPED
        is_sent = any(popup.received_at == stored.received_at for popup in self.popups)
        return is_answer and (stored.reason != Reason.CRM_FAILED or is_sent)

    def has_popup(self, stored: Notification) -> bool:
        """Return whether the employee of a notification has had a pop-up in this call."""
        return any(popup.employee.uis_id == stored.employee_uis_id for popup in self.popups)

    @property
    def answers_without_ring(self) -> list[Notification]:
        """Notifications of an answer whose pop-up opens when the phone rings, which UIS did not tell."""
        rung = {stored.employee_uis_id for stored in self.notifications if stored.event in POPUP_EVENTS}
        answers = (one for one in self.notifications if one.event == Event.TALK_STARTED and one.employee_uis_id)
        return [one for one in answers if one.employee_uis_id not in rung and self._opens_on_ring(one)]

    def _opens_on_ring(self, stored: Notification) -> bool:
        employee, rules = self.employees.get(stored.employee_uis_id or 0), self.call.rule_version.value
        of_client = getattr(rules, POPUP_FIELDS.get(self.call.direction, "popup_incoming"))
        return employee is not None and (employee.popup or of_client) == PopupChoice.ON_RING

    def name(self, uis_id: int | None) -> str:
        """Return an employee's name; "" for None."""
        return self.person(self.employees.get(uis_id, uis_id) if uis_id is not None else None)

    def person(self, employee: object) -> str:
        """Return an employee, or an id, as text; "" for None. A name may hold a number."""
        return self.redactor.text(str(employee)) if employee is not None else ""

    def rung_person(self, stored: Notification) -> str:
        """Return the employee whose phone rang, by a notification."""
        return self.name(stored.employee_uis_id) or _("no employee given")


def _employees_of(call: Call, notifications: Sequence[Notification], snapshot: UisSnapshot) -> dict[int, Employee]:
    """Return the client's employees that the events, the legs or the call name."""
    employee_ids = {stored.employee_uis_id for stored in notifications}
    employee_ids |= {leg.employee_id for leg in snapshot.legs} | set(call.rung_employee_ids)
    rows = Employee.objects.filter(tenant=call.tenant_id, uis_id__in=[uis_id for uis_id in employee_ids if uis_id])
    return {employee.uis_id: employee for employee in rows}


def _unreadable(call: Call) -> list[Notification]:
    """Return unreadable notifications that may belong to the call, those that name it first. One query."""
    near = Q(received_at__range=(call.started_at - BEFORE, call.ended_at + AFTER))
    of_days = (call.started_at - LONGEST_DELAY, call.ended_at + LONGEST_DELAY)
    rows = Notification.objects.filter(
        tenant=call.tenant_id, outcome=Notification.Outcome.UNREADABLE, received_at__range=of_days
    )
    found = unreadable.contains(call.session_id)
    ordered = rows.filter(near | found).alias(is_own=Case(When(found, then=0), default=1))
    return list(ordered.order_by("is_own", "received_at")[:UNREADABLE_SHOWN])


def _requests(call: Call) -> list[OutgoingRequest]:
    about = RequestedCall.objects.filter(tenant=call.tenant_id, session_id=call.session_id).values("request")
    rows = OutgoingRequest.objects.filter(pk__in=about).prefetch_related("calls").order_by("-sent_at", "-pk")
    return list(rows[:REQUESTS_SHOWN])


def _click_to_call(call: Call) -> Command | None:
    """Return the click in the CRM that started the call."""
    number = call.command_external_id.removeprefix(CLICK_TO_CALL_PREFIX)
    command_id = None if number == call.command_external_id else parse_id(number)
    if command_id is None:
        return None
    return Command.objects.filter(tenant=call.tenant_id, pk=command_id).select_related("employee").first()
