"""The timeline of a call: events, phones that rang, requests and answers. Pure."""

import json
from collections.abc import Iterator

from django.utils.translation import gettext as _

from connector_project.operations.explain import finish_reason_labels, labels
from connector_project.operations.explain.data import CallData, ParsedNotification
from connector_project.operations.explain.log_entries import log_entry_lines
from connector_project.operations.explain.popup_timing import elapsed_ms
from connector_project.operations.explain.redactor import Redactor
from connector_project.operations.explain.types import TimelineEntry
from crm.models import Popup
from telephony.models import Notification
from telephony.uis.types import CallLeg, Event
from telephony.webhooks import status

Outcome, Reason = Notification.Outcome, Notification.Reason
POPUP_EVENTS = {Event.WAITING, Event.OUTGOING}
# A pop-up that was no longer needed is no fault.
FAULTS = set(Reason) - {Reason.CALL_OVER, Reason.COLLEAGUE_ANSWERED, Reason.ALREADY_SHOWN, Reason.NOTHING_TO_DO}


def build_timeline(data: CallData, redactor: Redactor) -> list[TimelineEntry]:
    """Return the timeline in chronological order."""
    events = [_event(data, notification, redactor) for notification in data.notifications]
    return sorted(
        [
            *_clicked(data, redactor),
            *_legs(data, redactor),
            *events,
            *_popups(data, redactor),
            *log_entry_lines(data, redactor),
        ],
        key=lambda line: line.at,
    )


def _clicked(data: CallData, redactor: Redactor) -> Iterator[TimelineEntry]:
    if (click := data.click_to_call) is not None:
        by = str(click.employee) if click.employee else "–"
        message = _("%(by)s clicked a number in the CRM: %(state)s.")
        yield TimelineEntry(
            at=click.received_at,
            step="CLICK_TO_CALL",
            message=message % {"by": by, "state": click.get_state_display()},
            ms=elapsed_ms(click.received_at, click.finished_at),
            took_by="UIS",
            parts=[(_("number"), redactor.number(click.contact))],
        )


def _legs(data: CallData, redactor: Redactor) -> Iterator[TimelineEntry]:
    """Yield which phones rang, by the legs from UIS's report."""
    legs = sorted(data.uis_snapshot.legs, key=lambda leg: (leg.started_at, leg.leg_id))
    people = [leg for leg in legs if leg.is_operator and not leg.is_coach]
    for leg in people:
        yield TimelineEntry(
            at=leg.started_at, step="RANG", message=_leg_text(data, leg, redactor), ms=leg.total_seconds * 1000
        )
    if legs and not people:
        message = _("No employee's phone rang: %(reason)s.") % {
            "reason": finish_reason_labels.label(legs[-1].finish_reason)
        }
        yield TimelineEntry(at=legs[0].started_at, step="RANG", message=message, ms=legs[0].total_seconds * 1000)


def _leg_text(data: CallData, leg: CallLeg, redactor: Redactor) -> str:
    params = {"who": data.name(leg.employee_id) or redactor.number(leg.called) or "–"}
    if leg.is_talked:
        return _("%(who)s talked for %(seconds)s s.") % (params | {"seconds": leg.talk_seconds})
    return _("The phone of %(who)s rang: %(reason)s.") % (
        params | {"reason": finish_reason_labels.label(leg.finish_reason)}
    )


def _event(data: CallData, notification: ParsedNotification, redactor: Redactor) -> TimelineEntry:
    stored = notification.stored
    parts = [(_("employee"), data.name(stored.employee_uis_id))] if stored.employee_uis_id else []
    if stored.repeats:
        parts.append((_("repeats"), str(stored.repeats)))
    return TimelineEntry(
        at=stored.received_at,
        step="NOTIFICATION",
        message=labels.sentence(redactor.text(_event_text(stored))),
        ms=elapsed_ms(stored.happened_at, stored.received_at) if stored.happened_at else None,
        took_by="UIS",
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
    event = _("UIS notification: %(event)s") % {"event": status.event_word(stored.event)}
    if stored.outcome == Outcome.DROPPED:
        return (
            f"{event} – {labels.popup_skip_label(stored)}"
            if stored.event in POPUP_EVENTS
            else f"{event} – {labels.reason(stored)}"
        )
    if stored.outcome == Outcome.DONE:
        return event
    return f"{event} – {stored.get_outcome_display()}"


def _popups(data: CallData, redactor: Redactor) -> Iterator[TimelineEntry]:
    for popup in data.popups:
        yield _popup_sent(popup, redactor)
        if popup.closed_at:
            message = _("The pop-up of %(person)s was closed: %(how)s.")
            how = labels.hangup(popup.hangup)
            yield TimelineEntry(
                at=popup.closed_at, step="POPUP_CLOSED", message=message % {"person": popup.employee, "how": how}
            )


def _popup_sent(popup: Popup, redactor: Redactor) -> TimelineEntry:
    message = _("The pop-up for %(person)s was sent to the CRM: accepted.")
    if popup.state == Popup.State.FAILED:
        message = _("The pop-up for %(person)s was sent to the CRM: rejected.")
    elif popup.state == Popup.State.OPENING:
        message = _("The pop-up for %(person)s is being sent to the CRM.")
    named = [(_("extension"), popup.code), (_("CRM user"), str(popup.crm_user_id or ""))]
    unknown = [(_("unknown to the CRM"), ", ".join(map(str, popup.unknown)))]
    return TimelineEntry(
        at=popup.sent_at,
        step="POPUP",
        message=message % {"person": popup.employee},
        ms=elapsed_ms(popup.sent_at, popup.accepted_at),
        took_by=_("the CRM"),
        parts=[
            (name, value) for name, value in [*named, *unknown, (_("detail"), redactor.text(popup.detail))] if value
        ],
        is_fault=popup.state == Popup.State.FAILED or bool(popup.unknown),
    )
