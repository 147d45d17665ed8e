"""The connector's steps for a call: what was sent and answered, and which rule decided. Pure."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from connector_project.operations.explain import labels, rule_text
from connector_project.operations.explain.data import CallData
from connector_project.operations.explain.redactor import Redactor
from connector_project.operations.explain.types import TimelineEntry
from telephony.models import Call, CallLogEntry, FailureReason, Step

_SYSTEMS = {Step.FETCH_LEGS: "UIS", Step.RECONCILE: "UIS"}
_EVIDENCE_STEPS = (Step.RECEIVED, Step.EVALUATE, Step.FETCH_LEGS, Step.RESOLVE_OWNER, Step.RECONCILE)


def log_entry_lines(data: CallData, redactor: Redactor) -> Iterator[TimelineEntry]:
    """Yield each step, and the decision after the last step that added evidence."""
    decisive = _decisive_entry(data)
    for entry in data.log_entries:
        yield _line(data, entry, redactor)
        if entry is decisive:
            yield from _decision_lines(data, entry)


def _line(data: CallData, entry: CallLogEntry, redactor: Redactor) -> TimelineEntry:
    message = labels.sentence(f"{_text(entry)} ({entry.actor})" if entry.actor else _text(entry))
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


def _text(entry: CallLogEntry) -> str:
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
        if call.skip_reason and (setting := rule_text.describe(data)):
            message = _("Decided by a rule: %(rule)s.") % {"rule": call.get_skip_reason_display()}
            yield TimelineEntry(at=at, step="RULE", message=f"{message} {setting}")
        return
    field = "missed_owner" if call.is_missed else "owner"
    value = entry.details.get(field) or getattr(call.tenant.rules, field)
    message = _("No rule skips it. Owner: %(person)s, by the rule %(rule)s.")
    yield TimelineEntry(
        at=at, step="RULE", message=message % {"person": _owner(data), "rule": rule_text.named(field, value)}
    )


def _owner(data: CallData) -> str:
    call = data.call
    if call.crm_user_id:
        return _("the CRM's user %(user)s") % {"user": call.crm_user_id}
    return str(call.employee) if call.employee else _("nobody")
