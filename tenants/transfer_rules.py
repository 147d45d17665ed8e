"""Evaluates a tenant's transfer rules: which calls and pop-ups are skipped. Pure, without Django."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tenants import contact_list


class SkipReason(StrEnum):
    """The rule that skips a call or a pop-up."""

    ANSWERED_OFF = "ANSWERED_OFF"
    MISSED_OFF = "MISSED_OFF"
    OUTGOING_OFF = "OUTGOING_OFF"
    INTERNAL_OFF = "INTERNAL_OFF"
    NUMBER = "NUMBER"
    EMPLOYEE = "EMPLOYEE"
    CONTACT = "CONTACT"
    EXPIRED = "EXPIRED"
    HIDDEN_NUMBER = "HIDDEN_NUMBER"
    MANUAL = "MANUAL"
    NOT_IMPORTED = "NOT_IMPORTED"
    ERASED = "ERASED"
    POPUP_OFF = "POPUP_OFF"


# The tenant's own lists: calls they filter out count nowhere, whatever their result.
LIST_REASONS = (SkipReason.NUMBER, SkipReason.EMPLOYEE, SkipReason.CONTACT)


class Filter(StrEnum):
    """What a list means: nothing, only its entries pass, or all others do."""

    ALL = "ALL"
    ONLY = "ONLY"
    EXCEPT = "EXCEPT"


Selection = tuple[str, frozenset[object]]  # a Filter and its list


@dataclass(frozen=True)
class RuleInput:
    """The properties of a call that the rules use."""

    direction: str
    is_answered: bool
    is_internal: bool
    contact: str
    number: str
    employees: tuple[int, ...] = ()
    is_too_old: bool = False


@dataclass(frozen=True)
class RuleSet:
    """One tenant's rules as values."""

    shows: Mapping[str, bool]
    uploads_answered: bool
    uploads_missed: bool
    uploads_outgoing: bool
    uploads_internal: bool
    numbers: Selection
    employees: Selection
    contacts: Selection

    def upload_skip_reason(self, call: RuleInput) -> SkipReason | None:
        """Return the rule that skips the upload of this finished call, if any."""
        if call.is_too_old:  # First: other properties of such a call may be unknown yet.
            return SkipReason.EXPIRED
        return self._by_kind(call) or self._by_lists(call)

    def popup_skip_reason(self, call: RuleInput, *, shows: bool | None = None) -> SkipReason | None:
        """Return the rule that skips the pop-up of this call, if any; `shows` is the employee's own choice.

        Besides the switches, the rules are those of uploads. A call among colleagues never has a pop-up.
        """
        if call.is_internal:
            return SkipReason.INTERNAL_OFF
        is_shown = self.shows[call.direction] if shows is None else shows
        return self._by_lists(call) if is_shown else SkipReason.POPUP_OFF

    def list_skip_reason(self, call: RuleInput) -> SkipReason | None:
        """Return the list that filters out this call everywhere, if any."""
        if not _passes(self.numbers, call.number):
            return SkipReason.NUMBER
        if not _passes(self.employees, *call.employees):
            return SkipReason.EMPLOYEE
        if self.contacts[0] == Filter.ALL or _passes(self.contacts, *contact_list.keys(call.contact)):
            return None
        return SkipReason.CONTACT

    def _by_kind(self, call: RuleInput) -> SkipReason | None:
        if call.is_internal:
            return None if self.uploads_internal else SkipReason.INTERNAL_OFF
        if call.direction == "out":
            return None if self.uploads_outgoing else SkipReason.OUTGOING_OFF
        if call.is_answered:
            return None if self.uploads_answered else SkipReason.ANSWERED_OFF
        return None if self.uploads_missed else SkipReason.MISSED_OFF

    def _by_lists(self, call: RuleInput) -> SkipReason | None:
        return self.list_skip_reason(call) if call.contact else SkipReason.HIDDEN_NUMBER


def _passes(selection: Selection, *items: object) -> bool:
    """Return whether a call with these items passes; a call without items fails only in mode ONLY."""
    mode, members = selection
    return mode == Filter.ALL or members.isdisjoint(items) == (mode == Filter.EXCEPT)
