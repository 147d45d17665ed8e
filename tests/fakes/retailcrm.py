"""A strict, stateful fake of retailCRM: accounts that keep what they are told and refuse what the vendor refuses."""

import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import responses
from requests import PreparedRequest
from requests.exceptions import RequestException

from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_faults import KINDS, Fault
from tests.fakes.retailcrm_form import decode_body, decode_query, header, readable
from tests.fakes.retailcrm_http import Answer, ApiRequest, Incoming, Refused, page
from tests.fakes.retailcrm_methods import answer

__all__ = ["Account", "Answer", "ApiRequest", "FakeRetailCrm"]

_DOMAINS = ("retailcrm.ru", "retailcrm.pro", "retailcrm.es", "retailcrm.io", "simla.com", "simla.io", "ecomlogic.com")
_ADDRESS = re.compile(rf"https://[A-Za-z0-9.-]+\.({'|'.join(map(re.escape, _DOMAINS))})/")
_HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class FakeRetailCrm:
    """The vendor with all its accounts. Mount it with `responses`, or serve it from a real port."""

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self.accounts: dict[str, Account] = {}
        self.requests: list[ApiRequest] = []
        self._now = now or (lambda: datetime.now(UTC))
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    @property
    def over_limit(self) -> int:
        """How many requests came too fast, over all accounts."""
        return sum(account.over_limit for account in self.accounts.values())

    def add_account(
        self,
        host: str = "acct-example.retailcrm.ru",
        *,
        key: str = "fakeApiKey00000000000000000000ab",
        timezone: str = "Europe/Moscow",
    ) -> Account:
        """Open an account, without employees and without telephony."""
        self.accounts[host.lower()] = Account(host=host.lower(), key=key, timezone=timezone)
        return self.accounts[host.lower()]

    def serve(
        self, *, host: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer one request; a connection that breaks shows as the 502 or 504 of a proxy."""
        asked = self._read(host=host, method=method, path=path, query=query, headers=headers, body=body)
        return self._receive(asked)[0]

    def mount(self, mock: responses.RequestsMock) -> None:
        """Answer everything that `requests` sends to the vendor's domains over https."""
        # The fake offers every HTTP method so that it can refuse the wrong ones; no test uses them all.
        mock.assert_all_requests_are_fired = False
        for method in _HTTP_METHODS:
            mock.add_callback(method, _ADDRESS, callback=self._call_back, content_type=None)

    def break_down(
        self,
        kind: str,
        *,
        path_part: str | None = None,
        host: str | None = None,
        times: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Break something. Several faults come one after the other, each as often as it was told."""
        if kind not in KINDS:
            raise ValueError(f"Unknown kind of fault {kind!r}, use one of {', '.join(KINDS)}.")
        self._faults.append(Fault(kind, path_part=path_part, host=host, left=times, retry_after=retry_after))

    def repair(self) -> None:
        """Mend everything that was broken."""
        self._faults.clear()

    def _read(
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

    def _receive(self, asked: Incoming) -> tuple[Answer, RequestException | None]:
        """Answer, and say how the connection broke if it did. One at a time: a server has threads."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.hits(asked)), None)
            if fault is None:
                return self._record(asked, self._answer(asked)), None
            fault.count()
            self._record(asked, self._answer(asked) if fault.kind == "cut" else fault.answer())
            return fault.answer(), fault.failure()

    def _answer(self, asked: Incoming) -> Answer:
        account = self._find(asked.host)
        if account:
            return answer(account, asked)
        if asked.method == "GET":
            return Refused(404, "Account does not exist.").answer(errors_as_list=False)
        return page(405, "405 Not Allowed")

    def _find(self, host: str) -> Account | None:
        by_name = self.accounts.get(host)
        return by_name or next((one for one in self.accounts.values() if one.technical_host == host), None)

    def _record(self, asked: Incoming, said: Answer) -> Answer:
        self.requests.append(
            ApiRequest(
                host=asked.host,
                method=asked.method,
                path=asked.path,
                form=readable(asked.fields),
                query=asked.query,
                key_in_header=asked.header_key is not None,
                at=asked.at,
                status=said.status,
            )
        )
        return said

    def _call_back(self, request: PreparedRequest) -> Any:
        """Translate between `responses` and the fake; an exception returned here is raised there."""
        address = urlsplit(request.url or "")
        body = request.body or b""
        asked = self._read(
            host=address.hostname or "",
            method=request.method or "",
            path=address.path,
            query=address.query,
            headers=request.headers,
            body=body.encode() if isinstance(body, str) else body,
        )
        said, failure = self._receive(asked)
        return failure or (said.status, said.headers, said.body)
