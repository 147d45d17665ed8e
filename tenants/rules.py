"""A client's rules as one immutable value, and its document: the JSON that a version of the rules stores. No Django.

What a code means to people is in `tenants.rule_labels`, what becomes of a call by these rules in
`tenants.transfer_rules`.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from tenants import contact_list
from tenants.transfer_rules import Filter, RuleSet, Selection

SCHEMA = 1
LARGEST_SMALL = 32767  # what the columns of a draft can hold


class PopupChoice(StrEnum):
    """When a pop-up opens."""

    ON_RING = "ON_RING"
    ON_ANSWER = "ON_ANSWER"
    OFF = "OFF"


class Owner(StrEnum):
    """Which employee owns a call."""

    LAST_TALKER = "LAST_TALKER"
    FIRST_TALKER = "FIRST_TALKER"
    LONGEST_TALKER = "LONGEST_TALKER"


class MissedOwner(StrEnum):
    LAST_RUNG = "LAST_RUNG"
    RESPONSIBLE = "RESPONSIBLE"
    NOBODY = "NOBODY"


class RecordingKind(StrEnum):
    """Which link to a recording the CRM gets: UIS's own or ours."""

    UIS = "UIS"
    OURS = "OURS"


class StatusSync(StrEnum):
    OFF = "OFF"
    CRM_TO_UIS = "CRM_TO_UIS"
    BOTH = "BOTH"


POPUP_FIELDS = {"in": "popup_incoming", "out": "popup_outgoing"}  # by direction

_Status = Annotated[str, StringConstraints(strict=True, max_length=40)]
_Entry = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100)]
_Small = Annotated[StrictInt, Field(ge=0, le=LARGEST_SMALL)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Rules:
    """All rules of a client. Lists hold values, not rows: what UIS no longer has stays what it was."""

    popup_incoming: PopupChoice = PopupChoice.ON_RING
    popup_outgoing: PopupChoice = PopupChoice.ON_RING
    upload_answered: StrictBool = True
    upload_missed: StrictBool = True
    upload_outgoing: StrictBool = True
    upload_internal: StrictBool = False
    number_filter: Filter = Filter.ALL
    numbers: tuple[_Entry, ...] = ()  # virtual numbers, digits
    employee_filter: Filter = Filter.ALL
    employees: tuple[StrictInt, ...] = ()  # UIS ids
    contact_filter: Filter = Filter.ALL
    contacts: tuple[_Entry, ...] = ()  # as `contact_list.normalise` returns them
    send_recording: StrictBool = True
    recording_wait_minutes: _Small = 10
    recording_link: RecordingKind = RecordingKind.UIS
    recording_days: _Small | None = None
    owner: Owner = Owner.LAST_TALKER
    missed_owner: MissedOwner = MissedOwner.LAST_RUNG
    status_sync: StatusSync = StatusSync.CRM_TO_UIS
    status_free: _Status = "available"
    status_busy: _Status = "do_not_disturb"
    status_dinner: _Status = "break"
    status_break: _Status = "break"

    def rule_set(self, token_of: Callable[[str], str]) -> RuleSet:
        """Return what decides about calls and pop-ups; `token_of` returns what stands for an erased number."""
        contacts = contact_list.ContactList.create(self.contacts, token_of)
        return RuleSet(
            shows={way: getattr(self, name) != PopupChoice.OFF for way, name in POPUP_FIELDS.items()},
            uploads_answered=self.upload_answered,
            uploads_missed=self.upload_missed,
            uploads_outgoing=self.upload_outgoing,
            uploads_internal=self.upload_internal,
            numbers=_selection(self.number_filter, self.numbers),
            employees=_selection(self.employee_filter, self.employees),
            contacts=(self.contact_filter, contacts if self.contact_filter != Filter.ALL else frozenset()),
        )

    def uis_status(self, crm_status: str) -> str:
        """Return the UIS status for a CRM status; an unknown one counts as busy."""
        return self._uis_statuses.get(crm_status, self.status_busy)

    def crm_status(self, uis_status: str) -> str:
        """Return the CRM status for a UIS status; an unmapped one counts as busy."""
        return {uis: crm for crm, uis in self._uis_statuses.items()}.get(uis_status, "busy")

    @property
    def _uis_statuses(self) -> dict[str, str]:
        """The UIS status of each CRM status. The last one wins if several have the same UIS status."""
        return {name: getattr(self, f"status_{name}") for name in ("dinner", "break", "busy", "free")}


NAMES = tuple(field.name for field in fields(Rules))
LISTS = {"number_filter": "numbers", "employee_filter": "employees", "contact_filter": "contacts"}  # by their filter
_reader = TypeAdapter(Rules)


class InvalidRules(ValueError):
    """A document is not that of rules; the text says which value is wrong."""


def loads(document: Mapping[str, Any]) -> Rules:
    """Return the rules of a document. Raises InvalidRules: what is missing or unknown is never guessed."""
    if (schema := document.get("schema")) != SCHEMA:
        raise InvalidRules(f"schema: {schema!r} is not known, only {SCHEMA}")
    values = {name: value for name, value in document.items() if name != "schema"}
    if missing := [name for name in NAMES if name not in values]:
        raise InvalidRules(f"{', '.join(missing)}: missing")
    try:
        return _reader.validate_python(values)
    except ValidationError as exc:
        wrong = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors(include_url=False))
        raise InvalidRules("; ".join(wrong)) from exc


def dumps(rules: Rules) -> dict[str, Any]:
    """Return the document of rules."""
    return {"schema": SCHEMA, **_reader.dump_python(rules, mode="json")}


def _selection(mode: Filter, members: tuple[object, ...]) -> Selection:
    return mode, frozenset(members) if mode != Filter.ALL else frozenset()
