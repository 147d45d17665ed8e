"""Pop-ups: opened for each employee whose phone rings, closed when the call is answered or ends."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from connector_project.core import http_client
from crm import call_records, client_factory
from crm.models import Popup, UnknownId
from crm.retailcrm.types import EventAnswer, EventType, Hangup
from telephony.calls import sources
from telephony.models import Notification
from telephony.uis.types import AnsweredEvent, CallEvent, EndedEvent, Event, RingingEvent
from tenants.models import Employee, Tenant
from tenants.transfer_rules import RuleInput

POPUP_TTL = timedelta(seconds=10)
# After this, a pop-up has disappeared by itself: the CRM shows it for seconds only.
CLOSE_WITHIN = timedelta(minutes=10)
Outcome, Reason = Notification.Outcome, Notification.Reason
ENDS = (Event.CALL_END, Event.LOST_CALL)


def open(stored: Notification, *, now: datetime) -> None:  # noqa: A001 -- read as popups.open
    """Open the pop-up for a ringing event, once, or store why it was skipped."""
    parsed = sources.parse_stored(stored)
    if not isinstance(parsed, RingingEvent) or stored.outcome != Outcome.QUEUED:
        return None
    employee = sources.employee_of(stored.tenant, parsed.employee_id)
    reason, detail = _skip_reason(stored, parsed, employee, now=now)
    if employee is None or reason:
        return stored.close(Outcome.DROPPED, reason, detail)
    popup = _open(stored, parsed, employee, now=now)
    if popup is None:
        return stored.close(Outcome.DROPPED, Reason.ALREADY_SHOWN)
    answer = _send(stored, popup)
    # The call may have ended while the request was running: whichever task is last closes the pop-up.
    if popup.state == Popup.State.OPEN:
        _close_if_obsolete(popup, now=now)
    _count_unknown(stored.tenant, answer, now=now)


def close(stored: Notification, *, now: datetime) -> None:
    """Close the pop-ups that an answered or ended event makes obsolete."""
    parsed = sources.parse_stored(stored)
    if stored.outcome != Outcome.QUEUED:
        return None
    if now - stored.received_at > CLOSE_WITHIN:
        return stored.close(Outcome.DROPPED, Reason.STALE)
    open_popups = (
        Popup.objects.filter(
            tenant=stored.tenant, session_id=stored.session_id or 0, state__in=[Popup.State.OPENING, Popup.State.OPEN]
        )
        .select_related("employee", "tenant__crm")
        .order_by("pk")
    )
    match parsed:
        case AnsweredEvent():
            happened_at = parsed.happened_at or stored.received_at
            obsolete = [
                popup for popup in open_popups if not _is_own(popup, parsed) and popup.ringing_at <= happened_at
            ]
            _close_popups(stored, obsolete, Hangup.ANSWERED, now=now)
        case EndedEvent():
            _close_popups(stored, list(open_popups), _hangup(parsed, stored), now=now)


def _skip_reason(
    stored: Notification, parsed: RingingEvent, employee: Employee | None, *, now: datetime
) -> tuple[str, str]:
    """Return why the pop-up is skipped, as (reason, detail), or ("", "")."""
    tenant = stored.tenant
    age = now - min(stored.received_at, parsed.happened_at or stored.received_at)
    if not tenant.is_live:
        return Reason.PAUSED, ""
    if age > POPUP_TTL:
        return Reason.STALE, f"{age.total_seconds():.0f} s"
    if tenant.crm.denied_at:
        return Reason.CRM_DENIED, tenant.crm.denied_detail
    if tenant.crm.is_circuit_open(is_live=True, now=now):
        return Reason.CRM_AWAY, ""
    if parsed.employee_id is None:
        return Reason.NO_EMPLOYEE, ""
    if employee is None or not (employee.extension or employee.crm_user_id):
        return Reason.UNKNOWN_EMPLOYEE, str(parsed.employee_id)
    if obsolete_reason := _obsolete_reason(stored.tenant_id, parsed, stored.received_at):
        return obsolete_reason, ""
    skip_reason = tenant.rules.choices().popup_skip_reason(_facts(parsed))
    return (Reason.RULE, skip_reason) if skip_reason else ("", "")


def _facts(parsed: RingingEvent) -> RuleInput:
    return RuleInput(
        direction=parsed.direction or "in",
        is_answered=False,
        is_internal=parsed.is_internal,
        contact=parsed.contact,
        number=parsed.number,
        employees=(parsed.employee_id,) if parsed.employee_id else (),
    )


def _obsolete_reason(tenant_id: int, parsed: RingingEvent, received_at: datetime) -> str:
    """Return why a pop-up is obsolete: the call has ended, or a colleague answered this ring."""
    rows = Notification.objects.filter(
        tenant=tenant_id, session_id=parsed.session_id, event__in=[*ENDS, Event.TALK_STARTED]
    ).values_list("event", "employee_uis_id", "happened_at", "received_at")
    ringing_at = parsed.happened_at or received_at
    for event, employee_id, happened_at, received in rows:
        if event in ENDS:
            return Reason.CALL_OVER
        is_a_colleague = employee_id is not None and employee_id != parsed.employee_id
        if is_a_colleague and (happened_at or received) >= ringing_at:
            return Reason.COLLEAGUE_ANSWERED
    return ""


def _open(stored: Notification, parsed: RingingEvent, employee: Employee, *, now: datetime) -> Popup | None:
    """Create the pop-up of this call and employee; None if it is open already."""
    key = {"tenant": stored.tenant, "session_id": parsed.session_id, "employee": employee}
    values = {
        "direction": parsed.direction or "in",
        "contact": parsed.contact,
        "number": parsed.number,
        "code": employee.extension,
        "crm_user_id": employee.crm_user_id,
        "state": Popup.State.OPENING,
        "ringing_at": parsed.happened_at or stored.received_at,
        "received_at": stored.received_at,
        "sent_at": now,
        "accepted_at": None,
    }
    try:
        with transaction.atomic():
            return Popup.objects.create(**key, **values)
    except IntegrityError:
        # The same employee's phone rings again: open the pop-up again only if it has been closed.
        closed = Popup.objects.filter(**key, state__in=[Popup.State.CLOSED, Popup.State.FAILED])
        is_ours = closed.update(**values, hangup="", closed_at=None) == 1
        return Popup.objects.select_related("employee", "tenant__crm").get(**key) if is_ours else None


def _send(stored: Notification, popup: Popup) -> EventAnswer:
    """Send the pop-up once and store the outcome on both rows; return the CRM's answer."""
    client = client_factory.crm_client(stored.tenant.crm, is_live=True)
    event = call_records.event(EventType.OUT if popup.direction == "out" else EventType.IN, [popup])
    popup.sent_at = timezone.now()
    started = time.monotonic()
    try:
        answer = client.send_event(event)
    except http_client.RemoteError as exc:
        _deny(stored, exc)
        popup.state, popup.detail = Popup.State.FAILED, str(exc)
        popup.save()
        stored.close(Outcome.DROPPED, Reason.CRM_FAILED, str(exc))
        return EventAnswer()
    popup.state = Popup.State.OPEN
    popup.accepted_at = popup.sent_at + timedelta(seconds=time.monotonic() - started)
    popup.unknown = [*answer.unknown_codes, *answer.unknown_users]
    popup.save()
    stored.close(Outcome.DONE)
    return answer


