"""Our types for what retailCRM sends and accepts. Phone numbers are E.164 with a plus; datetimes are aware."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    """Type of a call event."""

    IN = "in"
    OUT = "out"
    HANGUP = "hangup"


class Hangup(StrEnum):
    """Hangup status of a call event. The values differ from those of the upload ("no answer")."""

    ANSWERED = "answered"
    NO_ANSWER = "no answered"
    BUSY = "busy"
    CANCELLED = "cancel"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class CallEvent:
    """Opens or closes a pop-up, for the named users only."""

    type: EventType
    phone: str
    external_id: str
    codes: tuple[str, ...] = ()
    user_ids: tuple[int, ...] = ()
    external_phone: str = ""
    site: str = ""
    hangup: Hangup | None = None


@dataclass(frozen=True)
class EventAnswer:
    """Extensions and users unknown to the account."""

    unknown_codes: tuple[str, ...] = ()
    unknown_users: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A finished call to upload. `result` is one of our Result codes."""

    external_id: str
    started_at: datetime
    direction: str
    phone: str
    result: str
    talk_seconds: int
    wait_seconds: int
    code: str = ""
    user_id: int | None = None
    external_phone: str = ""
    site: str = ""
    recording_url: str = ""


@dataclass(frozen=True)
class UploadAnswer:
    """Number of accepted calls, and the external IDs of those the account already had."""

    processed: int
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manager:
    user_id: int
    code: str


@dataclass(frozen=True)
class User:
    user_id: int
    name: str
    email: str
    is_active: bool
    phone: str = ""  # as entered by a user


@dataclass(frozen=True)
class Rights:
    """A key's permissions. Old keys have method patterns instead of scopes."""

    scopes: frozenset[str]
    patterns: frozenset[str]
    sites: tuple[str, ...] = ()

    def lacks(self, scope: str, *patterns: str) -> bool:
        """Return whether the key certainly lacks the scope; False for a key without scopes and patterns."""
        if self.scopes:
            return scope not in self.scopes
        return bool(self.patterns) and self.patterns.isdisjoint(patterns)


@dataclass(frozen=True, kw_only=True)
class Module:
    """Our integration module, to be sent to the account."""

    code: str
    client_id: str
    name: str
    logo_url: str
    base_url: str
    make_call_url: str
    change_status_url: str
    integration_code: str = ""
    account_url: str = ""
    actions: tuple[tuple[str, str], ...] = ()
    is_active: bool = True
    codes: tuple[tuple[int, str], ...] = ()  # CRM user, extension
    phones: tuple[tuple[str, str], ...] = ()  # store, our number


@dataclass(frozen=True)
class ModuleState:
    """Our integration module as the account stores it."""

    is_on: bool
    codes: tuple[tuple[int, str], ...]
    is_frozen: bool = False  # by the vendor, usually because it is not paid for
    addresses: tuple[tuple[str, str], ...] = ()  # wire name, URL: those the account returns


@dataclass(frozen=True)
class ModuleAnswer:
    """Users and stores in the module that are unknown to the account."""

    unknown_users: tuple[int, ...] = ()
    unknown_sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class HistoryCall:
    """A call in the account's history."""

    external_id: str
    result: str
    started_at: datetime | None = None
