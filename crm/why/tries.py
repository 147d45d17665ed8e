"""The connector's steps for a call: what was sent and answered, and which rule decided. Pure."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from crm.why import settings, words
from crm.why.eyes import Eyes
from crm.why.facts import Facts
from crm.why.types import Line
from telephony.models import Attempt, Call, Cause, Step

_ASKED_SYSTEM = {Step.COLLECT: "UIS", Step.RECONCILE: "UIS"}
_EVIDENCE_STEPS = (Step.RECORD, Step.SETTLE, Step.COLLECT, Step.OWNER, Step.RECONCILE)


def of_tries(facts: Facts, redactor: Eyes) -> Iterator[Line]:
    """Yield each step, and the decision after the last step that added evidence."""
    decisive = _decisive_attempt(facts)
    for attempt in facts.tries:
        yield _line(facts, attempt, redactor)
        if attempt is decisive:
            yield from _decision_lines(facts, attempt)


def _line(facts: Facts, attempt: Attempt, redactor: Eyes) -> Line:
    message = words.sentence(f"{_text(attempt)} ({attempt.by})" if attempt.by else _text(attempt))
    detail = [attempt.get_cause_display(), "" if attempt.step == Step.RECORD else redactor.text(attempt.says)]
    return Line(
        at=attempt.at,
        step=attempt.step,
        says=" ".join([message, *(words.sentence(text) for text in detail if text)]),
        ms=attempt.milliseconds,
        took=_system(attempt),
        parts=_sent_fields(facts, attempt, redactor) if attempt.step == Step.UPLOAD else (),
        is_fault=bool(attempt.cause) and attempt.cause not in {Cause.NOT_SETTLED, Cause.RECORDING_NOT_READY},
    )


def _text(attempt: Attempt) -> str:
    """Return the text of a step; for an upload, whether the CRM accepted it."""
    if attempt.step == Step.RECORD:
        return _("events merged with what was known")
    if attempt.step == Step.UPLOAD and not attempt.cause and attempt.about:
        return _("sent to the CRM: already there") if attempt.about.get("known") else _("sent to the CRM: accepted")
    return str(attempt.get_step_display())


def _system(attempt: Attempt) -> str:
    if attempt.step in {Step.UPLOAD, Step.OWNER}:
        return _("the CRM")
    return _ASKED_SYSTEM.get(Step(attempt.step), _("the connector"))


def _sent_fields(facts: Facts, attempt: Attempt, redactor: Eyes) -> list[tuple[str, str]]:
    """Return what the CRM got: from the call's row, which is final after an upload, and from the step's details."""
    call, details = facts.call, attempt.about
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


def _decisive_attempt(facts: Facts) -> Attempt | None:
    """Return the step after which the call's fate was decided."""
    call = facts.call
    if call.state not in {Call.State.READY, Call.State.UPLOADED, Call.State.SKIPPED}:
        return None
    steps = (*_EVIDENCE_STEPS, Step.UPLOAD) if call.state == Call.State.SKIPPED else _EVIDENCE_STEPS
    return next((attempt for attempt in reversed(facts.tries) if attempt.step in steps), None)


def _decision_lines(facts: Facts, attempt: Attempt) -> Iterator[Line]:
    """Yield which rule decided, with its value at that time, or its present value if that was not stored."""
    call, at = facts.call, attempt.at
    if call.state == Call.State.SKIPPED:
        if call.kept_back_by and (setting := settings.told(facts)):
            message = _("Decided by a rule: %(rule)s.") % {"rule": call.get_kept_back_by_display()}
            yield Line(at=at, step="RULE", says=f"{message} {setting}")
        return
    field = "missed_owner" if call.is_missed else "owner"
    value = attempt.about.get(field) or getattr(call.tenant.rules, field)
    message = _("No rule skips it. Owner: %(person)s, by the rule %(rule)s.")
    yield Line(at=at, step="RULE", says=message % {"person": _owner(facts), "rule": settings.named(field, value)})


def _owner(facts: Facts) -> str:
    call = facts.call
    if call.crm_user_id:
        return _("the CRM's user %(user)s") % {"user": call.crm_user_id}
    return str(call.employee) if call.employee else _("nobody")