def _count_unknown(tenant: Tenant, answer: EventAnswer, *, now: datetime) -> None:
    """Count unknown IDs. Called last, so that a failure here does not affect the pop-up."""
    for kind, ids in ((UnknownId.Kind.CODE, answer.unknown_codes), (UnknownId.Kind.USER, answer.unknown_users)):
        if ids:
            # Sorted, so that two workers do not deadlock.
            UnknownId.record(tenant, kind, tuple(sorted(set(ids), key=str)), on=now.astimezone(tenant.zone).date())


def _close_if_obsolete(popup: Popup, *, now: datetime) -> None:
    rows = Notification.objects.filter(
        tenant=popup.tenant, session_id=popup.session_id, event__in=[*ENDS, Event.TALK_STARTED]
    ).select_related("tenant__uis")
    for stored in rows:
        parsed = sources.parse_stored(stored)
        if isinstance(parsed, AnsweredEvent) and not _is_own(popup, parsed):
            happened_at = parsed.happened_at or stored.received_at
            if popup.ringing_at <= happened_at:
                return _try_to_close([popup], Hangup.ANSWERED, now=now)
        if isinstance(parsed, EndedEvent):
            return _try_to_close([popup], _hangup(parsed, stored), now=now)
    return None


def _try_to_close(popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> None:
    try:
        answer = _send_hangup(popups, hangup, now=now)
    except http_client.RemoteError as exc:
        Popup.objects.filter(pk__in=[popup.pk for popup in popups]).update(detail=str(exc))
    else:
        _count_unknown(popups[0].tenant, answer, now=now)


def _close_popups(stored: Notification, popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> None:
    """Close pop-ups; if the CRM is unavailable, the sweep retries the notification."""
    if not popups:
        return stored.close(Outcome.DONE)
    if stored.tenant.crm.is_circuit_open(is_live=True, now=now):
        return None
    try:
        answer = _send_hangup(popups, hangup, now=now)
    except http_client.RemoteUnavailable as exc:
        Notification.objects.filter(pk=stored.pk).update(detail=str(exc))
    except http_client.RemoteError as exc:
        _deny(stored, exc)
        stored.close(Outcome.DROPPED, Reason.CRM_FAILED, str(exc))
    else:
        stored.close(Outcome.DONE)
        _count_unknown(stored.tenant, answer, now=now)
    return None


def _send_hangup(popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> EventAnswer:
    """Send one hangup event for all pop-ups of a call."""
    client = client_factory.crm_client(popups[0].tenant.crm, is_live=True)
    answer = client.send_event(call_records.event(EventType.HANGUP, popups, hangup=hangup))
    Popup.objects.filter(pk__in=[popup.pk for popup in popups]).update(
        state=Popup.State.CLOSED, hangup=hangup.value, closed_at=now
    )
    return answer


def _hangup(parsed: EndedEvent, stored: Notification) -> Hangup:
    """Return how the whole call ended, as the CRM's hangup status."""
    talked = Notification.objects.filter(tenant=stored.tenant, session_id=parsed.session_id, event=Event.TALK_STARTED)
    is_answered = bool(parsed.talk_seconds) or parsed.is_lost is False or talked.exists()
    return Hangup.ANSWERED if is_answered and parsed.event != Event.LOST_CALL else Hangup.NO_ANSWER


def _is_own(popup: Popup, parsed: CallEvent) -> bool:
    """Return whether this employee may have answered; if UIS does not name who answered, any of them may have."""
    return parsed.employee_id in {None, popup.employee.uis_id}


def _deny(stored: Notification, exc: http_client.RemoteError) -> None:
    if isinstance(exc, http_client.AccessDenied):
        stored.tenant.crm.suspend(exc.code, str(exc), now=timezone.now())
