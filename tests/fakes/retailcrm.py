"""A strict, stateful fake of retailCRM: it stores what it is sent and rejects what the vendor rejects."""

import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import responses
from requests import PreparedRequest
from requests.exceptions import ReadTimeout, RequestException

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_faults import ANSWER_LOST, Fault, answer_of
from tests.fakes.retailcrm_form import decode_body, decode_query, header, readable
from tests.fakes.retailcrm_http import Answer, ApiError, ApiRequest, Incoming, page
from tests.fakes.retailcrm_methods import answer

__all__ = ["Account", "Answer", "ApiRequest", "FakeRetailCrm"]

_DOMAINS = ("retailcrm.ru", "retailcrm.pro", "retailcrm.es", "retailcrm.io", "simla.com", "simla.io", "ecomlogic.com")
_ADDRESS = re.compile(rf"https://[A-Za-z0-9.-]+\.({'|'.join(map(re.escape, _DOMAINS))})/")
_HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class FakeRetailCrm:
    """The vendor with all its accounts. Mount it with `responses`, or serve it on a port."""

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self.accounts: dict[str, Account] = {}
        self.requests: list[ApiRequest] = []
        self._now = now or (lambda: datetime.now(UTC))
        self._faults: list[Fault] = []
        self.hang: Callable[[], None] = lambda: None  # waits as long as a client does for an answer that never comes
        self._lock = threading.Lock()

    @property
    def over_limit(self) -> int:
        """The number of requests above the rate limit, over all accounts."""
        return sum(account.over_limit for account in self.accounts.values())

    def add_account(
        self,
        host: str = "acct-example.retailcrm.ru",
        *,
        key: str = "fakeApiKey00000000000000000000ab",
        timezone: str = "Europe/Moscow",
    ) -> Account:
        """Add an account without users and without telephony."""
        self.accounts[host.lower()] = Account(host=host.lower(), key=key, timezone=timezone)
        return self.accounts[host.lower()]

    def serve(
        self, *, host: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer one request; a broken connection is answered with 502 or 504, as a proxy would."""
        incoming = self._parse(host=host, method=method, path=path, query=query, headers=headers, body=body)
        return self._receive(incoming)[0]

    def mount(self, mock: responses.RequestsMock) -> None:
        """Answer everything that `requests` sends to the vendor's domains over https."""
        # The fake offers every HTTP method so that it can refuse the wrong ones; no test uses them all.
        mock.assert_all_requests_are_fired = False
        for method in _HTTP_METHODS:
            mock.add_callback(method, _ADDRESS, callback=self._respond, content_type=None)

    def break_down(
        self,
        kind: str,
        *,
        path_part: str | None = None,
        host: str | None = None,
        times: int | None = None,
        retry_after: int | str | None = None,
    ) -> None:
        """Add a fault for the next `times` requests (None: until repaired). Several faults apply in turn."""
        answer_of(kind)  # raises for an unknown kind
        self._faults.append(Fault(kind, path_part=path_part, host=host, remaining=times, retry_after=retry_after))

    def repair(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def _parse(
        self, *, host: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Incoming:
        return Incoming(
            host=host.lower(),
            method=method.upper(),
            path=path,
            query=decode_query(query),
            fields=decode_body(body, header(headers, "Content-Type") or ""),
            header_key=header(headers, "X-API-KEY"),
            at=self._now(),
        )

    def _receive(self, incoming: Incoming) -> tuple[Answer, RequestException | None]:
        """Return the answer and, if the connection is to break, the exception. Thread-safe."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(incoming)), None)
            if fault is None:
                return self._record(incoming, self._answer(incoming)), None
            fault.count()
            self._record(incoming, self._answer(incoming) if fault.kind in ANSWER_LOST else fault.answer())
            return fault.answer(), fault.failure()

    def _answer(self, incoming: Incoming) -> Answer:
        account = self._find_account(incoming.host)
        if account:
            return answer(account, incoming)
        if incoming.method == "GET":
            return ApiError(404, "Account does not exist.").answer(errors_as_list=False)
        return page(405, "405 Not Allowed")

    def _find_account(self, host: str) -> Account | None:
        account = self.accounts.get(host)
        return account or next(
            (candidate for candidate in self.accounts.values() if candidate.technical_host == host), None
        )

    def _record(self, incoming: Incoming, reply: Answer) -> Answer:
        self.requests.append(
            ApiRequest(
                host=incoming.host,
                method=incoming.method,
                path=incoming.path,
                form=readable(incoming.fields),
                query=incoming.query,
                key_in_header=incoming.header_key is not None,
                at=incoming.at,
                status=reply.status,
            )
        )
        return reply

    def _respond(self, request: PreparedRequest) -> Any:
        """Translate between `responses` and the fake; `responses` raises an exception that is returned here."""
        url_parts = urlsplit(request.url or "")
        body = request.body or b""
        incoming = self._parse(
            host=url_parts.hostname or "",
            method=request.method or "",
            path=url_parts.path,
            query=url_parts.query,
            headers=request.headers,
            body=body.encode() if isinstance(body, str) else body,
        )
        reply, failure = self._receive(incoming)
        if isinstance(failure, ReadTimeout):
            self.hang()
        return failure or (reply.status, reply.headers, reply.body)
