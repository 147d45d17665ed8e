"""Pop-ups: opened for each employee whose phone rings, closed when the call is answered or ends."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from connector_project import remote
from crm import clients, lines
from crm.models import Popup, Stray
from crm.retailcrm.types import EventAnswer, EventType, Hangup
from telephony import facts
from telephony.models import Notification
from telephony.uis.types import Event, FinishedCall, Heard, TalkStarted, WaitingCall
from tenants.models import Employee, Tenant
from tenants.transfer import CallFacts

FRESH = timedelta(seconds=10)
# After this, a pop-up has disappeared by itself: the CRM's push lives for seconds.
CLOSE_WITHIN = timedelta(minutes=10)
Outcome, Reason = Notification.Outcome, Notification.Reason
ENDS = (Event.CALL_END, Event.LOST_CALL)


def show(stored: Notification, *, now: datetime) -> None:
    """Open the pop-up for a ringing event, once, or store why it was skipped."""
    parsed = facts.read(stored)
    if not isinstance(parsed, WaitingCall) or stored.outcome != Outcome.QUEUED:
        return None
    person = facts.employee_of(stored.tenant, parsed.employee_id)
    reason, detail = _why_not(stored, parsed, person, now=now)
    if person is None or reason:
        return stored.close(Outcome.DROPPED, reason, detail)
    popup = _open(stored, parsed, person, now=now)
    if popup is None:
        return stored.close(Outcome.DROPPED, Reason.ALREADY_SHOWN)
    answer = _send(stored, popup)
    # The call may have ended while the request was running: whichever task is last closes the pop-up.
    if popup.state == Popup.State.OPEN:
        _close_if_obsolete(popup, now=now)
    _count_unknown(stored.tenant, answer, now=now)


def close(stored: Notification, *, now: datetime) -> None:
    """Close the pop-ups that an answered or ended event makes obsolete."""
    parsed = facts.read(stored)
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
        case TalkStarted():
            happened_at = parsed.happened_at or stored.received_at
            obsolete = [popup for popup in open_popups if not _is_own(popup, parsed) and popup.rang_at <= happened_at]
            _close_popups(stored, obsolete, Hangup.ANSWERED, now=now)
        case FinishedCall():
            _close_popups(stored, list(open_popups), _hangup(parsed, stored), now=now)


def _why_not(stored: Notification, parsed: WaitingCall, person: Employee | None, *, now: datetime) -> tuple[str, str]:
    """Return why the pop-up is skipped, as (reason, detail), or ("", "")."""
    tenant = stored.tenant
    age = now - min(stored.received_at, parsed.happened_at or stored.received_at)
    if not tenant.is_live:
        return Reason.PAUSED, ""
    if age > FRESH:
        return Reason.STALE, f"{age.total_seconds():.0f} s"
    if tenant.crm.denied_at:
        return Reason.CRM_DENIED, tenant.crm.denied_says
    if tenant.crm.keeps_out(is_live=True, now=now):
        return Reason.CRM_AWAY, ""
    if parsed.employee_id is None:
        return Reason.NO_EMPLOYEE, ""
    if person is None or not (person.extension or person.crm_user_id):
        return Reason.UNKNOWN_EMPLOYEE, str(parsed.employee_id)
    if obsolete_reason := _is_over(stored.tenant_id, parsed, stored.received_at):
        return obsolete_reason, ""
    skip_reason = tenant.rules.choices().keeps_back_popup(_facts(parsed))
    return (Reason.RULE, skip_reason) if skip_reason else ("", "")


def _facts(parsed: WaitingCall) -> CallFacts:
    return CallFacts(
        direction=parsed.direction or "in",
        is_answered=False,
        is_internal=parsed.is_internal,
        contact=parsed.contact,
        number=parsed.number,
        employees=(parsed.employee_id,) if parsed.employee_id else (),
    )


def _is_over(tenant_id: int, parsed: WaitingCall, received_at: datetime) -> str:
    """Return why a pop-up is obsolete: the call has ended, or a colleague answered this ring."""
    rows = Notification.objects.filter(
        tenant=tenant_id, session_id=parsed.session_id, event__in=[*ENDS, Event.TALK_STARTED]
    ).values_list("event", "employee_uis_id", "happened_at", "received_at")
    rang_at = parsed.happened_at or received_at
    for event, employee_id, happened_at, received in rows:
        if event in ENDS:
            return Reason.CALL_OVER
        is_a_colleague = employee_id is not None and employee_id != parsed.employee_id
        if is_a_colleague and (happened_at or received) >= rang_at:
            return Reason.COLLEAGUE_ANSWERED
    return ""


def _open(stored: Notification, parsed: WaitingCall, person: Employee, *, now: datetime) -> Popup | None:
    """Create the pop-up of this call and employee; None if it is open already."""
    key = {"tenant": stored.tenant, "session_id": parsed.session_id, "employee": person}
    values = {
        "direction": parsed.direction or "in",
        "contact": parsed.contact,
        "number": parsed.number,
        "code": person.extension,
        "crm_user_id": person.crm_user_id,
        "state": Popup.State.OPENING,
        "rang_at": parsed.happened_at or stored.received_at,
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
    client = clients.crm_client(stored.tenant.crm, is_live=True)
    event = lines.event(EventType.OUT if popup.direction == "out" else EventType.IN, [popup])
    popup.sent_at = timezone.now()
    began = time.monotonic()
    try:
        answer = client.send_event(event)
    except remote.RemoteError as exc:
        _deny(stored, exc)
        popup.state, popup.says = Popup.State.FAILED, str(exc)
        popup.save()
        stored.close(Outcome.DROPPED, Reason.CRM_FAILED, str(exc))
        return EventAnswer()
    popup.state = Popup.State.OPEN
    popup.accepted_at = popup.sent_at + timedelta(seconds=time.monotonic() - began)
    popup.unknown = [*answer.unknown_codes, *answer.unknown_users]
    popup.save()
    stored.close(Outcome.DONE)
    return answer


def _count_unknown(tenant: Tenant, answer: EventAnswer, *, now: datetime) -> None:
    """Count unknown IDs. Called last, so that a failure here does not affect the pop-up."""
    for kind, ids in ((Stray.Kind.CODE, answer.unknown_codes), (Stray.Kind.USER, answer.unknown_users)):
        if ids:
            # Sorted, so that two workers do not deadlock.
            Stray.count(tenant, kind, tuple(sorted(set(ids), key=str)), on=now.astimezone(tenant.zone).date())


def _close_if_obsolete(popup: Popup, *, now: datetime) -> None:
    rows = Notification.objects.filter(
        tenant=popup.tenant, session_id=popup.session_id, event__in=[*ENDS, Event.TALK_STARTED]
    ).select_related("tenant__uis")
    for stored in rows:
        parsed = facts.read(stored)
        if isinstance(parsed, TalkStarted) and not _is_own(popup, parsed):
            happened_at = parsed.happened_at or stored.received_at
            if popup.rang_at <= happened_at:
                return _try_to_close([popup], Hangup.ANSWERED, now=now)
        if isinstance(parsed, FinishedCall):
            return _try_to_close([popup], _hangup(parsed, stored), now=now)
    return None


def _try_to_close(popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> None:
    try:
        answer = _hang_up(popups, hangup, now=now)
    except remote.RemoteError as exc:
        Popup.objects.filter(pk__in=[popup.pk for popup in popups]).update(says=str(exc))
    else:
        _count_unknown(popups[0].tenant, answer, now=now)


def _close_popups(stored: Notification, popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> None:
    """Close pop-ups; if the CRM is unavailable, the sweep retries the notification."""
    if not popups:
        return stored.close(Outcome.DONE)
    if stored.tenant.crm.keeps_out(is_live=True, now=now):
        return None
    try:
        answer = _hang_up(popups, hangup, now=now)
    except remote.RemoteUnavailable as exc:
        Notification.objects.filter(pk=stored.pk).update(detail=str(exc))
    except remote.RemoteError as exc:
        _deny(stored, exc)
        stored.close(Outcome.DROPPED, Reason.CRM_FAILED, str(exc))
    else:
        stored.close(Outcome.DONE)
        _count_unknown(stored.tenant, answer, now=now)
    return None


def _hang_up(popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> EventAnswer:
    """Send one hangup event for all pop-ups of a call."""
    client = clients.crm_client(popups[0].tenant.crm, is_live=True)
    answer = client.send_event(lines.event(EventType.HANGUP, popups, hangup=hangup))
    Popup.objects.filter(pk__in=[popup.pk for popup in popups]).update(
        state=Popup.State.CLOSED, hangup=hangup.value, closed_at=now
    )
    return answer


def _hangup(parsed: FinishedCall, stored: Notification) -> Hangup:
    """Return how the whole call ended, as the CRM's hangup status."""
    talked = Notification.objects.filter(tenant=stored.tenant, session_id=parsed.session_id, event=Event.TALK_STARTED)
    is_answered = bool(parsed.talk_seconds) or parsed.is_lost is False or talked.exists()
    return Hangup.ANSWERED if is_answered and parsed.event != Event.LOST_CALL else Hangup.NO_ANSWER


def _is_own(popup: Popup, parsed: Heard) -> bool:
    """Return whether this employee answered; if UIS does not say who did, any may have, so theirs stays open."""
    return parsed.employee_id in {None, popup.employee.uis_id}


def _deny(stored: Notification, exc: remote.RemoteError) -> None:
    if isinstance(exc, remote.AccessDenied):
        stored.tenant.crm.deny(exc.code, str(exc), now=timezone.now())
