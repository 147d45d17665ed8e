"""The way of each card from the ring to the screen, and who was slow. Pure."""

from datetime import datetime

from django.utils.translation import gettext as _

from crm.models import Popup
from crm.why import words
from crm.why.eyes import Eyes
from crm.why.facts import Facts, Notice
from crm.why.types import CardTimes
from telephony.models import Notification
from telephony.uis.types import WaitingCall

# Slower than this, and the customer has spoken before the card is there.
SLOW_MS = 1000


def of(facts: Facts, eyes: Eyes) -> list[CardTimes]:
    """Return the way of each card, and of each ring that got none."""
    sent = [_sent(card) for card in facts.cards]
    return [*sent, *(_unsent(facts, notice, eyes) for notice in facts.notices if _is_cardless(notice))]


def _sent(card: Popup) -> CardTimes:
    uis, ours = between(card.rang_at, card.received_at), between(card.received_at, card.sent_at)
    crm = between(card.sent_at, card.accepted_at)
    return CardTimes(
        person=str(card.employee),
        state=str(card.get_state_display()),
        rang_at=card.rang_at,
        received_at=card.received_at,
        sent_at=card.sent_at,
        accepted_at=card.accepted_at,
        uis_ms=uis,
        our_ms=ours,
        crm_ms=crm,
        slow=_slow({"UIS": uis, _("the connector"): ours, _("the CRM"): crm}),
    )


def _unsent(facts: Facts, notice: Notice, eyes: Eyes) -> CardTimes:
    stored = notice.stored
    rang_at = stored.happened_at or stored.received_at
    return CardTimes(
        person=facts.name(stored.employee_uis_id) or _("nobody named"),
        state=eyes.text(words.no_card(stored)),
        rang_at=rang_at,
        received_at=stored.received_at,
        uis_ms=between(rang_at, stored.received_at),
    )


def _is_cardless(notice: Notice) -> bool:
    """Whether a ring got no card, and no row of one tells why."""
    reason = notice.stored.reason
    is_dropped = isinstance(notice.said, WaitingCall) and notice.stored.outcome == Notification.Outcome.DROPPED
    told_by_card = {Notification.Reason.ALREADY_SHOWN, Notification.Reason.CRM_FAILED}
    return is_dropped and reason not in told_by_card


def _slow(parts: dict[str, int | None]) -> str:
    known = {name: ms for name, ms in parts.items() if ms is not None}
    slowest = max(known, key=lambda name: known[name], default="")
    return slowest if sum(known.values()) > SLOW_MS else ""


def between(begin: datetime, end: datetime | None) -> int | None:
    """Return the milliseconds from one moment to the other; clocks of two houses may differ, so never below nothing."""
    return None if end is None else max(0, round((end - begin).total_seconds() * 1000))
