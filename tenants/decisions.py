"""What one version of the rules makes of a finished call, or of a ringing phone: a function of facts alone.

For replays of stored calls. What is sent is decided by the same parts (`RuleSet`, `applied`) step by step, as the facts
become known; the chaos suite compares both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tenants.field_map.apply import Applied, applied
from tenants.field_map.facts import Facts
from tenants.field_map.targets import Record
from tenants.rules import RecordingKind
from tenants.transfer_rules import RuleInput, RuleSet, SkipReason


class Recording(StrEnum):
    """What is known of a call's recording when the call is uploaded."""

    NONE = ""
    READY = "READY"
    TOO_LONG = "TOO_LONG"  # its address at UIS is longer than the CRM takes
    AWAITED = "AWAITED"  # it has not come, or not all of it has


@dataclass(frozen=True, kw_only=True)
class Intended:
    """The record that the rules want to be sent: its fields, and how each came by its value; or why there is none."""

    skip_reason: SkipReason | None = None
    record: Applied = field(default_factory=Applied)

    @property
    def fields(self) -> Mapping[str, str]:
        return self.record.values


def upload_of(call: RuleInput, facts: Facts, rules: RuleSet, *, salt: str) -> Intended:
    """Return what is to be uploaded of a finished call."""
    if reason := rules.upload_skip_reason(call):
        return Intended(skip_reason=reason)
    return Intended(record=applied(rules.field_map, Record.UPLOAD, facts, salt=salt))


def popup_of(call: RuleInput, facts: Facts, rules: RuleSet, *, shows: bool | None = None, salt: str) -> Intended:
    """Return the pop-up of a ringing phone; `shows` is the employee's own choice, None if they have made none."""
    if reason := rules.popup_skip_reason(call, shows=shows):
        return Intended(skip_reason=reason)
    return Intended(record=applied(rules.field_map, Record.POPUP, facts, salt=salt))


def link_of(recording: Recording, rule: str) -> RecordingKind | None:
    """Return which link to a recording the CRM gets.

    An upload cannot be changed, so a recording that may still come is linked by our link, whatever the rule is: it
    plays it then. So is one whose address is longer than the CRM takes.
    """
    if recording == Recording.NONE:
        return None
    return RecordingKind.UIS if rule == RecordingKind.UIS and recording == Recording.READY else RecordingKind.OURS
