"""Client of the retailCRM API, versions 5 and 4."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from connector_project.core import http_client, time_zones
from crm.retailcrm import errors, payloads, types
from crm.retailcrm.errors import SYSTEM
from crm.retailcrm.payloads import CallEvent, CallRecord, Module
from crm.retailcrm.types import (
    EventAnswer,
    HistoryCall,
    ManagerAnswer,
    ModuleAnswer,
    ModuleState,
    Rights,
    UploadAnswer,
    User,
    UserList,
)

V5 = "v5"
V4 = "v4"
LARGEST_UPLOAD = 50
USERS_A_PAGE = 100
SYSTEM_INFO = "/api/system-info"
EVENT_SECONDS = 4.0
MANAGER_SECONDS = 4.0
UPLOAD_SECONDS = 20.0
DEFAULT_SECONDS = 10.0
# Named by scope; by method too, as a key of the old kind may have one method of a scope without the other.
EVENT_RIGHT = "telephony_write (call/event)"
UPLOAD_RIGHT = "telephony_write (calls/upload)"
NOTIFY_RIGHT = "notifications/send"
MANAGER_RIGHT = "telephony_read (manager)"

# Path of our module, and the field that has it in requests and answers.
_MODULE_PLACES = {V4: ("telephony/setting", "configuration"), V5: ("integration-modules", "integrationModule")}

AnswerT = TypeVar("AnswerT", bound=types.Answer)


@dataclass(frozen=True)
class RetailCrmClient:
    """Client of one account. Every method raises RemoteError.

    Each request runs inside `guard`, which gets its kind, "telephony" or "ordinary", and the right it needs ("" if it
    proves nothing about the key): it waits until the rate limit allows the request, and sees how it ends.
    """

    address: str
    key: str = field(repr=False)
    version: str = V5
    zone: ZoneInfo = field(default_factory=functools.partial(ZoneInfo, "Europe/Moscow"))
    guard: Callable[[str, str], AbstractContextManager[object]] = lambda _kind, _right: nullcontext()
    send: Callable[..., http_client.Reply] = http_client.send

    def versions(self) -> tuple[str, ...]:
        """https://docs.retailcrm.ru/Developers/API/APIVersions: the versions served, such as "5.0"."""
        return self._get(types.VersionsAnswer, "/api/api-versions").versions

    def rights(self) -> Rights:
        """https://docs.retailcrm.ru/Developers/API/APIFeatures/APIRules: what this key may do."""
        return self._get(Rights, "/api/credentials", right="credentials")

    def public_address(self) -> str:
        """The account's public URL from `system-info`, which needs no key."""
        return self._get(types.SystemAnswer, SYSTEM_INFO).public_url.rstrip("/")

    def time_zone(self) -> str:
        """The account's IANA time zone by GET /settings; "" if not permitted or unknown."""
        try:
            name = self._get(types.SettingsAnswer, self._path("/settings"), right="reference_read").settings.time_zone
        except (http_client.AccessDenied, http_client.UnexpectedReply) as exc:
            if exc.code in {errors.SCOPE, errors.METHOD_ABSENT}:
                return ""
            raise
        return name if name in time_zones.known() else ""

    def module(self, code: str) -> ModuleState | None:
        """Our module as stored in the account, or None.

        https://docs.retailcrm.ru/Developers/API/APIFeatures/TelephonyApiV4; version 5 has integration modules instead
        """
        path, _place = _MODULE_PLACES[self.version]
        try:
            return self._get(types.StoredModule, self._path(f"/{path}/{code}"), right="integration_read").state
        except http_client.RemoteRejected as exc:
            if exc.code != errors.NOT_FOUND:
                raise
            return None

    def edit_module(self, module: Module) -> ModuleAnswer:
        """Create or replace our module with all its extensions. Same pages as `module`."""
        path, place = _MODULE_PLACES[self.version]
        payload = payloads.to_module_v4(module) if self.version == V4 else payloads.to_module_v5(module)
        path = self._path(f"/{path}/{module.code}/edit")
        return self._post(ModuleAnswer, path, {place: payload}, right="integration_write")

    def send_event(self, event: CallEvent) -> EventAnswer:
        """Open or close a pop-up: POST /telephony/call/event. Useless a few seconds late, so never queued."""
        path = self._path("/telephony/call/event")
        return self._post(EventAnswer, path, {"event": event.payload()}, right=EVENT_RIGHT, timeout=EVENT_SECONDS)

    def upload_calls(self, calls: Sequence[CallRecord]) -> UploadAnswer:
        """Upload up to 50 calls: POST /telephony/calls/upload. Idempotent by externalId."""
        path, records = self._path("/telephony/calls/upload"), [call.payload(zone=self.zone) for call in calls]
        return self._post(UploadAnswer, path, {"calls": records}, right=UPLOAD_RIGHT, timeout=UPLOAD_SECONDS)

    def manager(self, phone: str, *, is_customer_asked: bool = False) -> ManagerAnswer:
        """The customer's manager, whatever their status, and if asked whether the customer is known.

        GET /telephony/manager
        """
        query = {"phone": phone, "details": str(int(is_customer_asked)), "ignoreStatus": "1"}
        path = self._path("/telephony/manager")
        return self._get(types.ManagerAnswer, path, query, right=MANAGER_RIGHT, timeout=MANAGER_SECONDS)

    def history(self, *, pages: int = 1) -> Iterator[HistoryCall]:
        """The newest calls in the account's history: GET /telephony/calls; not every account supports it."""
        query = {"limit": "100"}
        for _page in range(pages):
            answer = self._get(
                types.HistoryAnswer, self._path("/telephony/calls"), query, right="telephony_read (calls)"
            )
            yield from answer.calls
            if not answer.next_cursor:
                return
            query = {"limit": "100", "cursor": answer.next_cursor}

    def users(self) -> UserList:
        """All users, dismissed ones too: GET /users. If one is deleted meanwhile, the list is incomplete."""
        found: dict[int, User] = {}
        page, last, stated = 1, 1, 0
        while page <= last:
            query = {"limit": str(USERS_A_PAGE), "page": str(page)}
            answer = self._get(types.UsersAnswer, self._path("/users"), query, right="user_read")
            found |= {user.user_id: user for user in answer.users}
            page, last, stated = page + 1, answer.last_page, max(stated, answer.total)
        return UserList(tuple(found.values()), is_complete=len(found) >= stated)

    def set_user_status(self, user_id: int, status: str) -> None:
        """Set a status (free, busy, dinner, break): POST /users/{id}/status, version 5 only."""
        path = f"/api/{V5}/users/{user_id}/status"
        self._ask("POST", path, right="user_write", body={"status": status}, timeout=DEFAULT_SECONDS)

    def notify(self, user_id: int, message: str) -> None:
        """Show a message to one user: POST /notifications/send, version 5 only, as in the vendor's own clients.

        https://docs.retailcrm.ru/Developers/API/APIv5#post--api-v5-notifications-send
        """
        path = f"/api/{V5}/notifications/send"
        notification = {"type": "api.error", "message": message, "userIds": [user_id]}
        self._post(types.Answer, path, {"notification": notification}, right=NOTIFY_RIGHT, timeout=EVENT_SECONDS)

    def _path(self, path: str) -> str:
        return f"/api/{self.version}{path}"

    def _get(
        self,
        kind: type[AnswerT],
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        right: str = "",
        timeout: float = DEFAULT_SECONDS,
    ) -> AnswerT:
        return self._parse(kind, self._ask("GET", path, right=right, query=query or {}, timeout=timeout), path)

    def _post(
        self,
        kind: type[AnswerT],
        path: str,
        form: Mapping[str, object],
        *,
        right: str,
        timeout: float = DEFAULT_SECONDS,
    ) -> AnswerT:
        # The API wants structures as one JSON string in a form field and rejects nested fields.
        body = {name: json.dumps(value, ensure_ascii=False) for name, value in form.items()}
        return self._parse(kind, self._ask("POST", path, right=right, body=body, timeout=timeout), path)

    def _ask(self, method: str, path: str, *, right: str, **request: Any) -> dict[str, Any]:
        if not self.key and path != SYSTEM_INFO:
            # A disconnected client has no key: nothing more is sent for them, even by queued tasks.
            raise http_client.AccessDenied(SYSTEM, "There is no API key.", code=errors.KEY)
        # The key goes in a header, so that it is not in URLs and logs.
        headers = {"X-API-KEY": self.key} if self.key else {}
        with self.guard("telephony" if "/telephony" in path else "ordinary", right):
            reply = self.send(SYSTEM, method, f"{self.address.rstrip('/')}{path}", headers=headers, **request)
            return _read(reply, right=right)

    def _parse(self, kind: type[AnswerT], data: object, path: str) -> AnswerT:
        try:
            return kind.model_validate(data, context=self.zone, by_alias=True, by_name=False)
        except ValidationError as exc:
            where = exc.errors(include_input=False)[0]["loc"]
            raise http_client.UnexpectedReply(
                SYSTEM, f"retailCRM's answer to {path} does not match the documentation: {where}."
            ) from exc


def _read(reply: http_client.Reply, *, right: str) -> dict[str, Any]:
    """Return the body of a successful response; `success` decides, not the status code."""
    try:
        data = json.loads(reply.text)
    except (ValueError, RecursionError) as exc:
        raise errors.not_from_api(reply, is_json=False) from exc
    if not isinstance(data, dict) or "success" not in data:
        raise errors.not_from_api(reply, is_json=True)
    if str(data["success"]).lower() == "true":
        return data
    raise errors.from_status(reply) or errors.from_answer(data, right=right)
