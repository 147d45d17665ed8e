"""A strict, stateful fake of UIS (Data API v2.0, Call API v4.0), written from the reference alone."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
import responses

from tests.fakes import uis_call, uis_data, uis_recordings
from tests.fakes.uis_account import FIRST_SESSION, Account
from tests.fakes.uis_data import Method, Reply
from tests.fakes.uis_faults import ANSWER_LOST, KINDS, Answer, Outages, fail, write
from tests.fakes.uis_jsonrpc import (
    WITHOUT_LIMITS,
    Envelope,
    Row,
    RpcError,
    check_envelope,
    check_transport,
    read_envelope,
)
from tests.fakes.uis_session import Leg, Session
from tests.fakes.uis_webhooks import NAMES as EVENTS

__all__ = ["BRANDS", "EVENTS", "KINDS", "Account", "Answer", "FakeUis", "Leg", "RpcRequest", "Session"]

# brand -> where its Data API and its Call API answer (section 1.1)
BRANDS = {
    "uis": {"data": "https://dataapi.uiscom.ru/v2.0", "call": "https://callapi.uiscom.ru/v4.0"},
    "comagic": {"data": "https://dataapi.comagic.ru/v2.0", "call": "https://callapi.comagic.ru/v4.0"},
    "callgear": {"data": "https://dataapi.callgear.com/v2.0", "call": "https://callapi.callgear.com/v4.0"},
    "novofon": {
        "data": "https://dataapi-jsonrpc.novofon.ru/v2.0",
        "call": "https://callapi-jsonrpc.novofon.ru/v4.0",
    },
}
_METHODS: dict[str, dict[str, Method]] = {"data": uis_data.METHODS, "call": uis_call.METHODS}


@dataclass(frozen=True)
class RpcRequest:
    """One received request; `mnemonic` is None for success, a kind of `KINDS` for a simulated outage."""

    api: str
    method: str
    params: Row
    at: datetime
    mnemonic: str | None
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class _Incoming:
    api: str
    brand: str | None
    http_method: str
    headers: Mapping[str, str]
    body: bytes
    envelope: Envelope


class FakeUis:
    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self._now = now
        self.accounts: dict[str, Account] = {}
        self.requests: list[RpcRequest] = []
        self.media = uis_recordings.Media(self.accounts, self.now)
        self.retry_after = ""  # the header of every outage that has an HTTP answer
        self.hang: Callable[[], None] = lambda: None  # waits as long as a client does for an answer that never comes
        self._outages = Outages()
        self._lock = threading.RLock()  # the simulator serves it from several threads
        self._session_ids: Iterator[int] = itertools.count(FIRST_SESSION)
        self._leg_ids: Iterator[int] = itertools.count(11692454785)

    def now(self) -> datetime:
        """Return the time; reads the system clock at each call, so that tests can patch it."""
        return self._now() if self._now else datetime.now(UTC)

    def add_account(
        self,
        token: str = "uis-token",
        *,
        name: str = "ООО Пример",
        timezone: str = "Europe/Moscow",
        brand: str = "uis",
    ) -> Account:
        """Add a customer."""
        if brand not in BRANDS:
            raise ValueError(f"no such brand: {brand}")
        account = Account(token, name, timezone, brand, clock=self.now)
        account.session_ids, account.leg_ids = self._session_ids, self._leg_ids
        account.app_id += len(self.accounts)
        self.accounts[token] = account
        return account

    def break_down(
        self, kind: str, *, method: str | None = None, times: int | None = None, token: str | None = None
    ) -> None:
        """Fail the next `times` requests (None: until repaired) of one method, of "media", of one token, or all."""
        self._outages.add(kind, method=method, times=times, token=token)

    def repair(self) -> None:
        """Remove all faults."""
        self._outages.clear()
        self.retry_after = ""

    def mount(self, mock: responses.RequestsMock) -> None:
        """Answer on the hosts of all brands."""
        for brand, urls in BRANDS.items():
            for api, url in urls.items():
                for http_method in (responses.POST, responses.GET, responses.PUT):
                    mock.add_callback(http_method, url, self._callback(api, brand), content_type=None)
        for media_method in (responses.GET, responses.HEAD):
            mock.add_callback(media_method, uis_recordings.HOSTS, self._serve_media, content_type=None)

    def serve(self, api: str, *, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one HTTP request of any brand; a broken connection is answered as a gateway would."""
        try:
            return self._receive(api, brand=None, method=method, headers=headers, body=body)
        except requests.exceptions.ReadTimeout:
            return fail("504")
        except requests.exceptions.ConnectionError:
            return fail("502")

    def serve_media(self, *, method: str, host: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a request for a recording; an empty host is the simulator's. Raises if the connection is to break."""
        with self._lock:
            kind = self._outages.match(uis_recordings.MEDIA)
            if kind is None or kind in ANSWER_LOST:
                answer = self.media.serve(method=method, host=host, path=path, headers=headers)
        return answer if kind is None else uis_recordings.fault(kind)

    def _serve_media(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str | bytes]:
        parts = urlsplit(str(request.url))
        reply = self.serve_media(
            method=str(request.method), host=parts.hostname or "", path=parts.path, headers=request.headers
        )
        return reply.status, reply.headers, reply.body

    def _callback(
        self, api: str, brand: str
    ) -> Callable[[requests.PreparedRequest], tuple[int, dict[str, str], str | bytes]]:
        def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str | bytes]:
            body = request.body or b""
            reply = self._receive(
                api,
                brand=brand,
                method=str(request.method),
                headers=request.headers,
                body=body.encode() if isinstance(body, str) else bytes(body),
            )
            return reply.status, reply.headers, reply.body

        return answer

    def _receive(self, api: str, *, brand: str | None, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        envelope = read_envelope(body)
        incoming = _Incoming(api, brand, method, headers, body, envelope)
        with self._lock:
            kind = self._outages.match(envelope.method, envelope.token)
            if kind is None or kind in ANSWER_LOST:
                answer = self._execute(incoming)
            elif kind != "refused":  # such a request never arrives
                self._record(incoming, kind)
        return answer if kind is None else self._fail(kind)

    def _fail(self, kind: str) -> Answer:
        if kind == "timeout":
            self.hang()
        answer = fail(kind)
        answer.headers.update({"Retry-After": self.retry_after} if self.retry_after else {})
        return answer

    def _record(self, incoming: _Incoming, mnemonic: str | None) -> None:
        envelope = incoming.envelope
        request = RpcRequest(incoming.api, envelope.method, envelope.params, self.now(), mnemonic, envelope.token)
        self.requests.append(request)

    def _execute(self, incoming: _Incoming) -> Answer:
        account: Account | None = None
        status = 200 if incoming.http_method.upper() == "POST" else 405
        try:
            method = _find_method(incoming)
            account = self._find_account(incoming)
            _check_access(account, method, incoming.api, method_name=incoming.envelope.method)
            reply = method.run(account, incoming.envelope.params)
        except RpcError as error:
            self._record(incoming, error.mnemonic)
            is_counted = error.mnemonic not in WITHOUT_LIMITS
            metadata = _metadata(account, incoming.api) if account and is_counted else None
            return write(error.body(incoming.envelope.request_id, metadata=metadata), status=status)
        self._record(incoming, None)
        account.take_point(incoming.api)
        result = _result(reply, account, incoming)
        return write({"jsonrpc": "2.0", "id": incoming.envelope.request_id, "result": result})

    def _find_account(self, incoming: _Incoming) -> Account:
        token = incoming.envelope.token
        account = self.accounts.get(token)
        # A key of one brand is unknown to the others.
        if account is None or incoming.brand not in {None, account.brand}:
            raise RpcError("access_token_invalid", "access_token", token or None)
        if account.token_state != "valid":
            raise RpcError(f"access_token_{account.token_state}", "access_token", token)
        return account


def _find_method(incoming: _Incoming) -> Method:
    check_transport(incoming.http_method, headers=incoming.headers, body=incoming.body)
    check_envelope(incoming.envelope, brand=incoming.brand)
    method = _METHODS[incoming.api].get(incoming.envelope.method)
    if method is None:
        raise RpcError("method_not_found", value=incoming.envelope.method)
    return method


def _check_access(account: Account, method: Method, api: str, *, method_name: str) -> None:
    """Raise if the customer may not call this method, or not now."""
    if not account.is_whitelisted:
        raise RpcError("ip_not_whitelisted", ip=account.caller_ip)
    if not account.is_active:
        raise RpcError("account_inactive")
    if method_name in account.unavailable_methods:
        raise RpcError("method_component_disabled", components="Data API")
    if method.component and method.component not in account.components:
        raise RpcError("component_disabled", component_name=method.component)
    if method.permission and method.permission not in account.permissions:
        raise RpcError("forbidden")
    if api == "call" and not account.has_call_api_access:
        raise RpcError("forbidden")
    account.check_points(api)


def _metadata(account: Account, api: str) -> Row:
    return {"version": None, "limits": account.limits(api)}


def _result(reply: Reply, account: Account, incoming: _Incoming) -> Row:
    if reply.data is None:
        return {}
    uses_meta_data_key = incoming.envelope.method == "get.account" and account.uses_meta_data_key
    total = {} if reply.total is None else {"total_items": reply.total}
    metadata = total | _metadata(account, incoming.api)
    return {"data": reply.data, "meta_data" if uses_meta_data_key else "metadata": metadata}
