"""Who is calling, while it rings: a card for each person whose phone rings, closed at an answer or at the end."""

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
# A card that could not be closed for so long has gone by itself: the CRM's push lives for seconds.
CLOSE_WITHIN = timedelta(minutes=10)
Outcome, Reason = Notification.Outcome, Notification.Reason
ENDS = (Event.CALL_END, Event.LOST_CALL)


def show(stored: Notification, *, now: datetime) -> None:
    """Open the card that a ringing phone calls for, once, or write why not."""
    said = facts.read(stored)
    if not isinstance(said, WaitingCall) or stored.outcome != Outcome.QUEUED:
        return None
    person = facts.employee_of(stored.tenant, said.employee_id)
    reason, detail = _why_not(stored, said, person, now=now)
    if person is None or reason:
        return stored.close(Outcome.DROPPED, reason, detail)
    popup = _open(stored, said, person, now=now)
    if popup is None:
        return stored.close(Outcome.DROPPED, Reason.ALREADY_SHOWN)
    answer = _send(stored, popup)
    # The end may have come while the card was on its way: whoever comes last closes it.
    if popup.state == Popup.State.OPEN:
        _close_if_over(popup, now=now)
    _count_unknown(stored.tenant, answer, now=now)


def close(stored: Notification, *, now: datetime) -> None:
    """Close the cards that an answer or an end leaves without a reason."""
    said = facts.read(stored)
    if stored.outcome != Outcome.QUEUED:
        return None
    if now - stored.received_at > CLOSE_WITHIN:
        return stored.close(Outcome.DROPPED, Reason.STALE)
    open_cards = (
        Popup.objects.filter(
            tenant=stored.tenant, session_id=stored.session_id or 0, state__in=[Popup.State.OPENING, Popup.State.OPEN]
        )
        .select_related("employee", "tenant__crm")
        .order_by("pk")
    )
    match said:
        case TalkStarted():
            happened_at = said.happened_at or stored.received_at
            others = [card for card in open_cards if not _is_own(card, said) and card.rang_at <= happened_at]
            _close_and_note(stored, others, Hangup.ANSWERED, now=now)
        case FinishedCall():
            _close_and_note(stored, list(open_cards), _hangup(said, stored), now=now)


def _why_not(stored: Notification, said: WaitingCall, person: Employee | None, *, now: datetime) -> tuple[str, str]:
    """Return the reason to show no card, with a detail, or ("", "")."""
    tenant = stored.tenant
    late = now - min(stored.received_at, said.happened_at or stored.received_at)
    if not tenant.is_live:
        return Reason.PAUSED, ""
    if late > FRESH:
        return Reason.STALE, f"{late.total_seconds():.0f} s"
    if tenant.crm.denied_at:
        return Reason.CRM_DENIED, tenant.crm.denied_says
    if tenant.crm.keeps_out(is_live=True, now=now):
        return Reason.CRM_AWAY, ""
    if said.employee_id is None:
        return Reason.NO_EMPLOYEE, ""
    if person is None or not (person.extension or person.crm_user_id):
        return Reason.UNKNOWN_EMPLOYEE, str(said.employee_id)
    if over := _is_over(stored.tenant_id, said, stored.received_at):
        return over, ""
    kept_back_by = tenant.rules.choices().keeps_back_popup(_facts(said))
    return (Reason.RULE, kept_back_by) if kept_back_by else ("", "")


def _facts(said: WaitingCall) -> CallFacts:
    return CallFacts(
        direction=said.direction or "in",
        is_answered=False,
        is_internal=said.is_internal,
        contact=said.contact,
        number=said.number,
        employees=(said.employee_id,) if said.employee_id else (),
    )


def _is_over(tenant_id: int, said: WaitingCall, received_at: datetime) -> str:
    """Return why a card would come too late: the call has ended, or somebody else answered this very ring."""
    told = Notification.objects.filter(
        tenant=tenant_id, session_id=said.session_id, event__in=[*ENDS, Event.TALK_STARTED]
    ).values_list("event", "employee_uis_id", "happened_at", "received_at")
    rang_at = said.happened_at or received_at
    for event, employee_id, happened_at, heard_at in told:
        if event in ENDS:
            return Reason.CALL_OVER
        is_a_colleague = employee_id is not None and employee_id != said.employee_id
        if is_a_colleague and (happened_at or heard_at) >= rang_at:
            return Reason.COLLEAGUE_ANSWERED
    return ""


