"""Replays a stored decision under any version of the rules: the facts of then × a version → the record intended.

Pure. `crm.decided_calls` and `crm.decided_popups` load the facts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from tenants.decisions import Recording, link_of, popup_of, upload_of
from tenants.field_map.facts import Fact, Facts, Value
from tenants.rules import POPUP_FIELDS, MissedOwner, PopupChoice, RecordingKind, Rules
from tenants.transfer_rules import RuleInput, RuleSet, SkipReason

# No rule skips by these: a person did, or an import.
FIXED_REASONS = (SkipReason.MANUAL, SkipReason.NOT_IMPORTED)
NOT_ANSWERED = "NOT_ANSWERED"  # the pop-up would have opened when the employee answers, and they did not
MAY_WAIT = "UIS_OR_OURS"  # the link, if the upload would have waited for a recording


class Asked(StrEnum):
    """Who would have had to be asked; nothing is asked for a replay."""

    UIS = "UIS"
    CRM = "CRM"


class Version(NamedTuple):
    """A version of the rules, or a draft, in both of its forms."""

    rules: Rules
    rule_set: RuleSet


@dataclass(frozen=True, kw_only=True)
class Party:
    """An employee as the CRM knows them; without an `employee` a user that it named itself, or nobody."""

    employee: int | None = None  # UIS's id
    name: str = ""
    code: str = ""
    user: int | None = None


NOBODY = Party()


@dataclass(frozen=True, kw_only=True)
class CallFacts:
    """What is stored of a decided call."""

    call: RuleInput  # without employees: the owner says whose call it is, else those whose phones rang
    is_lost: bool
    is_missed: bool
    ended_at: datetime
    decided_at: datetime
    columns: Mapping[str, str]  # fields of the record that no rule chooses
    facts: Facts  # without the recording and the employee
    recording: Recording
    is_early: bool = False  # the upload did not wait for the recording, though the rules of then would have
    has_kept_link: bool = False  # our link was issued before it expired
    rung: tuple[int, ...] = ()
    owners: Mapping[str, Party]  # by the rule that chooses them, as far as it was applied
    fixed_reason: str = ""
    is_complete: bool = True  # otherwise UIS was not asked, because a rule skipped the call at once


@dataclass(frozen=True, kw_only=True)
class RingFacts:
    """What is stored of a phone that rang, or was answered, and of its pop-up."""

    call: RuleInput
    choice: str = ""  # the employee's own
    has_answered: bool
    party: Party
    facts: Facts


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is sent: its fields as the CRM gets them, or why nothing is. `asked`: that is not known without asking."""

    skip_reason: str = ""
    asked: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_sent(self) -> bool:
        return not (self.skip_reason or self.asked)


class Change(NamedTuple):
    """A field that differs; "" where the record does not have it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What differs between two outcomes of one call."""

    before: Outcome
    after: Outcome
    changes: tuple[Change, ...] = ()

    @property
    def is_same(self) -> bool:
        both = self.before, self.after
        return len({(one.skip_reason, one.asked) for one in both}) == 1 and not self.changes


def compare(before: Outcome, after: Outcome, *, without: Iterable[str] = ()) -> Difference:
    """Return what differs, but for the fields `without`; fields are compared where both are sent."""
    if not (before.is_sent and after.is_sent):
        return Difference(before=before, after=after)
    names = sorted({*before.fields, *after.fields} - {*without})
    pairs = ((name, before.fields.get(name, ""), after.fields.get(name, "")) for name in names)
    return Difference(before=before, after=after, changes=tuple(Change(*pair) for pair in pairs if pair[1] != pair[2]))


def applied_rule(rules: Rules, *, is_lost: bool, is_missed: bool) -> str:
    """Return the rule that chooses the owner of a call: the CRM is asked for that of missed calls alone."""
    rule = rules.missed_owner if is_lost else rules.owner
    return MissedOwner.LAST_RUNG if rule == MissedOwner.RESPONSIBLE and not is_missed else rule


def replay_call(call: CallFacts, version: Version, *, salt: str) -> Outcome:
    """Return what this version makes of a finished call."""
    if call.fixed_reason:
        return Outcome(skip_reason=call.fixed_reason)
    rules, rule_set = version
    owner = call.owners.get(applied_rule(rules, is_lost=call.is_lost, is_missed=call.is_missed))
    chosen = _chosen(call, owner)
    rule_input = _with_employees(call, chosen.employee)
    if not call.is_complete:
        reason = rule_set.upload_skip_reason(rule_input)
        return Outcome(skip_reason=reason) if reason in _WITHOUT_LEGS else Outcome(asked=Asked.UIS)
    further: dict[str, Value] = {Fact.EMPLOYEE: chosen.name, Fact.RECORDING: _link(call, rules)}
    facts = {**call.facts, **{fact: text for fact, text in further.items() if text}}
    intended = upload_of(rule_input, facts, rule_set, salt=salt)
    if intended.skip_reason:
        return Outcome(skip_reason=intended.skip_reason)
    if owner is None:
        return Outcome(asked=Asked.CRM)
    fields = {**call.columns, **intended.fields, **_of_party(owner)}
    return Outcome(fields={name: text for name, text in fields.items() if text})


def replay_popup(ring: RingFacts, version: Version) -> Outcome:
    """Return the pop-up that this version opens."""
    rules, rule_set = version
    choice = ring.choice or getattr(rules, POPUP_FIELDS[ring.call.direction])
    intended = popup_of(ring.call, ring.facts, rule_set, shows=choice != PopupChoice.OFF, salt="")
    if intended.skip_reason:
        return Outcome(skip_reason=intended.skip_reason)
    is_late = choice == PopupChoice.ON_ANSWER
    if is_late and not ring.has_answered:
        return Outcome(skip_reason=NOT_ANSWERED)
    moment = {"direction": ring.call.direction, "opens": "answer" if is_late else "ring"}
    fields = {**moment, **intended.fields, **_of_party(ring.party)}
    return Outcome(fields={name: text for name, text in fields.items() if text})


# Rules that are applied before the legs are known.
_WITHOUT_LEGS = (SkipReason.INTERNAL_OFF, SkipReason.EXPIRED)


def _chosen(call: CallFacts, owner: Party | None) -> Party:
    """Return whom the rules see as the owner: until the CRM has named one it is whose phone rang last."""
    return owner or call.owners.get(MissedOwner.LAST_RUNG) or NOBODY


def _with_employees(call: CallFacts, employee: int | None) -> RuleInput:
    values = {name: getattr(call.call, name) for name in _INPUTS}
    return RuleInput(**values, employees=(employee,) if employee else call.rung)


# Of a RuleInput, without the employees.
_INPUTS = ("direction", "is_answered", "is_internal", "contact", "number", "is_too_old", "source", "customer")


def _link(call: CallFacts, rules: Rules) -> str:
    if not rules.send_recording:
        return ""
    kind = link_of(call.recording, rules.recording_link)
    if kind != RecordingKind.OURS:
        return str(kind or "")
    passed = call.decided_at - call.ended_at
    may_wait = rules.recording_link == RecordingKind.UIS and call.recording == Recording.AWAITED
    if may_wait and not call.is_early and passed < timedelta(minutes=rules.recording_wait_minutes):
        return MAY_WAIT
    is_expired = rules.recording_days is not None and timedelta(days=rules.recording_days) <= passed
    return "" if is_expired and not call.has_kept_link else str(kind)


def _of_party(party: Party) -> dict[str, str]:
    return {"code": party.code, "user": str(party.user or "")}
