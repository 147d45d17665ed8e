"""Pop-ups: opened for each employee whose phone rings, closed when the call is answered or ends."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from connector_project.core import http_client, jobs, logging
from crm import call_records, client_factory
from crm.models import Popup, UnknownId
from crm.models.popup import CLOSE_WITHIN
from crm.retailcrm.client import EVENT_RIGHT
from crm.retailcrm.payloads import EventType, Hangup
from crm.retailcrm.types import EventAnswer
from telephony import outgoing_requests
from telephony.calls import sources, stored_events
from telephony.models import Notification
from telephony.models.notification import POPUP_TTL
from telephony.uis.types import AnsweredEvent, CallEvent, EndedEvent, Event, RingingEvent
from telephony.webhooks.process import DONE, Done, Dropped, Outcome, Postponed
from tenants.models import Employee, Tenant
from tenants.transfer_rules import RuleInput

Reason, State = Notification.Reason, Popup.State

logger = logging.logger(__name__)
ENDS = (Event.CALL_END, Event.LOST_CALL)


def apply(tenant: Tenant, event: CallEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Open or close the pop-ups of an event; return how that ended.

    `tenant` is loaded with both connections and the rules; the event is stored and applied to its call.
    """
    with outgoing_requests.kept(tenant.pk, sessions=[event.session_id]):
        match event:
            case RingingEvent():
                return _open(tenant, event, received_at=received_at, now=now)
            case AnsweredEvent() | EndedEvent():
                return _close(tenant, event, received_at=received_at, now=now)
    return Done(Reason.NOTHING_TO_DO)


