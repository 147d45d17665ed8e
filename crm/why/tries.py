"""What the connector did with a call: each step, what was said, what was answered, and by whose word it was decided.

Pure.
"""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from crm.why import settings, words
from crm.why.eyes import Eyes
from crm.why.facts import Facts
from crm.why.types import Line
from telephony.models import Attempt, Call, Cause, Step

_ASKED = {Step.COLLECT: "UIS", Step.RECONCILE: "UIS"}
_KNOWING = (Step.RECORD, Step.SETTLE, Step.COLLECT, Step.OWNER, Step.RECONCILE)


def of_tries(facts: Facts, eyes: Eyes) -> Iterator[Line]:
    """Tell each step, and the decision after the last step that knew more."""
    decided = _decision(facts)
    for one in facts.tries:
        yield _line(facts, one, eyes)
        if one is decided:
            yield from _decided(facts, one)


def _line(facts: Facts, one: Attempt, eyes: Eyes) -> Line:
    says = words.sentence(f"{_says(one)} ({one.by})" if one.by else _says(one))
    detail = [one.get_cause_display(), "" if one.step == Step.RECORD else eyes.text(one.says)]
    return Line(
        at=one.at,
        step=one.step,
        says=" ".join([says, *(words.sentence(text) for text in detail if text)]),
        ms=one.milliseconds,
        took=_took(one),
        parts=_sent(facts, one, eyes) if one.step == Step.UPLOAD else (),
        is_fault=bool(one.cause) and one.cause not in {Cause.NOT_SETTLED, Cause.RECORDING_NOT_READY},
    )


def _says(one: Attempt) -> str:
    """Return the step in words; of an upload, whether the CRM took it."""
    if one.step == Step.RECORD:
        return _("what was told is weighed up with all that was told before")
    if one.step == Step.UPLOAD and not one.cause and one.about:
        return _("sent to the CRM: it knew the call already") if one.about.get("known") else _("sent to the CRM: taken")
    return str(one.get_step_display())


def _took(one: Attempt) -> str:
    if one.step in {Step.UPLOAD, Step.OWNER}:
        return _("the CRM")
    return _ASKED.get(Step(one.step), _("the connector"))


def _sent(facts: Facts, one: Attempt, eyes: Eyes) -> list[tuple[str, str]]:
    """Return what the CRM was told: as the call's row has it, which an upload makes final, and as it was noted then."""
    call, about = facts.call, one.about
    if not about:
        return []
    zone = call.tenant.crm.zone
    parts = [
        (_("id in the CRM"), f"uis-{call.session_id}"),
        (_("date"), f"{call.started_at.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone})"),
        (_("number"), eyes.number(call.contact)),
        (_("our number"), eyes.number(call.number)),
        (_("result"), str(call.get_result_display())),
        (_("talk, s"), str(call.talk_seconds)),
        (_("extension"), str(about.get("code", ""))),
        (_("CRM user"), str(about.get("user", ""))),
        (_("store"), str(about.get("site", ""))),
        (_("recording's link"), _("yes") if about.get("link") else _("no")),
    ]
    return [(name, value) for name, value in parts if value]


def _decision(facts: Facts) -> Attempt | None:
    """Return the step after which it was decided what becomes of the call."""
    call = facts.call
    if call.state not in {Call.State.READY, Call.State.UPLOADED, Call.State.SKIPPED}:
        return None
    steps = (*_KNOWING, Step.UPLOAD) if call.state == Call.State.SKIPPED else _KNOWING
    return next((one for one in reversed(facts.tries) if one.step in steps), None)


def _decided(facts: Facts, one: Attempt) -> Iterator[Line]:
    """Tell which rule decided, and what it was set to; where that was not noted, what it is set to."""
    call, at = facts.call, one.at
    if call.state == Call.State.SKIPPED:
        if call.kept_back_by and (said := settings.told(facts)):
            says = _("A rule decided: %(rule)s.") % {"rule": call.get_kept_back_by_display()}
            yield Line(at=at, step="RULE", says=f"{says} {said}")
        return
    field = "missed_owner" if call.is_missed else "owner"
    value = one.about.get(field) or getattr(call.tenant.rules, field)
    says = _("No rule keeps it back. It belongs to %(person)s by the rule %(rule)s.")
    yield Line(at=at, step="RULE", says=says % {"person": _owner(facts), "rule": settings.named(field, value)})


def _owner(facts: Facts) -> str:
    call = facts.call
    if call.crm_user_id:
        return _("the CRM's user %(user)s") % {"user": call.crm_user_id}
    return str(call.employee) if call.employee else _("nobody")
