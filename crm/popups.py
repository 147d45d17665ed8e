"""Pop-ups: opened for each employee whose phone rings or who answers, closed when the call is answered or ends."""

import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from connector_project.core import http_client
from connector_project.core.compiled_queries import save_columns
from crm import call_facts, call_records, client_factory, popup_closing, popup_ends
from crm.models import Popup
from crm.models.popup import CLOSE_WITHIN
from crm.popup_statements import NEW, SHOWN
from crm.retailcrm.client import EVENT_RIGHT
from crm.retailcrm.payloads import EventType, Hangup
from telephony import outgoing_requests
from telephony.calls import sources, stored_events
from telephony.calls.evidence import CLICK_TO_CALL_PREFIX, CallEvidence
from telephony.models import Notification, notification_statements
from telephony.models.notification import POPUP_TTL
from telephony.uis.types import AnsweredEvent, CallEvent, EndedEvent, Event, RingingEvent
from telephony.webhooks.process import DONE, Done, Dropped, Outcome
from tenants.field_map.apply import applied
from tenants.field_map.facts import Fact
from tenants.field_map.targets import Record
from tenants.models import Employee, Tenant
from tenants.rules import POPUP_FIELDS
from tenants.rules import PopupChoice as Choice
from tenants.transfer_rules import RuleInput

Reason, State = Notification.Reason, Popup.State
OF_THE_POPUP = {Fact.CONTACT, Fact.NUMBER, Fact.DIRECTION}  # facts that are its columns
SENT_FIELDS = ["state", "detail", "sent_at", "accepted_at", "unknown"]
ENDS = (Event.CALL_END, Event.LOST_CALL)