def _open(stored: Notification, said: WaitingCall, person: Employee, *, now: datetime) -> Popup | None:
    """Claim the card of this call and person; None when it is on the screen already."""
    key = {"tenant": stored.tenant, "session_id": said.session_id, "employee": person}
    values = {
        "direction": said.direction or "in",
        "contact": said.contact,
        "number": said.number,
        "code": person.extension,
        "crm_user_id": person.crm_user_id,
        "state": Popup.State.OPENING,
        "rang_at": said.happened_at or stored.received_at,
        "received_at": stored.received_at,
        "sent_at": now,
        "accepted_at": None,
    }
    try:
        with transaction.atomic():
            return Popup.objects.create(**key, **values)
    except IntegrityError:
        # A phone of the same person rings again: a second card only where the first has gone.
        gone = Popup.objects.filter(**key, state__in=[Popup.State.CLOSED, Popup.State.FAILED])
        is_ours = gone.update(**values, hangup="", closed_at=None) == 1
        return Popup.objects.select_related("employee", "tenant__crm").get(**key) if is_ours else None


def _send(stored: Notification, popup: Popup) -> EventAnswer:
    """Make the one attempt, and write on both rows how it ended; return whom the CRM does not know."""
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
    """Count whom the CRM does not know. Comes last: when it fails, the card is on the screen or gone already."""
    for kind, named in ((Stray.Kind.CODE, answer.unknown_codes), (Stray.Kind.USER, answer.unknown_users)):
        if named:
            # In order, so that two workers never wait for each other's rows.
            Stray.count(tenant, kind, tuple(sorted(set(named), key=str)), on=now.astimezone(tenant.zone).date())


def _close_if_over(popup: Popup, *, now: datetime) -> None:
    told = Notification.objects.filter(
        tenant=popup.tenant, session_id=popup.session_id, event__in=[*ENDS, Event.TALK_STARTED]
    ).select_related("tenant__uis")
    for stored in told:
        said = facts.read(stored)
        if isinstance(said, TalkStarted) and not _is_own(popup, said):
            happened_at = said.happened_at or stored.received_at
            if popup.rang_at <= happened_at:
                return _try_to_close([popup], Hangup.ANSWERED, now=now)
        if isinstance(said, FinishedCall):
            return _try_to_close([popup], _hangup(said, stored), now=now)
    return None


def _try_to_close(cards: Sequence[Popup], hangup: Hangup, *, now: datetime) -> None:
    try:
        answer = _hang_up(cards, hangup, now=now)
    except remote.RemoteError as exc:
        Popup.objects.filter(pk__in=[card.pk for card in cards]).update(says=str(exc))
    else:
        _count_unknown(cards[0].tenant, answer, now=now)


def _close_and_note(stored: Notification, cards: Sequence[Popup], hangup: Hangup, *, now: datetime) -> None:
    """Close cards; where the CRM is away, the sweep brings the notification back."""
    if not cards:
        return stored.close(Outcome.DONE)
    if stored.tenant.crm.keeps_out(is_live=True, now=now):
        return None
    try:
        answer = _hang_up(cards, hangup, now=now)
    except remote.RemoteUnavailable as exc:
        Notification.objects.filter(pk=stored.pk).update(detail=str(exc))
    except remote.RemoteError as exc:
        _deny(stored, exc)
        stored.close(Outcome.DROPPED, Reason.CRM_FAILED, str(exc))
    else:
        stored.close(Outcome.DONE)
        _count_unknown(stored.tenant, answer, now=now)
    return None


def _hang_up(cards: Sequence[Popup], hangup: Hangup, *, now: datetime) -> EventAnswer:
    """Tell the CRM once for all the cards of one call."""
    client = clients.crm_client(cards[0].tenant.crm, is_live=True)
    answer = client.send_event(lines.event(EventType.HANGUP, cards, hangup=hangup))
    Popup.objects.filter(pk__in=[card.pk for card in cards]).update(
        state=Popup.State.CLOSED, hangup=hangup.value, closed_at=now
    )
    return answer


def _hangup(said: FinishedCall, stored: Notification) -> Hangup:
    """Say in the CRM's words how the whole call ended."""
    talked = Notification.objects.filter(tenant=stored.tenant, session_id=said.session_id, event=Event.TALK_STARTED)
    is_answered = bool(said.talk_seconds) or said.is_lost is False or talked.exists()
    return Hangup.ANSWERED if is_answered and said.event != Event.LOST_CALL else Hangup.NO_ANSWER


def _is_own(card: Popup, said: Heard) -> bool:
    """Say whether this person answered; where UIS does not say who did, anybody may have, and his card stays."""
    return said.employee_id in {None, card.employee.uis_id}


def _deny(stored: Notification, exc: remote.RemoteError) -> None:
    if isinstance(exc, remote.AccessDenied):
        stored.tenant.crm.deny(exc.code, str(exc), now=timezone.now())
