"""The methods of UIS we use: Data API v2.0 and Call API v4.0, in our words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector_project.remote import AccessDenied, RemoteRejected, UnexpectedReply
from telephony.uis import columns, wire
from telephony.uis.reader import Reader
from telephony.uis.refusals import SYSTEM
from telephony.uis.rpc import Channel
from telephony.uis.types import Account, CallLeg, CallOrder, FinishedCall, OwnNumber, Person, Status

HOSTS = {
    "uis": ("https://dataapi.uiscom.ru/v2.0", "https://callapi.uiscom.ru/v4.0", "app.uiscom.ru"),
    "comagic": ("https://dataapi.comagic.ru/v2.0", "https://callapi.comagic.ru/v4.0", "app.comagic.ru"),
    "callgear": ("https://dataapi.callgear.com/v2.0", "https://callapi.callgear.com/v4.0", "app.callgear.com"),
    "novofon": (
        "https://dataapi-jsonrpc.novofon.ru/v2.0",
        "https://callapi-jsonrpc.novofon.ru/v4.0",
        "app.novofon.ru",
    ),
}
# Nobody documents whether a window is held against the start of the call or of the leg.
MARGIN = timedelta(days=1)


@dataclass(kw_only=True)
class UisClient(Reader):
    """One account. Every method raises the errors of connector_project.remote."""

    calls_api: Channel

    def account(self) -> Account:
        """https://comagic.github.io/data_api/account/get_account/"""
        found = wire.read(wire.AccountRow, self._ask("get.account", {}).data)
        if not found:
            raise UnexpectedReply(SYSTEM, "UIS named no account.")
        return found[0].to_account()

    def employees(self) -> list[Person]:
        """All employees. https://comagic.github.io/data_api/employee/get_employees/"""
        params = {"fields": [*columns.EMPLOYEE, "extension"]}
        return [row.to_person(digits=self._digits) for row in self._all("get.employees", params, wire.EmployeeRow)]

    def employee_statuses(self) -> dict[int, str]:
        """The status of each employee, by his id: the status id where UIS has one, else the old word."""
        params = {"fields": ["id", "status", "status_id"]}
        return {row.id: row.status_code for row in self._all("get.employees", params, wire.EmployeeRow)}

    def statuses(self) -> list[Status]:
        """The statuses in use. https://comagic.github.io/data_api/employee/get_statuses/"""
        return [row.to_status() for row in self._all("get.statuses", {}, wire.StatusRow) if not row.is_deleted]

    def virtual_numbers(self) -> list[OwnNumber]:
        """All numbers of the account. https://comagic.github.io/data_api/vn/get_virtual_numbers/"""
        params = {"fields": ["id", "virtual_phone_number", "name", "status"]}
        return [row.to_number(digits=self._digits) for row in self._all("get.virtual_numbers", params, wire.NumberRow)]

    def set_status(self, employee_id: int, status_id: int) -> None:
        """https://comagic.github.io/data_api/employee/update_employees/"""
        self._update_employee(employee_id, {"status_id": status_id})

    def set_availability(self, employee_id: int, *, is_available: bool) -> None:
        """The deprecated way, for accounts without statuses; the same page."""
        self._update_employee(employee_id, {"calls_available": is_available})

    def calls(self, *, since: datetime, till: datetime) -> Iterator[FinishedCall]:
        """Finished calls that began in a window however long, the oldest first, each once.

        https://comagic.github.io/data_api/report/get_calls_report/
        """
        params = {"fields": columns.CALL, "sort": [{"field": "start_time", "order": "asc"}]}
        for row in self._dated("get.calls_report", params, wire.CallRow, since=since, till=till):
            yield self._call(row)

    def has_calls_of(self, source: str, *, since: datetime, till: datetime) -> bool:
        """Whether calls of this source began in the window, such as those of UIS's own integrations. The same page."""
        chosen = {"field": "source", "operator": "=", "value": source}
        params = self._window(since, till) | {"fields": ["id"], "filter": chosen, "limit": 1}
        return bool(self._ask("get.calls_report", params).data)

    def calls_by_session(self, session_ids: Sequence[int], *, since: datetime, till: datetime) -> list[FinishedCall]:
        """The report's rows of these sessions."""
        asked = ("get.calls_report", "id", columns.CALL)
        found = self._of_sessions(asked, session_ids, wire.CallRow, since=since - MARGIN, till=till + MARGIN)
        return [self._call(row) for row in found]

    def call_legs(self, session_ids: Sequence[int], *, since: datetime, till: datetime) -> list[CallLeg]:
        """All legs of these sessions, in one request for every hundred.

        https://comagic.github.io/data_api/report/get_call_legs_report/
        """
        asked = ("get.call_legs_report", "call_session_id", columns.LEG)
        found = self._of_sessions(asked, session_ids, wire.LegRow, since=since - MARGIN, till=till + MARGIN)
        return [row.to_leg(zone=self.zone, digits=self._digits) for row in found]

    def start_call(self, order: CallOrder) -> int:
        """Ring the employee, then the contact, and return the session id. Not idempotent: never repeat it.

        https://comagic.github.io/call_api/create_call/start_employee_call/
        """
        employee: dict[str, object] = {"id": order.employee_id}
        if order.employee_number:
            employee["phone_number"] = order.employee_number
        params = {
            "first_call": "employee",
            "switch_at_once": True,
            "early_switching": True,
            "show_virtual_phone_number": False,
            "virtual_phone_number": order.number,
            "external_id": order.external_id,
            "direction": "out",
            "contact": order.contact,
            "employee": employee,
        }
        data = self.calls_api.ask("start.employee_call", params).data
        session_id = data.get("call_session_id") if isinstance(data, dict) else None
        if not str(session_id).isdigit():
            raise UnexpectedReply(SYSTEM, "UIS started a call without naming its session.")
        return int(str(session_id))

    def release_call(self, session_id: int) -> bool:
        """End a call. https://comagic.github.io/call_api/manage_call/release_call/"""
        data = self.calls_api.ask("release.call", {"call_session_id": session_id}).data
        # Documented as the word "true" here and as a boolean elsewhere.
        return isinstance(data, dict) and str(data.get("success")).lower() == "true"

    def try_call_api(self) -> None:
        """Knock at the Call API without doing anything: there is no session 0. Raises what would stop a call, too."""
        try:
            self.release_call(0)
        except RemoteRejected as exc:
            if exc.code not in {"call_session_not_found", "invalid_parameter_value"}:  # said to who may ask, only
                raise

    def may_change_employees(self) -> bool:
        """Whether the key may change employees, found out by changing nobody: there is no employee 0."""
        try:
            self._ask("update.employees", {"id": 0, "status_id": 0})
        except AccessDenied as exc:
            if exc.code != "forbidden":
                raise
            return False
        except (RemoteRejected, UnexpectedReply):
            pass  # Refused for what was asked, not for who asks.
        return True

    def _call(self, row: wire.CallRow) -> FinishedCall:
        return row.to_call(zone=self.zone, digits=self._digits)

    def _update_employee(self, employee_id: int, change: Mapping[str, object]) -> None:
        """Change one employee; where the account wants the whole person, read him and send him back with the change."""
        try:
            self._ask("update.employees", {"id": employee_id, **change})
        except UnexpectedReply as exc:
            if exc.code != "required_parameter_missed":
                raise
            self._ask("update.employees", {"id": employee_id, **self._whole_employee(employee_id), **change})

    def _whole_employee(self, employee_id: int) -> dict[str, object]:
        """Return what an update may demand. Arrays are replaced as a whole, so all numbers must go along."""
        params = {
            "fields": ["id", "last_name", "phone_numbers"],
            "filter": {"field": "id", "operator": "=", "value": employee_id},
        }
        found = self._ask("get.employees", params).data
        if not found:
            raise RemoteRejected(SYSTEM, "UIS knows no such employee.", code="entity_not_found")
        return {"last_name": found[0].get("last_name"), "phone_numbers": found[0].get("phone_numbers")}
