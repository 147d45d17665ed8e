"""The timeline of a call: events, phones that rang, requests, answers, which rule decided; times of pop-ups. Pure."""

import json
from collections.abc import Iterator
from itertools import chain

from django.utils.translation import gettext as _

from connector_project.operations.explain import labels
from connector_project.operations.explain.data import FAULTS, CallData
from connector_project.operations.explain.parts import SYSTEMS, PopupTiming, TimelineEntry, elapsed_ms
from crm import popup_ends
from crm.models import Popup
from telephony.models import Call, CallLogEntry, FailureReason, Notification, Result, Step
from telephony.uis.types import CallLeg
from telephony.webhooks import status
from tenants import datetime_display

Outcome, Reason = Notification.Outcome, Notification.Reason
_TAKEN_BY = {Step.FETCH_LEGS: "uis", Step.RECONCILE: "uis", Step.UPLOAD: "crm", Step.RESOLVE_OWNER: "crm"}
_WAITS = {FailureReason.DEBOUNCE, FailureReason.RECORDING_NOT_READY, FailureReason.VOICE_MAIL_NOT_READY}
LONGEST_FORMATTED = 100_000  # characters: deep nesting would be mostly indentation
_EVIDENCE_STEPS = (Step.RECEIVED, Step.EVALUATE, Step.FETCH_LEGS, Step.RESOLVE_OWNER, Step.RECONCILE)


def build_timeline(data: CallData) -> list[TimelineEntry]:
    """Return the timeline in chronological order."""
    events = (_event(data, stored) for stored in data.notifications)
    entries = chain(_clicked(data), _legs(data), events, _popups(data), _log_entries(data))
    return sorted(entries, key=lambda entry: entry.at)


def popup_timings(data: CallData) -> list[PopupTiming]:
    """Return the timing of each pop-up, and of each ring that has none and no pop-up that explains it."""
    sent = [
        PopupTiming(
            person=data.person(popup.employee),
            state=str(popup.get_state_display()),
            ringing_at=popup.ringing_at,
            received_at=popup.received_at,
            sent_at=popup.sent_at,
            accepted_at=popup.accepted_at,
            rule_version=popup.rule_version.number,
        )
        for popup in data.popups
    ]
    unsent = [
        PopupTiming(
            person=data.rung_person(stored),
            state=data.redactor.text(labels.popup_skip_label(stored)),
            ringing_at=stored.happened_at or stored.received_at,
            received_at=stored.received_at,
        )
        for stored in data.rings_without_popup
        if stored.reason not in {Reason.ALREADY_SHOWN, Reason.CRM_FAILED}
        and not (stored.reason == Reason.ON_ANSWER and data.has_popup(stored))
    ]
    return [*sent, *unsent]


def _clicked(data: CallData) -> Iterator[TimelineEntry]:
    if (click := data.click_to_call) is not None:
        message = _("%(by)s clicked a number in the CRM: %(state)s.")
        yield TimelineEntry(
            at=click.received_at,
            step="CLICK_TO_CALL",
            message=message % {"by": data.person(click.employee) or "–", "state": click.get_state_display()},
            ms=elapsed_ms(click.received_at, click.finished_at),
            took_by=SYSTEMS["uis"],
            parts=[(_("number"), data.redactor.number(click.contact))],
        )


def _legs(data: CallData) -> list[TimelineEntry]:
    """Return which phones rang, by the legs from UIS's report."""
    legs = sorted(data.uis_snapshot.legs, key=lambda leg: (leg.started_at, leg.leg_id))
    rung = [(leg, _leg_text(data, leg)) for leg in legs if leg.is_operator and not leg.is_coach]
    if legs and not rung:
        message = _("No employee's phone rang: %(reason)s.") % {"reason": labels.finish_reason(legs[-1].finish_reason)}
        rung = [(legs[0], message)]
    return [
        TimelineEntry(at=leg.started_at, step="RANG", message=message, ms=leg.total_seconds * 1000)
        for leg, message in rung
    ]


