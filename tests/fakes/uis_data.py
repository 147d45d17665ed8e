"""The Data API of the fake UIS: account, employees, statuses, numbers, the two reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.fakes import uis_attribution, uis_fields, uis_reports, uis_update
from tests.fakes.uis_account import Account
from tests.fakes.uis_fields import Columns
from tests.fakes.uis_jsonrpc import Param, Row, RpcError, check_params
from tests.fakes.uis_query import LISTING, parse_date, select


@dataclass(frozen=True)
class Reply:
    """The result of a method. No data at all is the empty result of update.*."""

    data: object = None
    total: int | None = None


@dataclass(frozen=True)
class Method:
    """A method and what the customer needs to call it."""

    run: Callable[[Account, Row], Reply]
    permission: str | None = None
    component: str | None = None


_WINDOW = {"date_from": Param("string", is_required=True), "date_till": Param("string", is_required=True)}


@dataclass(frozen=True)
class _Listing:
    """A get.* method: its rows, its columns, and its parameters in addition to the common ones."""

    method: str
    rows: Callable[[Account, Row], list[Row]]
    columns: Columns
    spec: Mapping[str, Param] = field(default_factory=dict)

    def __call__(self, account: Account, params: Row) -> Reply:
        check_params(params, {**LISTING, **self.spec, **user_param(account)})
        check_user(account, params)
        columns = uis_fields.on_brand(self.columns, account.brand)
        if refused := account.refused_columns.intersection(params.get("fields", [])):
            raise RpcError("parameter_component_disabled", "fields", sorted(refused), components="Data API")
        if not account.sorts_by_id and any(one.get("field") == "id" for one in params.get("sort", [])):
            raise RpcError("sort_prohibited", "sort", "id")
        if params.get("offset"):
            _delete_due(account)
        rows = self.rows(account, params)
        left, hidden = account.shortenings.take(self.method, len(rows))
        turn = len(account.spent["data"])
        page, total = select(rows[:left], columns, params, has_in=not account.refuses_in_operator, turn=turn)
        return Reply(page, total + hidden)


def _delete_due(account: Account) -> None:
    """Delete the employees who are to disappear before the next page is read."""
    while account.paging_deletions:
        account.employees.pop(account.paging_deletions.pop(), None)


def user_param(account: Account) -> dict[str, Param]:
    """The parameter user_id exists only for agents, who must send it."""
    return {"user_id": Param("number", is_required=True)} if account.agent_user_ids else {}


def check_user(account: Account, params: Row) -> None:
    """Raise if the user is not one of the agent's."""
    if account.agent_user_ids and params["user_id"] not in account.agent_user_ids:
        raise RpcError("forbidden", "user_id", params["user_id"])


def _account_rows(account: Account, params: Row) -> list[Row]:
    return [{"app_id": account.app_id, "name": account.name, "timezone": account.reported_timezone or account.timezone}]


def _employee_rows(account: Account, params: Row) -> list[Row]:
    return list(account.employees.values())


def _number_rows(account: Account, params: Row) -> list[Row]:
    return list(account.numbers.values())


def _status_rows(account: Account, params: Row) -> list[Row]:
    if not account.has_statuses:
        raise RpcError("method_not_found")
    is_deleted = params.get("is_deleted", False)
    return [row for row in account.statuses.values() if row["is_deleted"] == is_deleted]


def _call_rows(account: Account, params: Row) -> list[Row]:
    is_inside, now = _read_window(params), account.clock()
    found = []
    for session in account.sessions.values():
        is_shown = session.is_shown(now) or (session.is_running and params.get("include_ongoing_calls", False))
        if is_shown and is_inside(account.local(session.started_at)):
            found.append(uis_reports.call_row(session, now))
    return found


def _leg_rows(account: Account, params: Row) -> list[Row]:
    is_inside, now = _read_window(params), account.clock()
    found = []
    for session in account.sessions.values():
        legs = session.legs if session.is_shown(now) else []
        found += [uis_reports.leg_row(leg, session, now) for leg in legs if is_inside(account.local(leg.started_at))]
    return found


def _read_window(params: Row) -> Callable[[datetime], bool]:
    first, last = (parse_date(params[name], name) for name in ("date_from", "date_till"))
    if last > _three_months_after(first):
        raise RpcError("date_interval_limit_reached", "date_till", params["date_till"])
    return lambda local: first <= local.replace(microsecond=0) <= last


def _three_months_after(moment: datetime) -> datetime:
    month = moment.month + 3
    first = moment.replace(day=1, year=moment.year + (month - 1) // 12, month=(month - 1) % 12 + 1)
    following = (first + timedelta(days=32)).replace(day=1)
    last_day = (following - timedelta(days=1)).day
    return first.replace(day=min(moment.day, last_day))


def _update_employees(account: Account, params: Row) -> Reply:
    check_params(params, uis_update.spec(account) | user_param(account))
    check_user(account, params)
    uis_update.update(account, {name: value for name, value in params.items() if name != "user_id"})
    return Reply()


_ONGOING: dict[str, Any] = {"include_ongoing_calls": Param("boolean")}
METHODS = {
    "get.account": Method(_Listing("get.account", _account_rows, uis_fields.ACCOUNT)),
    "get.employees": Method(
        _Listing("get.employees", _employee_rows, uis_fields.EMPLOYEES), permission="employees: select"
    ),
    "get.statuses": Method(
        _Listing("get.statuses", _status_rows, uis_fields.STATUSES, {"is_deleted": Param("boolean")})
    ),
    "get.virtual_numbers": Method(
        _Listing("get.virtual_numbers", _number_rows, uis_fields.NUMBERS), permission="number_management: select"
    ),
    "get.calls_report": Method(_Listing("get.calls_report", _call_rows, uis_reports.CALLS, _WINDOW | _ONGOING)),
    "get.call_legs_report": Method(_Listing("get.call_legs_report", _leg_rows, uis_fields.LEGS, _WINDOW)),
    "get.campaigns": Method(_Listing("get.campaigns", uis_attribution.campaign_rows, uis_attribution.CAMPAIGNS)),
    "get.scenarios": Method(
        _Listing("get.scenarios", uis_attribution.scenario_rows, uis_attribution.SCENARIOS),
        permission="va: select",
        component="va",
    ),
    "get.tags": Method(
        _Listing("get.tags", uis_attribution.tag_rows, uis_attribution.TAGS), permission="tag_management: select"
    ),
    "update.employees": Method(_update_employees, permission="employees: update"),
}
