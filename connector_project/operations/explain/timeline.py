"""The timeline of a call: events, phones that rang, requests, answers, and which rule decided. Pure."""

import json
from collections.abc import Iterator

from django.utils.translation import gettext as _

from connector_project.operations.explain import labels
from connector_project.operations.explain.data import CallData, Redactor, TimelineEntry
from connector_project.operations.explain.popup_timing import POPUP_EVENTS, elapsed_ms
from crm.models import Popup
from telephony.models import Call, CallLogEntry, FailureReason, Notification, Step
from telephony.uis.types import CallLeg
from telephony.webhooks import status

Outcome, Reason = Notification.Outcome, Notification.Reason
# A pop-up that was no longer needed is no fault.
FAULTS = set(Reason) - {Reason.CALL_OVER, Reason.COLLEAGUE_ANSWERED, Reason.ALREADY_SHOWN, Reason.NOTHING_TO_DO}
_SYSTEMS = {Step.FETCH_LEGS: "UIS", Step.RECONCILE: "UIS"}
_EVIDENCE_STEPS = (Step.RECEIVED, Step.EVALUATE, Step.FETCH_LEGS, Step.RESOLVE_OWNER, Step.RECONCILE)


def build_timeline(data: CallData, redactor: Redactor) -> list[TimelineEntry]:
    """Return the timeline in chronological order."""
    events = [_event(data, stored, redactor) for stored in data.notifications]
    return sorted(
        [
            *_clicked(data, redactor),
            *_legs(data, redactor),
            *events,
            *_popups(data, redactor),
            *_log_entries(data, redactor),
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
        message = _("No employee's phone rang: %(reason)s.") % {"reason": labels.finish_reason(legs[-1].finish_reason)}
        yield TimelineEntry(at=legs[0].started_at, step="RANG", message=message, ms=legs[0].total_seconds * 1000)


def _leg_text(data: CallData, leg: CallLeg, redactor: Redactor) -> str:
    params = {"who": data.name(leg.employee_id) or redactor.number(leg.called) or "–"}
    if leg.is_talked:
        return _("%(who)s talked for %(seconds)s s.") % (params | {"seconds": leg.talk_seconds})
    return _("The phone of %(who)s rang: %(reason)s.") % (params | {"reason": labels.finish_reason(leg.finish_reason)})


def _event(data: CallData, stored: Notification, redactor: Redactor) -> TimelineEntry:
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
    event = _("UIS notification: %(event)s") % {"event": status.event_label(stored.event)}
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


def _log_entries(data: CallData, redactor: Redactor) -> Iterator[TimelineEntry]:
    """Yield each step, and the decision after the last step that added evidence."""
    decisive = _decisive_entry(data)
    for entry in data.log_entries:
        yield _log_entry(data, entry, redactor)
        if entry is decisive:
            yield from _decision_lines(data, entry)


def _log_entry(data: CallData, entry: CallLogEntry, redactor: Redactor) -> TimelineEntry:
    message = labels.sentence(f"{_step_text(entry)} ({entry.actor})" if entry.actor else _step_text(entry))
    detail = [entry.get_reason_display(), "" if entry.step == Step.RECEIVED else redactor.text(entry.detail)]
    return TimelineEntry(
        at=entry.at,
        step=entry.step,
        message=" ".join([message, *(labels.sentence(text) for text in detail if text)]),
        ms=entry.duration_ms,
        took_by=_system(entry),
        parts=_sent_fields(data, entry, redactor) if entry.step == Step.UPLOAD else (),
        is_fault=bool(entry.reason) and entry.reason not in {FailureReason.DEBOUNCE, FailureReason.RECORDING_NOT_READY},
    )


def _step_text(entry: CallLogEntry) -> str:
    """Return the text of a step; for an upload, whether the CRM accepted it."""
    if entry.step == Step.RECEIVED:
        return _("events merged with what was known")
    if entry.step == Step.UPLOAD and not entry.reason and entry.details:
        return _("sent to the CRM: already there") if entry.details.get("known") else _("sent to the CRM: accepted")
    return str(entry.get_step_display())


def _system(entry: CallLogEntry) -> str:
    if entry.step in {Step.UPLOAD, Step.RESOLVE_OWNER}:
        return _("the CRM")
    return _SYSTEMS.get(Step(entry.step), _("the connector"))


def _sent_fields(data: CallData, entry: CallLogEntry, redactor: Redactor) -> list[tuple[str, str]]:
    """Return what the CRM got: from the call's row, which is final after an upload, and from the step's details."""
    call, details = data.call, entry.details
    if not details:
        return []
    zone = call.tenant.crm.zone
    parts = [
        (_("id in the CRM"), f"uis-{call.session_id}"),
        (_("date"), f"{call.started_at.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone})"),
        (_("number"), redactor.number(call.contact)),
        (_("our number"), redactor.number(call.number)),
        (_("result"), str(call.get_result_display())),
        (_("talk, s"), str(call.talk_seconds)),
        (_("extension"), str(details.get("code", ""))),
        (_("CRM user"), str(details.get("user", ""))),
        (_("store"), str(details.get("site", ""))),
        (_("recording link"), _("yes") if details.get("link") else _("no")),
    ]
    return [(name, value) for name, value in parts if value]


def _decisive_entry(data: CallData) -> CallLogEntry | None:
    """Return the step after which the call's fate was decided."""
    call = data.call
    if call.state not in {Call.State.READY, Call.State.UPLOADED, Call.State.SKIPPED}:
        return None
    steps = (*_EVIDENCE_STEPS, Step.UPLOAD) if call.state == Call.State.SKIPPED else _EVIDENCE_STEPS
    return next((entry for entry in reversed(data.log_entries) if entry.step in steps), None)


def _decision_lines(data: CallData, entry: CallLogEntry) -> Iterator[TimelineEntry]:
    """Yield which rule decided, with its value at that time, or its present value if that was not stored."""
    call, at = data.call, entry.at
    if call.state == Call.State.SKIPPED:
        if call.skip_reason and (setting := labels.rule_setting(call, data.setting)):
            message = _("Decided by a rule: %(rule)s.") % {"rule": call.get_skip_reason_display()}
            yield TimelineEntry(at=at, step="RULE", message=f"{message} {setting}")
        return
    field = "missed_owner" if call.is_missed else "owner"
    value = entry.details.get(field) or getattr(call.tenant.rules, field)
    message = _("No rule skips it. Owner: %(person)s, by the rule %(rule)s.")
    yield TimelineEntry(
        at=at, step="RULE", message=message % {"person": _owner(data), "rule": labels.named_rule(field, value)}
    )


def _owner(data: CallData) -> str:
    call = data.call
    if call.crm_user_id:
        return _("the CRM's user %(user)s") % {"user": call.crm_user_id}
    return str(call.employee) if call.employee else _("nobody")