def _open(tenant: Tenant, event: RingingEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Open the pop-up for a ringing event, once, or return why it was skipped."""
    employee = Employee.objects.filter(tenant=tenant, uis_id=event.employee_id or 0).first()
    dropped = _skipped(tenant, event, employee, received_at=received_at, now=now)
    if employee is None or dropped:
        return dropped or Dropped(Reason.UNKNOWN_EMPLOYEE)
    popup = _create(tenant, event, employee, received_at=received_at, now=now)
    if popup is None:
        return Dropped(Reason.ALREADY_SHOWN)
    return _send(popup, now=now)


def _close(tenant: Tenant, event: AnsweredEvent | EndedEvent, *, received_at: datetime, now: datetime) -> Outcome:
    """Close the pop-ups that an answered or ended event makes obsolete."""
    if now - received_at > CLOSE_WITHIN:
        return Dropped(Reason.STALE)
    of_call = Popup.objects.filter(tenant=tenant, session_id=event.session_id)
    unclosed = of_call.filter(state__in=[State.OPENING, State.OPEN])
    shown = list(unclosed.select_related("employee", "tenant__crm").order_by("pk"))
    if not shown:
        return DONE
    if isinstance(event, EndedEvent):
        hangup = _hangup(tenant, event.session_id)
        return _close_popups(tenant, shown, hangup, now=now) if hangup else Done(Reason.NOTHING_TO_DO)
    answered_at = event.happened_at or received_at
    obsolete = [popup for popup in shown if not _is_own(popup, event) and popup.ringing_at <= answered_at]
    return _close_popups(tenant, obsolete, Hangup.ANSWERED, now=now)


def _skipped(
    tenant: Tenant, event: RingingEvent, employee: Employee | None, *, received_at: datetime, now: datetime
) -> Dropped | None:
    """Return why the pop-up is skipped, or None."""
    age = now - min(received_at, event.happened_at or received_at)
    if not tenant.is_live:
        return Dropped(Reason.PAUSED)
    if age > POPUP_TTL:
        return Dropped(Reason.STALE, f"{age.total_seconds():.0f} s")
    if event.employee_id is None:
        return Dropped(Reason.NO_EMPLOYEE)
    if employee is None or not employee.crm_user_id:
        return Dropped(Reason.NOT_LINKED) if employee else Dropped(Reason.UNKNOWN_EMPLOYEE, str(event.employee_id))
    if obsolete_reason := _obsolete_reason(tenant, event, received_at):
        return Dropped(obsolete_reason)
    if skip_reason := tenant.rules.rule_set().popup_skip_reason(_rule_input(event)):
        return Dropped(Reason.RULE, skip_reason)
    if tenant.crm.is_circuit_open(is_live=True, now=now):
        return Dropped(Reason.CRM_AWAY)
    # Last of all: it may take the one try of a denied right.
    denial = tenant.crm.denial_of(EVENT_RIGHT, now=now) if tenant.crm.denials else None
    return Dropped(Reason.CRM_DENIED, denial.message) if denial else None


def _rule_input(event: RingingEvent) -> RuleInput:
    return RuleInput(
        direction=event.direction or "in",
        is_answered=False,
        is_internal=event.is_of_colleagues,
        contact=event.contact,
        number=event.number,
        employees=(event.employee_id,) if event.employee_id else (),
    )


def _obsolete_reason(tenant: Tenant, event: RingingEvent, received_at: datetime) -> Notification.Reason | None:
    """Return why a pop-up is obsolete: the call has ended, or a colleague answered this ring."""
    ringing_at = event.happened_at or received_at
    hangup, answers = _end_and_answers(tenant, event.session_id)
    if hangup:
        return Reason.CALL_OVER
    for later, at in answers:
        if later.employee_id not in {None, event.employee_id} and at >= ringing_at:
            return Reason.COLLEAGUE_ANSWERED
    return None


def _end_and_answers(tenant: Tenant, session_id: int) -> tuple[Hangup | None, list[tuple[CallEvent, datetime]]]:
    """Return how a call ended, None if it goes on, and its stored answers, each with its time."""
    rows = Notification.objects.filter(
        tenant=tenant, session_id=session_id, event__in=[*ENDS, Event.TALK_STARTED], parsed_event__isnull=False
    ).values_list("parsed_event", "received_at")
    loaded = [(stored_events.load(stored), received_at) for stored, received_at in rows]
    answers = [(one, one.happened_at or at) for one, at in loaded if not isinstance(one, EndedEvent)]
    return _hangup(tenant, session_id) if len(answers) < len(loaded) else None, answers


def _create(
    tenant: Tenant, event: RingingEvent, employee: Employee, *, received_at: datetime, now: datetime
) -> Popup | None:
    """Create the pop-up of this call and employee; None if it is open already."""
    key = {"tenant": tenant, "session_id": event.session_id, "employee": employee}
    values = {
        "direction": event.direction or "in",
        "contact": event.contact,
        "number": event.number,
        "code": tenant.crm.code_of(employee),
        "crm_user_id": employee.crm_user_id,
        "state": State.OPENING,
        "ringing_at": event.happened_at or received_at,
        "received_at": received_at,
        "sent_at": now,
        "accepted_at": None,
    }
    try:
        with transaction.atomic():
            return Popup.objects.create(**key, **values)
    except IntegrityError:
        # The same employee's phone rings again: open the pop-up again only if it has been closed.
        closed = Popup.objects.filter(**key, state__in=[State.CLOSED, State.FAILED])
        is_ours = closed.update(**values, hangup="", closed_at=None) == 1
        return Popup.objects.select_related("employee", "tenant__crm").get(**key) if is_ours else None


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
        popup.save()
        return Dropped(Reason.CRM_FAILED, str(exc))
    popup.state = State.OPEN
    popup.accepted_at = popup.sent_at + timedelta(seconds=time.monotonic() - started)
    popup.unknown = [*answer.unknown_codes, *answer.unknown_users]
    popup.save()
    # The call may have ended while the request was running: whichever task is last closes the pop-up.
    _close_if_obsolete(popup, now=now)
    _count_unknown(popup.tenant, answer, now=now)
    return DONE


def _count_unknown(tenant: Tenant, answer: EventAnswer, *, now: datetime) -> None:
    """Count unknown IDs."""
    try:
        unknown = {UnknownId.Kind.CODE: answer.unknown_codes, UnknownId.Kind.USER: answer.unknown_users}
        if any(unknown.values()):
            UnknownId.record(tenant, unknown, now=now)
    except Exception:
        # The pop-up was sent: a failed count must not send it again.
        logger.exception("unknown ids were not counted", tenant=tenant.slug)


def _close_if_obsolete(popup: Popup, *, now: datetime) -> None:
    hangup, answers = _end_and_answers(popup.tenant, popup.session_id)
    if hangup:
        return _try_to_close(popup, hangup, now=now)
    for event, at in answers:
        if not _is_own(popup, event) and popup.ringing_at <= at:
            return _try_to_close(popup, Hangup.ANSWERED, now=now)
    return None


def _try_to_close(popup: Popup, hangup: Hangup, *, now: datetime) -> None:
    try:
        answer = _send_hangup([popup], hangup)
    except http_client.RemoteError as exc:
        Popup.objects.filter(pk=popup.pk).update(detail=str(exc))
    else:
        _count_unknown(popup.tenant, answer, now=now)


def _close_popups(tenant: Tenant, popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> Outcome:
    """Close pop-ups; if the CRM is unavailable, the sweep retries."""
    if not popups:
        return DONE
    if tenant.crm.is_circuit_open(is_live=True, now=now):
        return Postponed(now + jobs.QUEUED_FOR)
    try:
        answer = _send_hangup(popups, hangup)
    except http_client.RemoteUnavailable as exc:
        return Postponed(now + jobs.QUEUED_FOR, str(exc))
    except http_client.RemoteError as exc:
        tenant.crm.record_denial(exc, now=now)
        return Dropped(Reason.CRM_FAILED, str(exc))
    _count_unknown(tenant, answer, now=now)
    return DONE


def _send_hangup(popups: Sequence[Popup], hangup: Hangup) -> EventAnswer:
    """Send one hangup event for all pop-ups of a call."""
    client = client_factory.crm_client(popups[0].tenant.crm, is_live=True)
    answer = client.send_event(call_records.event(EventType.HANGUP, popups, hangup=hangup))
    Popup.objects.filter(pk__in=[popup.pk for popup in popups]).update(
        state=State.CLOSED, hangup=hangup.value, closed_at=timezone.now()
    )
    return answer


def _hangup(tenant: Tenant, session_id: int) -> Hangup | None:
    """Return how the whole call ended, as the CRM's hangup status; None if it goes on, perhaps after a menu's end."""
    evidence = sources.notified_evidence(tenant, session_id)
    if not evidence.is_over:
        return None
    end = evidence.ends[-1]
    has_talk = (
        end.talk_seconds or end.is_lost is False or any(one.event == Event.TALK_STARTED for one in evidence.events)
    )
    return Hangup.ANSWERED if has_talk and end.event != Event.LOST_CALL else Hangup.NO_ANSWER


def _is_own(popup: Popup, event: CallEvent) -> bool:
    """Return whether this employee answered; if UIS does not say who did, any may have, so theirs stays open."""
    return event.employee_id in {None, popup.employee.uis_id}
