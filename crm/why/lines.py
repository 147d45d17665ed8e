"""The timeline of a call: events, phones that rang, requests and answers. Pure."""

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
# A pop-up that was no longer needed is no fault.
FAULTS = set(Reason) - {Reason.CALL_OVER, Reason.COLLEAGUE_ANSWERED, Reason.ALREADY_SHOWN, Reason.NOTHING_TO_DO}


def of(facts: Facts, redactor: Eyes) -> list[Line]:
    """Return the timeline in chronological order."""
    events = [_event(facts, notification, redactor) for notification in facts.notices]
    return sorted(
        [
            *_clicked(facts, redactor),
            *_legs(facts, redactor),
            *events,
            *_popups(facts, redactor),
            *of_tries(facts, redactor),
        ],
        key=lambda line: line.at,
    )


def _clicked(facts: Facts, redactor: Eyes) -> Iterator[Line]:
    if (click := facts.click) is not None:
        by = str(click.employee) if click.employee else "–"
        message = _("%(by)s clicked a number in the CRM: %(state)s.")
        yield Line(
            at=click.received_at,
            step="CLICKED",
            says=message % {"by": by, "state": click.get_state_display()},
            ms=between(click.received_at, click.finished_at),
            took="UIS",
            parts=[(_("number"), redactor.number(click.contact))],
        )


def _legs(facts: Facts, redactor: Eyes) -> Iterator[Line]:
    """Yield which phones rang, by the legs from UIS's report."""
    legs = sorted(facts.asked.legs, key=lambda leg: (leg.started_at, leg.leg_id))
    people = [leg for leg in legs if leg.is_operator and not leg.is_coach]
    for leg in people:
        yield Line(at=leg.started_at, step="RANG", says=_leg_text(facts, leg, redactor), ms=leg.total_seconds * 1000)
    if legs and not people:
        message = _("No employee's phone rang: %(reason)s.") % {"reason": finish.told(legs[-1].finish_reason)}
        yield Line(at=legs[0].started_at, step="RANG", says=message, ms=legs[0].total_seconds * 1000)


def _leg_text(facts: Facts, leg: CallLeg, redactor: Eyes) -> str:
    params = {"who": facts.name(leg.employee_id) or redactor.number(leg.called) or "–"}
    if leg.is_talked:
        return _("%(who)s talked for %(seconds)s s.") % (params | {"seconds": leg.talk_seconds})
    return _("The phone of %(who)s rang: %(reason)s.") % (params | {"reason": finish.told(leg.finish_reason)})


def _event(facts: Facts, notification: Notice, redactor: Eyes) -> Line:
    stored = notification.stored
    parts = [(_("employee"), facts.name(stored.employee_uis_id))] if stored.employee_uis_id else []
    if stored.repeats:
        parts.append((_("repeats"), str(stored.repeats)))
    return Line(
        at=stored.received_at,
        step="TOLD",
        says=words.sentence(redactor.text(_event_text(stored))),
        ms=between(stored.happened_at, stored.received_at) if stored.happened_at else None,
        took="UIS",
        parts=parts,
        raw=redactor.text("\n".join(filter(None, [stored.query, _format_body(stored.body)]))),
        is_fault=stored.outcome == Outcome.DROPPED and stored.reason in FAULTS,
    )


def _format_body(body: str) -> str:
    """Return a JSON body indented and without escapes, any other unchanged."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=1)
    except ValueError:
        return body


def _event_text(stored: Notification) -> str:
    """Return the event of a notification and its outcome."""
    event = _("UIS notification: %(event)s") % {"event": lamps.event_word(stored.event)}
    if stored.outcome == Outcome.DROPPED:
        return (
            f"{event} – {words.no_card(stored)}" if stored.event in CARD_EVENTS else f"{event} – {words.reason(stored)}"
        )
    if stored.outcome == Outcome.DONE:
        return event
    return f"{event} – {stored.get_outcome_display()}"


def _popups(facts: Facts, redactor: Eyes) -> Iterator[Line]:
    for popup in facts.cards:
        yield _popup_sent(popup, redactor)
        if popup.closed_at:
            message = _("The pop-up of %(person)s was closed: %(how)s.")
            how = words.hangup(popup.hangup)
            yield Line(at=popup.closed_at, step="CARD_CLOSED", says=message % {"person": popup.employee, "how": how})


def _popup_sent(popup: Popup, redactor: Eyes) -> Line:
    message = _("The pop-up for %(person)s was sent to the CRM: accepted.")
    if popup.state == Popup.State.FAILED:
        message = _("The pop-up for %(person)s was sent to the CRM: rejected.")
    elif popup.state == Popup.State.OPENING:
        message = _("The pop-up for %(person)s is being sent to the CRM.")
    named = [(_("extension"), popup.code), (_("CRM user"), str(popup.crm_user_id or ""))]
    unknown = [(_("unknown to the CRM"), ", ".join(map(str, popup.unknown)))]
    return Line(
        at=popup.sent_at,
        step="CARD",
        says=message % {"person": popup.employee},
        ms=between(popup.sent_at, popup.accepted_at),
        took=_("the CRM"),
        parts=[(name, value) for name, value in [*named, *unknown, (_("detail"), redactor.text(popup.says))] if value],
        is_fault=popup.state == Popup.State.FAILED or bool(popup.unknown),
    )
