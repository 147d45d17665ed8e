"""Simulated outages of the fake UIS: server errors, broken connections, answers that are not as documented."""

from __future__ import annotations

import json
from dataclasses import dataclass

import requests

from tests.fakes.uis_jsonrpc import Row, RpcError

# The request is executed, but its answer is not as documented: no result, cut JSON, values of other types.
GARBLED = ("no_result", "truncated", "wrong_shape")
KINDS = ("503", "500", "html", "timeout", "refused", "cut", "internal_error", *GARBLED)
# Answers of a gateway before UIS, with their status: "page 403", "foreign 403".
GATEWAY = ("page", "foreign")
# UIS executes the request, but its answer is lost.
ANSWER_LOST = frozenset({"cut", *GARBLED})
_JSON = {"Content-Type": "application/json; charset=UTF-8"}
_HTML = {"Content-Type": "text/html; charset=UTF-8"}
_GARBLED = {
    "no_result": '{"jsonrpc": "2.0", "id": null, "result": null}',
    "truncated": '{"jsonrpc": "2.0", "id": null, "result": {"data": [{"id": 1,',
    "wrong_shape": '{"jsonrpc": "2.0", "id": null, "result": {"data": ["text"], "metadata": []}}',
}
_PAGE = "<html><body><h1>Service temporarily unavailable</h1></body></html>"


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: str | bytes


@dataclass
class _Outage:
    kind: str
    method: str | None
    times: int | None
    token: str | None

    def matches(self, method: str, token: str) -> bool:
        return self.method in {None, method} and self.token in {None, token} and self.times != 0

    def count(self) -> None:
        if self.times is not None:
            self.times -= 1


class Outages:
    """The outages in force; the oldest that matches a request applies."""

    def __init__(self) -> None:
        self._outages: list[_Outage] = []

    def add(self, kind: str, *, method: str | None, times: int | None, token: str | None = None) -> None:
        if kind not in KINDS and kind.partition(" ")[0] not in GATEWAY:
            raise ValueError(f"unknown kind of outage: {kind}")
        self._outages.append(_Outage(kind, method, times, token))

    def clear(self) -> None:
        self._outages.clear()

    def match(self, method: str, token: str = "") -> str | None:
        """Return the kind of outage that applies to this request, and count it."""
        outage = next((candidate for candidate in self._outages if candidate.matches(method, token)), None)
        if outage is None:
            return None
        outage.count()
        return outage.kind


def write(body: Row, *, status: int = 200) -> Answer:
    """Return a JSON answer."""
    return Answer(status, dict(_JSON), json.dumps(body, ensure_ascii=False))


def fail(kind: str) -> Answer:
    """Return or raise what the client sees of an outage."""
    if kind == "timeout":
        raise requests.exceptions.ReadTimeout("Read timed out")
    if kind in {"refused", "cut"}:
        raise requests.exceptions.ConnectionError(f"Connection {kind}")
    if kind == "internal_error":
        return write(RpcError("internal_error").body(None, metadata=None))
    if kind in GARBLED:
        return Answer(200, dict(_JSON), _GARBLED[kind])
    source, _space, status = kind.partition(" ")
    if source == "page":
        return Answer(int(status), dict(_HTML), _PAGE)
    if source == "foreign":
        return write({"error": {"code": int(status), "message": "Forbidden"}}, status=int(status))
    return Answer(int(kind) if kind.isdigit() else 200, dict(_HTML), _PAGE)