def apply(tenant: Tenant, event: CallEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Open or close the pop-ups of an event; return how that ended.

    `tenant` is loaded with both connections and the rules; the event is stored and applied to its call.
    """
    with outgoing_requests.kept(tenant.pk, sessions=[event.session_id]):
        match event:
            case RingingEvent():
                return _open(tenant, event, received_at=received_at, now=now)
            case AnsweredEvent():
                return _answer(tenant, event, received_at=received_at, now=now)
            case EndedEvent():
                return _end(tenant, event, received_at=received_at, now=now)
    return Done(Reason.NOTHING_TO_DO)


def _answer(tenant: Tenant, event: AnsweredEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Close the pop-ups of the others; open that of who answered, if theirs opens then."""
    if now - received_at > CLOSE_WITHIN:
        return Dropped(Reason.STALE)
    shown, answered_at = _shown(tenant, event), event.happened_at or received_at
    obsolete = [popup for popup in shown if not _is_own(popup, event) and popup.ringing_at <= answered_at]
    closed = popup_closing.close(tenant, obsolete, Hangup.ANSWERED, now=now)
    if closed != DONE or event.employee_id is None or any(_is_own(popup, event) for popup in shown):
        return closed
    own = Employee.objects.filter(tenant=tenant, uis_id=event.employee_id).values_list("popup", flat=True).first()
    choices = {own} if own else {tenant.rules.popup_incoming, tenant.rules.popup_outgoing}
    return _open(tenant, event, received_at=received_at, now=now) if Choice.ON_ANSWER in choices else closed


def _end(tenant: Tenant, event: EndedEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Close the pop-ups of a call that is over."""
    if now - received_at > CLOSE_WITHIN:
        return Dropped(Reason.STALE)
    if not (shown := _shown(tenant, event)):
        return DONE
    return popup_ends.end(tenant, event.session_id, shown, now=now)


def _shown(tenant: Tenant, event: CallEvent) -> list[Popup]:
    return SHOWN.fetch(tenant=tenant.pk, session=event.session_id)


def _open(tenant: Tenant, event: RingingEvent | AnsweredEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Open the pop-up of who is rung, or has answered, once; or return why it was skipped."""
    at = event.happened_at or received_at
    if unwanted := _unwanted(tenant, event, age=now - min(received_at, at)):
        return unwanted
    employee, own_numbers = sources.find_parties(tenant, event.employee_id or 0, [event.contact])
    if employee is None or not employee.crm_user_id:
        return Dropped(Reason.NOT_LINKED) if employee else Dropped(Reason.UNKNOWN_EMPLOYEE, str(event.employee_id))
    stored = _Stored.load(tenant, event.session_id)
    call = rule_input(event, own_numbers, functools.partial(stored.evidence, tenant, event, own_numbers))
    choice = employee.popup or getattr(tenant.rules, POPUP_FIELDS[call.direction])
    if isinstance(event, AnsweredEvent) and choice != Choice.ON_ANSWER:
        return DONE
    if stored.is_over:
        return Dropped(Reason.CALL_OVER)
    if stored.has_colleague_answered(event.employee_id, since=at):
        return Dropped(Reason.COLLEAGUE_ANSWERED)
    if skipped := _skipped(tenant, event, call, employee, choice, now=now):
        return skipped
    popup = _create(tenant, event, employee, call, at=at, received_at=received_at, now=now)
    return _send(popup, now=now) if popup else Dropped(Reason.ALREADY_SHOWN)


def _unwanted(tenant: Tenant, event: CallEvent, *, age: timedelta) -> Dropped | None:
    """Return why no pop-up opens, whatever is known of the call."""
    if not tenant.is_live:
        return Dropped(Reason.PAUSED)
    if age > POPUP_TTL:
        return Dropped(Reason.STALE, f"{age.total_seconds():.0f} s")
    return Dropped(Reason.NO_EMPLOYEE) if event.employee_id is None else None


def rule_input(
    event: RingingEvent | AnsweredEvent, own_numbers: Collection[str], load_evidence: Callable[[], CallEvidence]
) -> RuleInput:
    """Return the call as the rules see it at its end, as far as it is known now.

    A ring that names an outside party and a direction says all; else all events are asked, as at the end.
    """
    says_all = isinstance(event, RingingEvent) and event.contact and event.number and not event.is_of_colleagues
    direction = "out" if event.external_id.startswith(CLICK_TO_CALL_PREFIX) else event.direction
    known = {"contact": event.contact, "number": event.number, "is_internal": event.is_of_colleagues}
    facts: Mapping[str, Any] = known
    if not (says_all and direction) or event.contact in own_numbers:
        facts = load_evidence().fields()
        direction = facts["direction"]
    values = {name: facts[name] for name in ("contact", "number", "is_internal")}
    return RuleInput(
        direction=direction or "in",
        is_answered=isinstance(event, AnsweredEvent),
        employees=(event.employee_id,) if event.employee_id else (),
        **values,
    )


def _skipped(
    tenant: Tenant,
    event: RingingEvent | AnsweredEvent,
    call: RuleInput,
    employee: Employee,
    choice: str,
    *,
    now: datetime,
) -> Dropped | None:
    """Return why the pop-up of this call is skipped: by the rules, or because the CRM would not take it."""
    if skip_reason := tenant.rule_set.popup_skip_reason(call, shows=choice != Choice.OFF):
        detail = Notification.rule_detail(skip_reason, tenant.current_version, own=employee.popup)
        return Dropped(Reason.RULE, detail)
    if isinstance(event, RingingEvent) and choice == Choice.ON_ANSWER:
        return Dropped(Reason.ON_ANSWER, Notification.rule_detail("", tenant.current_version, own=employee.popup))
    if tenant.crm.is_circuit_open(is_live=True, now=now):
        return Dropped(Reason.CRM_AWAY)
    # Last of all: it may take the one try of a denied right.
    denial = tenant.crm.denial_of(EVENT_RIGHT, now=now) if tenant.crm.denials else None
    return Dropped(Reason.CRM_DENIED, denial.message) if denial else None


def _create(
    tenant: Tenant,
    event: CallEvent,
    employee: Employee,
    call: RuleInput,
    *,
    at: datetime,
    received_at: datetime,
    now: datetime,
) -> Popup | None:
    """Create the pop-up of this call and employee; None if it is open already."""
    key = {"tenant": tenant, "session_id": event.session_id, "employee": employee}
    values = {
        "direction": call.direction,
        "contact": call.contact,
        "number": call.number,
        "code": tenant.crm.code_of(employee),
        "crm_user_id": employee.crm_user_id,
        "state": State.OPENING,
        "rule_version": tenant.current_version,
        **_filled(tenant, employee, call),
        "ringing_at": at,
        "received_at": received_at,
        "sent_at": now,
        "accepted_at": None,
    }
    popup = Popup(**key, **values)
    if NEW.insert_new([popup]):
        return popup
    # The same employee's phone rings again: open the pop-up again only if it has been closed.
    closed = Popup.objects.filter(**key, state__in=[State.CLOSED, State.FAILED])
    is_ours = closed.update(**values, hangup="", closed_at=None, close_by=None, closing_until=None) == 1
    return Popup.objects.select_related("employee", "tenant__crm").get(**key) if is_ours else None


def _filled(tenant: Tenant, employee: Employee, call: RuleInput) -> dict[str, Any]:
    """Return what the field map fills in a pop-up, without the phone, which is the contact; and what decided it."""
    field_map, store = tenant.rules.field_map, call_records.site(tenant.crm, call.number)
    needed, direction = field_map.needs(Record.POPUP), call.direction
    static = call_facts.of_number(tenant, call.number, needed=needed)
    facts = call_facts.of_ring(call.contact, call.number, employee, direction=direction, store=store, static=static)
    filled = applied(field_map, Record.POPUP, facts, salt="").values
    read = {str(fact): facts[fact] for fact in needed & facts.keys() - OF_THE_POPUP}
    decided_by = {
        "choice": employee.popup,
        "opened": "answer" if call.is_answered else "",
        "facts": read if field_map.rows else {},
        "store": store if store != filled.get("site", "") else "",
    }
    return {
        "filled": {name: value for name, value in filled.items() if name != "phone"},
        "decided_by": {name: value for name, value in decided_by.items() if value},
    }


def _send(popup: Popup, *, now: datetime) -> Outcome:
    """Send the pop-up once, and store on its row what the CRM answered."""
    event = call_records.event(EventType.OUT if popup.direction == "out" else EventType.IN, [popup])
    popup.sent_at = timezone.now()
    started = time.monotonic()
    try:
        answer = client_factory.crm_client(popup.tenant.crm, is_live=True).send_event(event)
    except http_client.RemoteError as exc:
        popup.tenant.crm.record_denial(exc, now=now)
        popup.state, popup.detail = State.FAILED, str(exc)
        save_columns(popup, SENT_FIELDS)
        return Dropped(Reason.CRM_FAILED, str(exc))
    popup.state = State.OPEN
    popup.accepted_at = popup.sent_at + timedelta(seconds=time.monotonic() - started)
    popup.unknown = [*answer.unknown_codes, *answer.unknown_users]
    save_columns(popup, SENT_FIELDS)
    # The call may have ended while the request was running: whichever task is last closes the pop-up.
    _close_if_obsolete(popup, now=now)
    if popup.unknown:
        popup_closing.count_unknown(popup.tenant, answer, now=now)
    return DONE


def _close_if_obsolete(popup: Popup, *, now: datetime) -> None:
    stored = _Stored.load(popup.tenant, popup.session_id)
    if stored.is_over:
        popup_ends.end_opened(popup, stored.events, now=now)
    elif stored.has_colleague_answered(popup.employee.uis_id, since=popup.ringing_at):
        popup_closing.try_to_close(popup, Hangup.ANSWERED, now=now)


def _is_own(popup: Popup, event: CallEvent) -> bool:
    """Return whether this employee answered; if UIS does not say who did, any may have, so theirs stays open."""
    return event.employee_id in {None, popup.employee.uis_id}


@dataclass(frozen=True)
class _Stored:
    """The stored events of a call, loaded only where they are needed: a ring that tells all needs none."""

    rows: Sequence[tuple[str, Any, datetime]]  # kind, event, received

    @classmethod
    def load(cls, tenant: Tenant, session_id: int) -> "_Stored":
        """Read the events of a call. One query."""
        return cls(notification_statements.events_of_call(tenant.pk, session_id))

    @property
    def events(self) -> list[CallEvent]:
        return [stored_events.load(stored) for _kind, stored, _at in self.rows]

    @property
    def is_over(self) -> bool:
        has_end = any(kind in ENDS for kind, _stored, _at in self.rows)
        return has_end and CallEvidence(self.events, None, ()).is_over

    def has_colleague_answered(self, employee_id: int | None, *, since: datetime) -> bool:
        """Return whether somebody else has answered since; if UIS does not say who did, it may be this employee."""
        rows = ((stored_events.load(stored), at) for kind, stored, at in self.rows if kind == Event.TALK_STARTED)
        answers = [(event.employee_id, event.happened_at or received_at) for event, received_at in rows]
        return any(who not in {None, employee_id} and at >= since for who, at in answers)

    def evidence(self, tenant: Tenant, event: CallEvent, own_numbers: Collection[str]) -> CallEvidence:
        """Return the evidence of all events. Another query only if they name other numbers than this one does."""
        events = [event, *self.events]
        others = {one.contact for one in events} - {event.contact, ""}
        further = sources.find_parties(tenant, 0, others)[1] if others else ()
        return CallEvidence(events, None, {*own_numbers, *further})