def _leg_text(data: CallData, leg: CallLeg) -> str:
    who = data.name(leg.employee_id) or data.redactor.number(leg.called) or "–"
    if leg.is_talked:
        return _("%(who)s talked for %(seconds)s s.") % {"who": who, "seconds": leg.talk_seconds}
    reason = labels.finish_reason(leg.finish_reason)
    return _("The phone of %(who)s rang: %(reason)s.") % {"who": who, "reason": reason}


def _event(data: CallData, stored: Notification) -> TimelineEntry:
    text = data.redactor.text
    return TimelineEntry(
        at=stored.received_at,
        step="NOTIFICATION",
        message=labels.sentence(text(_event_text(data, stored))),
        ms=elapsed_ms(stored.happened_at, stored.received_at),
        took_by=SYSTEMS["uis"],
        parts=labels.filled((_("employee"), data.name(stored.employee_uis_id)), (_("repeats"), stored.repeats)),
        raw=text("\n".join(filter(None, [stored.query, _format_body(stored.body)]))),
        is_fault=stored.outcome == Outcome.DROPPED and stored.reason in FAULTS,
    )


def _format_body(body: str) -> str:
    """Return a JSON body indented and without escapes; unchanged if it is none, or its escapes are no text."""
    try:
        shown = json.dumps(json.loads(body), ensure_ascii=False, indent=1)
        shown.encode()
    except (ValueError, RecursionError):
        return body
    return shown if len(shown) <= LONGEST_FORMATTED else body


def _event_text(data: CallData, stored: Notification) -> str:
    """Return the event of a notification and its outcome."""
    event = _("UIS notification: %(event)s") % {"event": status.event_label(stored.event)}
    if stored.outcome == Outcome.DONE:
        return event
    outcome = str(stored.get_outcome_display())
    if stored.outcome == Outcome.DROPPED:
        outcome = labels.popup_skip_label(stored) if data.opens_popup(stored) else labels.reason(stored)
    return f"{event} – {outcome}"


def _popups(data: CallData) -> Iterator[TimelineEntry]:
    for popup in data.popups:
        yield _popup_sent(data, popup)
        if popup.closed_at:
            message = _("The pop-up of %(person)s was closed: %(how)s.")
            params = {"person": data.person(popup.employee), "how": popup.get_hangup_display()}
            yield TimelineEntry(at=popup.closed_at, step="POPUP_CLOSED", message=message % params)
        if popup.close_by:
            message = _("The pop-up of %(person)s will be closed when UIS tells why nobody talked, by %(moment)s.")
            moment = datetime_display.format_with_seconds(data.call.tenant, popup.close_by, now=data.now)
            params = {"person": data.person(popup.employee), "moment": moment}
            at = popup.close_by - popup_ends.REASON_WAIT
            yield TimelineEntry(at=at, step="POPUP_WAITS", message=message % params)


def _popup_sent(data: CallData, popup: Popup) -> TimelineEntry:
    message = _("The pop-up for %(person)s was sent to the CRM: accepted.")
    if popup.state == Popup.State.FAILED:
        message = _("The pop-up for %(person)s was sent to the CRM: rejected.")
    elif popup.state == Popup.State.OPENING:
        message = _("The pop-up for %(person)s is being sent to the CRM.")
    return TimelineEntry(
        at=popup.sent_at,
        step="POPUP",
        message=message % {"person": data.person(popup.employee)},
        ms=elapsed_ms(popup.sent_at, popup.accepted_at),
        took_by=SYSTEMS["crm"],
        parts=labels.filled(
            (_("extension"), popup.code),
            (_("CRM user"), popup.crm_user_id),
            (_("version of the rules"), popup.rule_version.number),
            (_("unknown to the CRM"), ", ".join(map(str, popup.unknown))),
            (_("detail"), data.redactor.text(popup.detail)),
        ),
        is_fault=popup.state == Popup.State.FAILED or bool(popup.unknown),
    )


