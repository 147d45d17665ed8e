"""Our words for what retailCRM says and takes. Numbers carry their plus; every datetime is aware."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    """What happens on a line, for a pop-up."""

    IN = "in"
    OUT = "out"
    HANGUP = "hangup"


class Hangup(StrEnum):
    """How a call ended, in the words of call events. Not those of the upload: there it is "no answer"."""

    ANSWERED = "answered"
    NO_ANSWER = "no answered"
    BUSY = "busy"
    CANCELLED = "cancel"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class CallEvent:
    """A card to open or to close, for named users only."""

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
    """Extensions and users the account does not know."""

    unknown_codes: tuple[str, ...] = ()
    unknown_users: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A finished call for the history. `result` is one of our words."""

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
    record_url: str = ""


@dataclass(frozen=True)
class UploadAnswer:
    """How many calls were taken, and which the account had already."""

    processed: int
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manager:
    """The manager responsible for a customer."""

    user_id: int
    code: str


@dataclass(frozen=True)
class User:
    """A user of the CRM."""

    user_id: int
    name: str
    email: str
    is_active: bool
    phone: str = ""  # as somebody typed it


@dataclass(frozen=True)
class Rights:
    """What a key may do. Old keys have method patterns instead of scopes."""

    scopes: frozenset[str]
    patterns: frozenset[str]
    sites: tuple[str, ...] = ()

    def lacks(self, scope: str, *patterns: str) -> bool:
        """Say whether the key surely may not; a key that names neither is given the benefit of the doubt."""
        if self.scopes:
            return scope not in self.scopes
        return bool(self.patterns) and self.patterns.isdisjoint(patterns)


@dataclass(frozen=True, kw_only=True)
class Module:
    """Our module as the account is to know it."""

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
    """What the account has stored of our module."""

    is_on: bool
    codes: tuple[tuple[int, str], ...]
    is_frozen: bool = False  # by the vendor, usually for money
    addresses: tuple[tuple[str, str], ...] = ()  # those of ours it gives back, by their names on the wire


@dataclass(frozen=True)
class ModuleAnswer:
    """Users and stores of a module that the account does not know."""

    unknown_users: tuple[int, ...] = ()
    unknown_sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class HistoryCall:
    """A call as the account's own list shows it."""

    external_id: str
    result: str
    began_at: datetime | None = None
