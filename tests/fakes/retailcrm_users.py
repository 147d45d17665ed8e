"""Users of the fake retailCRM: the list, a single user, their status, the user groups."""

from collections.abc import Callable
from typing import Any

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_form import scalar
from tests.fakes.retailcrm_http import BAD_INPUT, INVALID, NOT_A_CHOICE, Answer, ApiError, Incoming, done

_PAGE_SIZES = ("20", "50", "100")
_STATUSES = ("free", "busy", "dinner", "break")
_FLAGS = ("online", "active", "isManager", "isPosManager", "isAdmin")
_GROUPS: list[dict[str, Any]] = [
    {"id": 26, "name": "Руководители", "code": "director", "isManager": False},
    {"id": 25, "name": "Менеджеры", "code": "manager", "isManager": True},
]
_MATCHES: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "email": lambda user, value: user.get("email") == value,
    "status": lambda user, value: user.get("status") == value,
    "groups": lambda user, value: any(group["code"] == value for group in user.get("groups", [])),
    "createdAtFrom": lambda user, value: user["createdAt"] >= value,
    "createdAtTo": lambda user, value: user["createdAt"] <= value,
}


def show_users(account: Account, incoming: Incoming) -> Answer:
    """GET /users: paginated, inactive users included."""
    _delete_due(account, page=incoming.query.get("page", "1"))
    users = _shown(account)
    for name, value in _filters(incoming):
        users = [user for user in users if _matches(user, name, value)]
    pagination, rows = _page(incoming, users)
    return done(pagination=pagination, users=rows)


def _delete_due(account: Account, *, page: str) -> None:
    """Delete the users who are to disappear before this page is read."""
    for deletion in [one for one in account.paging_deletions if str(one[0]) == page]:
        account.paging_deletions.remove(deletion)
        account.users.pop(deletion[1], None)


def _shown(account: Account) -> list[dict[str, Any]]:
    """Return all users by id; of a shortened list the first ones."""
    users = [user for _, user in sorted(account.users.items())]
    if account.shortened_times == 0:
        return users
    if account.shortened_times is not None:
        account.shortened_times -= 1
    return users[: account.kept_users]


def show_user(account: Account, incoming: Incoming) -> Answer:
    """GET /users/{id}."""
    return done(user=_user(account, incoming))


def set_status(account: Account, incoming: Incoming) -> Answer:
    """POST /users/{id}/status; the status is a plain form field."""
    user = _user(account, incoming)
    status = scalar(incoming, "status")
    if status not in _STATUSES:
        raise ApiError(400, BAD_INPUT, {"status": NOT_A_CHOICE})
    user["status"] = status
    return done()


def show_groups(_account: Account, incoming: Incoming) -> Answer:
    """GET /user-groups."""
    pagination, rows = _page(incoming, _GROUPS)
    return done(pagination=pagination, groups=rows)


def _user(account: Account, incoming: Incoming) -> dict[str, Any]:
    user = account.users.get(int(incoming.args["id"]))
    if user is None:
        raise ApiError(404, "Not found")
    return user


def _filters(incoming: Incoming) -> list[tuple[str, str]]:
    """Return the filters of the query. Raises ApiError for an unknown one, or a flag that is not 0 or 1."""
    raw = [(name, value) for name, value in incoming.query.items() if name.startswith("filter")]
    filters = [(name.removeprefix("filter[").removesuffix("[]").removesuffix("]"), value) for name, value in raw]
    for name, value in filters:
        if name not in _FLAGS and name not in _MATCHES:
            raise ApiError(400, BAD_INPUT, {f"filter[{name}]": INVALID})
        if name in _FLAGS and value not in ("0", "1"):
            raise ApiError(400, BAD_INPUT, {f"filter[{name}]": NOT_A_CHOICE})
    return filters


def _matches(user: dict[str, Any], name: str, value: str) -> bool:
    if name in _FLAGS:
        return bool(user.get(name)) == (value == "1")
    return _MATCHES[name](user, value)


def _page(incoming: Incoming, rows: list[dict[str, Any]]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return one page; only three page sizes are valid."""
    size, page = incoming.query.get("limit", "20"), incoming.query.get("page", "1")
    if size not in _PAGE_SIZES:
        raise ApiError(400, BAD_INPUT, {"limit": NOT_A_CHOICE})
    if not page.isdecimal() or int(page) < 1:
        raise ApiError(400, BAD_INPUT, {"page": INVALID})
    limit, current = int(size), int(page)
    pagination = {
        "limit": limit,
        "totalCount": len(rows),
        "currentPage": current,
        "totalPageCount": -(-len(rows) // limit),
    }
    return pagination, rows[(current - 1) * limit : current * limit]