def _log_entries(data: CallData) -> Iterator[TimelineEntry]:
    """Yield each step, and the decision after the last step that added evidence."""
    decisive = _decisive_entry(data)
    for entry in data.log_entries:
        yield _log_entry(data, entry)
        if entry is decisive and (decision := _decision(data, entry)):
            yield TimelineEntry(at=entry.at, step="RULE", message=decision)


def _log_entry(data: CallData, entry: CallLogEntry) -> TimelineEntry:
    message = f"{_step_text(entry)} ({entry.actor})" if entry.actor else _step_text(entry)
    detail = "" if entry.step == Step.RECEIVED else data.redactor.text(entry.detail)
    return TimelineEntry(
        at=entry.at,
        step=entry.step,
        message=" ".join(labels.sentence(text) for text in (message, entry.get_reason_display(), detail) if text),
        ms=entry.duration_ms,
        took_by=SYSTEMS[_TAKEN_BY.get(Step(entry.step), "connector")],
        parts=_sent_fields(data, entry) if entry.step == Step.UPLOAD and "known" in entry.details else (),
        is_fault=bool(entry.reason) and entry.reason not in _WAITS,
    )


def _step_text(entry: CallLogEntry) -> str:
    """Return the text of a step; for an upload, whether the CRM accepted it."""
    if entry.step == Step.RECEIVED:
        return _("events merged with what was known")
    if entry.details.get("unconfirmed") and not entry.reason:
        return _("sent to the CRM: its answer is not known")
    if entry.step == Step.UPLOAD and not entry.reason and "known" in entry.details:
        return _("sent to the CRM: already there") if entry.details.get("known") else _("sent to the CRM: accepted")
    return str(entry.get_step_display())


def _sent_fields(data: CallData, entry: CallLogEntry) -> list[tuple[str, str]]:
    """Return what the CRM got: from the call's row, which is final after an upload, and from the step's details."""
    call, details, zone = data.call, entry.details, data.call.tenant.crm.zone
    return labels.filled(
        (_("id in the CRM"), f"uis-{call.session_id}"),
        (_("date"), f"{call.started_at.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone})"),
        (_("number"), data.redactor.number(call.contact)),
        (_("our number"), data.redactor.number(call.number)),
        (_("result"), str(Result(result).label) if (result := details.get("result")) else call.get_result_display()),
        (_("talk, s"), str(call.talk_seconds)),
        (_("extension"), details.get("code")),
        (_("CRM user"), details.get("user")),
        (_("store"), details.get("site")),
        (_("recording link"), labels.sent_link(details.get("link"))),
        (_("version of the rules"), details.get("version")),
    )


def _decisive_entry(data: CallData) -> CallLogEntry | None:
    """Return the step after which the call's fate was decided."""
    state = data.call.state
    if state not in {Call.State.READY, Call.State.UPLOADED, Call.State.SKIPPED}:
        return None
    steps = (*_EVIDENCE_STEPS, Step.UPLOAD) if state == Call.State.SKIPPED else _EVIDENCE_STEPS
    return next((entry for entry in reversed(data.log_entries) if entry.step in steps), None)


def _decision(data: CallData, entry: CallLogEntry) -> str:
    """Return which rule decided, with its value at that time, or its present value if that was not stored."""
    call = data.call
    if call.state == Call.State.SKIPPED:
        message = _("Decided by a rule: %(rule)s.") % {"rule": call.get_skip_reason_display()}
        return f"{message} {data.setting}" if data.setting else ""
    field = "missed_owner" if call.is_missed else "owner"
    rule = labels.named_rule(field, entry.details.get(field) or getattr(call.rule_version.value, field))
    person = data.person(call.employee) or _("nobody")
    if call.crm_user_id:
        person = _("the CRM's user %(user)s") % {"user": call.crm_user_id}
    return _("No rule skips it. Owner: %(person)s, by the rule %(rule)s.") % {
        "person": person,
        "rule": rule + labels.of_version(entry.details.get("version") or call.rule_version.number),
    }
