"""Client of the UIS methods we use: Data API v2.0 and Call API v4.0."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connector_project.core.http_client import AccessDenied, RemoteRejected, UnexpectedReply
from telephony.uis.data_api import Listing, Reader
from telephony.uis.errors import SYSTEM
from telephony.uis.fields import to_local
from telephony.uis.jsonrpc import Channel
from telephony.uis.numbers import CAMPAIGN_COLUMNS, Campaign, UisNumber
from telephony.uis.schemas import CallRow
from telephony.uis.types import Account, CallLeg, EndedEvent, Status, UisEmployee

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
EMPLOYEE_FIELDS = [
    *("id", "full_name", "first_name", "last_name", "email", "status", "status_id", "call_recording", "phone_numbers"),
    "extension",
]
# UIS does not document whether a date window filters by the start of the call or of the leg.
MARGIN = timedelta(days=1)


@dataclass(kw_only=True)
class UisClient(Reader):
    """One UIS account. Every method raises the errors of core.http_client."""

    calls_api: Channel

    def account(self) -> Account:
        """https://comagic.github.io/data_api/account/get_account/"""
        accounts = self._parse(Account, self._ask("get.account", {}).data)
        if not accounts:
            raise UnexpectedReply(SYSTEM, "UIS returned no account.")
        return accounts[0]

    def employees(self) -> Listing[UisEmployee]:
        """https://comagic.github.io/data_api/employee/get_employees/"""
        return self._list("get.employees", {"fields": EMPLOYEE_FIELDS}, UisEmployee)

    def employee_statuses(self) -> dict[int, str]:
        """Return each employee's status by employee id."""
        employees = self._all("get.employees", {"fields": ["id", "status", "status_id"]}, UisEmployee)
        return {employee.uis_id: employee.status for employee in employees}

    def statuses(self) -> Listing[Status]:
        """Return the statuses that are not deleted. https://comagic.github.io/data_api/employee/get_statuses/"""
        found = self._list("get.statuses", {}, Status)
        return replace(found, rows=[status for status in found.rows if not status.is_deleted])

    def virtual_numbers(self) -> Listing[UisNumber]:
        """https://comagic.github.io/data_api/vn/get_virtual_numbers/"""
        names = [name for name in UisNumber.wire_names() if name not in CAMPAIGN_COLUMNS]
        return self._list("get.virtual_numbers", {"fields": names}, UisNumber, CAMPAIGN_COLUMNS)

    def campaigns(self) -> Listing[Campaign]:
        """https://comagic.github.io/data_api/campaign/get_campaigns/"""
        return self._list("get.campaigns", {"fields": Campaign.wire_names()}, Campaign)

    def set_status(self, employee_id: int, status_id: int) -> None:
        """https://comagic.github.io/data_api/employee/update_employees/"""
        self._update_employee(employee_id, {"status_id": status_id})

    def set_availability(self, employee_id: int, *, is_available: bool) -> None:
        """Set the deprecated `calls_available`, for accounts without statuses; same page as `set_status`."""
        self._update_employee(employee_id, {"calls_available": is_available})

    def calls(self, *, since: datetime, till: datetime, columns: Sequence[str] = ()) -> Iterator[EndedEvent]:
        """Yield finished calls that started in the window, oldest first, each once. The window may be of any length.

        `columns` are asked for too (`call_facts.REPORT_COLUMNS`); if UIS refuses one, none of them is told.

        https://comagic.github.io/data_api/report/get_calls_report/
        """
        params = {"fields": CallRow.wire_names()}
        for row in self._dated("get.calls_report", params, CallRow, since=since, till=till, optional=columns):
            yield row.to_event()

    def has_calls_of(self, source: str, *, since: datetime, till: datetime) -> bool:
        """Return whether calls of this source (such as UIS's own integrations) started in the window. Same page."""
        condition = {"field": "source", "operator": "=", "value": source}
        window = {"date_from": to_local(since, zone=self.zone), "date_till": to_local(till, zone=self.zone)}
        params = window | {"fields": ["id"], "filter": condition, "limit": 1}
        return bool(self._ask("get.calls_report", params).data)

    def calls_by_session(
        self, session_ids: Sequence[int], *, since: datetime, till: datetime, columns: Sequence[str] = ()
    ) -> list[EndedEvent]:
        """Return the rows of these sessions; `columns` as in `calls`."""
        report, window = ("get.calls_report", "id"), {"since": since - MARGIN, "till": till + MARGIN}
        rows = self._of_sessions(report, session_ids, CallRow, **window, optional=columns)
        return [row.to_event() for row in rows]

    def call_legs(self, session_ids: Sequence[int], *, since: datetime, till: datetime) -> list[CallLeg]:
        """Return all legs of these sessions, one request per hundred sessions.

        https://comagic.github.io/data_api/report/get_call_legs_report/
        """
        report = ("get.call_legs_report", "call_session_id")
        return self._of_sessions(report, session_ids, CallLeg, since=since - MARGIN, till=till + MARGIN)

    def start_call(self, employee_id: int, *, contact: str, tones: str = "", number: str, external_id: str) -> int:
        """Ring the employee, then the contact; return the session id. Not idempotent: never retry it.

        `tones` are dialled when the contact answers: `0-9*#`, and a dot is a pause of a second.

        https://comagic.github.io/call_api/create_call/start_employee_call/
        """
        params = {
            "first_call": "employee",
            "switch_at_once": True,
            "early_switching": True,
            "show_virtual_phone_number": False,
            "virtual_phone_number": number,
            "external_id": external_id,
            "direction": "out",
            "contact": contact,
            "employee": {"id": employee_id},
            **({"dtmf_string": tones} if tones else {}),
        }
        data = self.calls_api.request("start.employee_call", params).data
        session_id = data.get("call_session_id") if isinstance(data, dict) else None
        if not str(session_id).isdigit():
            raise UnexpectedReply(SYSTEM, "UIS started a call but returned no session id.")
        return int(str(session_id))

    def release_call(self, session_id: int) -> bool:
        """https://comagic.github.io/call_api/manage_call/release_call/"""
        data = self.calls_api.request("release.call", {"call_session_id": session_id}).data
        # Documented as the string "true" here and as a boolean elsewhere.
        return isinstance(data, dict) and str(data.get("success")).lower() == "true"

    def probe_call_api(self) -> None:
        """Check access to the Call API by releasing session 0, which does not exist. Raises what would fail a call."""
        try:
            self.release_call(0)
        except RemoteRejected as exc:
            if exc.code not in {"call_session_not_found", "invalid_parameter_value"}:  # only sent to those with access
                raise

    def may_change_employees(self) -> bool:
        """Return whether the key may change employees: try to change employee 0, which does not exist."""
        try:
            self._ask("update.employees", {"id": 0, "status_id": 0})
        except AccessDenied as exc:
            if exc.code != "forbidden":
                raise
            return False
        except (RemoteRejected, UnexpectedReply):
            pass  # Rejected for its parameters, not for missing rights.
        return True

    def _update_employee(self, employee_id: int, change: Mapping[str, object]) -> None:
        """Change one employee. Where the account requires all fields, read them and send them with the change."""
        try:
            self._ask("update.employees", {"id": employee_id, **change})
        except UnexpectedReply as exc:
            if exc.code != "required_parameter_missed":
                raise
            self._ask("update.employees", {"id": employee_id, **self._whole_employee(employee_id), **change})

    def _whole_employee(self, employee_id: int) -> dict[str, object]:
        """Return the fields an update may require. UIS replaces arrays as a whole, so all numbers must be sent."""
        params = {
            "fields": ["id", "last_name", "phone_numbers"],
            "filter": {"field": "id", "operator": "=", "value": employee_id},
        }
        rows = self._ask("get.employees", params).data
        if not rows:
            raise RemoteRejected(SYSTEM, "UIS does not know this employee.", code="entity_not_found")
        return {"last_name": rows[0].get("last_name"), "phone_numbers": rows[0].get("phone_numbers")}
