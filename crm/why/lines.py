"""The time line of a call: what was told, which phones rang, what was asked, sent and answered, in turn. Pure."""

import json
from collections.abc import Iterator

from django.utils.translation import gettext as _

from crm.models import Popup
from crm.why import finish, words
from crm.why.cards import between
from crm.why.eyes import Eyes
from crm.why.facts import Facts, Notice
from crm.why.tries import of_tries
from crm.why.types import Line
from telephony import lamps
from telephony.models import Notification
from telephony.uis.types import CallLeg, Event

Outcome, Reason = Notification.Outcome, Notification.Reason
CARD_EVENTS = {Event.WAITING, Event.OUTGOING}
# That no card was wanted any more is no fault.
FAULTS = set(Reason) - {Reason.CALL_OVER, Reason.COLLEAGUE_ANSWERED, Reason.ALREADY_SHOWN, Reason.NOTHING_TO_DO}


def of(facts: Facts, eyes: Eyes) -> list[Line]:
    """Return all of it, the first thing first."""
    told = [_told(facts, notice, eyes) for notice in facts.notices]
    return sorted(
        [*_clicked(facts, eyes), *_rang(facts, eyes), *told, *_cards(facts, eyes), *of_tries(facts, eyes)],
        key=lambda line: line.at,
    )


def _clicked(facts: Facts, eyes: Eyes) -> Iterator[Line]:
    if (click := facts.click) is not None:
        by = str(click.employee) if click.employee else "–"
        says = _("%(by)s clicked a number in the CRM: %(state)s.")
        yield Line(
            at=click.received_at,
            step="CLICKED",
            says=says % {"by": by, "state": click.get_state_display()},
            ms=between(click.received_at, click.finished_at),
            took="UIS",
            parts=[(_("number"), eyes.number(click.contact))],
        )


def _rang(facts: Facts, eyes: Eyes) -> Iterator[Line]:
    """Tell which phones rang, by the legs UIS told of when it was asked."""
    legs = sorted(facts.asked.legs, key=lambda leg: (leg.started_at, leg.leg_id))
    people = [leg for leg in legs if leg.is_operator and not leg.is_coach]
    for leg in people:
        yield Line(at=leg.started_at, step="RANG", says=_of_leg(facts, leg, eyes), ms=leg.total_seconds * 1000)
    if legs and not people:
        says = _("No employee's phone rang: %(reason)s.") % {"reason": finish.told(legs[-1].finish_reason)}
        yield Line(at=legs[0].started_at, step="RANG", says=says, ms=legs[0].total_seconds * 1000)


def _of_leg(facts: Facts, leg: CallLeg, eyes: Eyes) -> str:
    about = {"who": facts.name(leg.employee_id) or eyes.number(leg.called) or "–"}
    if leg.is_talked:
        return _("%(who)s talked for %(seconds)s s.") % (about | {"seconds": leg.talk_seconds})
    return _("The phone of %(who)s rang: %(reason)s.") % (about | {"reason": finish.told(leg.finish_reason)})


def _told(facts: Facts, notice: Notice, eyes: Eyes) -> Line:
    stored = notice.stored
    parts = [(_("employee"), facts.name(stored.employee_uis_id))] if stored.employee_uis_id else []
    if stored.repeats:
        parts.append((_("came once more"), str(stored.repeats)))
    return Line(
        at=stored.received_at,
        step="TOLD",
        says=words.sentence(eyes.text(_told_word(stored))),
        ms=between(stored.happened_at, stored.received_at) if stored.happened_at else None,
        took="UIS",
        parts=parts,
        raw=eyes.text("\n".join(filter(None, [stored.query, _readable(stored.body)]))),
        is_fault=stored.outcome == Outcome.DROPPED and stored.reason in FAULTS,
    )


def _readable(body: str) -> str:
    """Return a body one field a line and without escapes where it is JSON, else as it came."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=1)
    except ValueError:
        return body


def _told_word(stored: Notification) -> str:
    """Return what UIS told and what was made of it."""
    event = _("UIS told: %(event)s") % {"event": lamps.event_word(stored.event)}
    if stored.outcome == Outcome.DROPPED:
        return (
            f"{event} – {words.no_card(stored)}" if stored.event in CARD_EVENTS else f"{event} – {words.reason(stored)}"
        )
    if stored.outcome == Outcome.DONE:
        return event
    return f"{event} – {stored.get_outcome_display()}"


def _cards(facts: Facts, eyes: Eyes) -> Iterator[Line]:
    for card in facts.cards:
        yield _card(card, eyes)
        if card.closed_at:
            says = _("The card of %(person)s was closed: %(how)s.")
            how = words.hangup(card.hangup)
            yield Line(at=card.closed_at, step="CARD_CLOSED", says=says % {"person": card.employee, "how": how})


def _card(card: Popup, eyes: Eyes) -> Line:
    says = _("A card for %(person)s was sent to the CRM: the CRM took it.")
    if card.state == Popup.State.FAILED:
        says = _("A card for %(person)s was sent to the CRM: the CRM did not take it.")
    elif card.state == Popup.State.OPENING:
        says = _("A card for %(person)s is on its way to the CRM.")
    named = [(_("extension"), card.code), (_("CRM user"), str(card.crm_user_id or ""))]
    unknown = [(_("unknown to the CRM"), ", ".join(map(str, card.unknown)))]
    return Line(
        at=card.sent_at,
        step="CARD",
        says=says % {"person": card.employee},
        ms=between(card.sent_at, card.accepted_at),
        took=_("the CRM"),
        parts=[(name, value) for name, value in [*named, *unknown, (_("detail"), eyes.text(card.says))] if value],
        is_fault=card.state == Popup.State.FAILED or bool(card.unknown),
    )
