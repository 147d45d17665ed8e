"""One account of the fake retailCRM: its users, its telephony, and everything it has stored."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.fakes.retailcrm_checks import as_user_id
from tests.fakes.retailcrm_http import ApiError

DEFAULT_SCOPES = (
    "integration_read",
    "integration_write",
    "telephony_read",
    "telephony_write",
    "user_read",
    "user_write",
    "customer_read",
    "reference_read",
)


@dataclass
class Account:
    """One account with one API key. Tests read and change its fields directly."""

    host: str
    key: str
    timezone: str
    scopes: set[str] = field(default_factory=lambda: set(DEFAULT_SCOPES))
    credentials: list[str] | None = None  # a list: a key of the old kind, with method patterns instead of scopes
    site_access: str = "access_selective"
    settings_scope: str | None = "reference_read"  # the real one is unknown; another scope here gives 403
    sites: list[str] = field(default_factory=lambda: ["shop-one"])
    users: dict[int, dict[str, Any]] = field(default_factory=dict)
    modules: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings_v4: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[list[dict[str, Any]]] = field(default_factory=list)
    ignored_calls: set[str] = field(default_factory=set)  # external ids that an upload accepts, but does not store
    blocking_calls: set[str] = field(default_factory=set)  # those that keep the whole batch from being stored
    count_of_uploads: Callable[[int, int], Any] = lambda stored, _sent: (
        stored
    )  # as the answer tells it; None: not at all
    responsible: dict[str, int] = field(default_factory=dict)
    serves_v5: bool = True
    serves_v4: bool = True
    serves_calls_list: bool = True
    limits_on: bool = True
    limit_status: int = 503
    over_limit: int = 0
    errors_as_list: bool = False
    simple_connection: bool = False  # connected through the marketplace; needed by update-scopes
    recent: dict[str, list[datetime]] = field(default_factory=dict)  # times of the latest requests, for the rate limit
    screens: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    takes_messages: bool = True
    messages: list[tuple[int, str, str]] = field(default_factory=list)  # user, type, text
    paging_deletions: list[tuple[int, int]] = field(default_factory=list)  # page and user
    kept_users: int | None = None  # how many users a shortened list has
    shortened_times: int | None = 0  # requests that get the shortened list; None: all

    @property
    def technical_host(self) -> str:
        """The second host name of the account."""
        return f"faketechnical-{self.host.replace('.', '-')}.retailcrm.io"

    def add_user(
        self,
        user_id: int,
        *,
        first_name: str = "Test",
        last_name: str = "",
        email: str | None = None,
        active: bool = True,
        phone: str | None = None,
    ) -> dict[str, Any]:
        """Add a user. Empty fields are left out of the record, as the vendor does."""
        fields = {"email": email, "firstName": first_name, "lastName": last_name, "phone": phone}
        self.users[user_id] = {
            "id": user_id,
            "createdAt": "2020-05-25 12:49:00",
            "active": active,
            **{name: value for name, value in fields.items() if value},
            "status": "free",
            "online": True,
            "isAdmin": False,
            "isManager": True,
            "groups": [{"id": 25, "name": "Менеджеры", "code": "manager"}],
        }
        return self.users[user_id]

    def delete_user_while_paging(self, user_id: int, *, before_page: int = 2) -> None:
        """Delete a user just before this page of the list is read: all users after them move up by one place."""
        self.paging_deletions.append((before_page, user_id))

    def shorten_users(self, *, keep: int = 0, times: int | None = 1) -> None:
        """Return only the first `keep` users for the next `times` requests (None: until `times=0`)."""
        self.kept_users, self.shortened_times = keep, times

    def popups(self) -> dict[int, list[dict[str, Any]]]:
        """Return the pop-ups each user sees now; users without one are left out."""
        return {user_id: copy.deepcopy(popups) for user_id, popups in self.screens.items() if popups}

    def active_telephony(self) -> list[dict[str, Any]]:
        """Return the telephony settings in force: of active, unfrozen v5 modules and of active v4 settings."""
        active_modules = [
            module for module in self.modules.values() if module.get("active") and not module.get("freeze")
        ]
        blocks = [module.get("integrations", {}).get("telephony") for module in active_modules]
        return [block for block in [*blocks, *self.settings_v4.values()] if block is not None and _is_active(block)]

    def require_telephony(self, message: str) -> None:
        """Raise unless some telephony is in force; the vendor answers this with a 200."""
        if not self.active_telephony():
            raise ApiError(200, message)

    def users_of(self, code: str) -> list[int]:
        """Return the users to whom an active telephony assigns this extension."""
        user_ids = [row["userId"] for block in self.active_telephony() for row in _codes(block) if row["code"] == code]
        return self.known_users(user_ids)

    def extension_of(self, user_id: int) -> str | None:
        rows = [row for block in self.active_telephony() for row in _codes(block)]
        return next((row["code"] for row in rows if as_user_id(row["userId"]) == user_id), None)

    def known_users(self, user_ids: Iterable[Any]) -> list[int]:
        """Return the ids that exist in the account, without duplicates."""
        ids = [as_user_id(value) for value in user_ids]
        return list(dict.fromkeys(user_id for user_id in ids if user_id is not None and user_id in self.users))


def _is_active(block: dict[str, Any]) -> bool:
    """Return whether the block is active: only v4 stores the flag inside the block."""
    return bool(block.get("active", True))


def _codes(block: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = block.get("additionalCodes", [])
    return rows
