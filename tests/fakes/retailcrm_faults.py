"""Simulated faults of the fake retailCRM."""

from dataclasses import dataclass

from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout, RequestException

from tests.fakes.retailcrm_http import JSON_TYPE, Answer, Incoming, as_json, page, plain

# The request is executed, but its answer is not as documented: no object, cut JSON, values of other types.
GARBLED = ("no_result", "truncated", "wrong_shape")
# The CRM executes the request, but its answer is lost.
ANSWER_LOST = frozenset({"cut", *GARBLED})


def answer_of(kind: str) -> Answer:
    """Return the answer to a kind of fault; "page 403" and "foreign 403" come from a gateway, not from the API.

    Raises ValueError for an unknown kind.
    """
    source, _space, status = kind.partition(" ")
    if source == "page" and status.isdigit():
        return page(int(status), f"{status} from the gateway")
    if source == "foreign" and status.isdigit():
        return as_json(int(status), {"message": "Forbidden", "requestId": "c6af9ac6"})
    if kind not in _ANSWERS:
        raise ValueError(f"Unknown kind of fault {kind!r}, use one of {', '.join(_ANSWERS)}.")
    return _ANSWERS[kind]


@dataclass
class Fault:
    """A fault, the requests it applies to, and how many more of them (None: until repaired)."""

    kind: str
    path_part: str | None
    host: str | None
    remaining: int | None
    retry_after: int | str | None

    def matches(self, incoming: Incoming) -> bool:
        is_host = self.host is None or self.host.lower() == incoming.host
        return is_host and self.remaining != 0 and (self.path_part is None or self.path_part in incoming.path)

    def count(self) -> None:
        """Count one request that met the fault."""
        if self.remaining is not None:
            self.remaining -= 1

    def answer(self) -> Answer:
        """Return the answer sent instead of the real one; for a broken connection, the answer of a proxy."""
        answer = answer_of(self.kind)
        if self.retry_after is None:
            return answer
        return Answer(answer.status, {**answer.headers, "Retry-After": str(self.retry_after)}, answer.body)

    def failure(self) -> RequestException | None:
        """Return the exception that `requests` raises; None if there is an answer."""
        if self.kind == "timeout":
            return ReadTimeout("Read timed out. (fake retailCRM)")
        if self.kind == "refused":
            return RequestsConnectionError("Connection refused (fake retailCRM)")
        if self.kind == "cut":
            return RequestsConnectionError("Connection aborted: remote end closed without response (fake retailCRM)")
        return None


_LISTS = ("duplicateCalls", "notExistCodes", "notExistUsers", "users", "versions", "scopes", "calls")
_OBJECTS = ("settings", "integrationModule", "configuration", "info")
_WRONG_SHAPE = {"success": True, "processedCallsCount": "many", **dict.fromkeys((*_LISTS, *_OBJECTS), 1)}
_ANSWERS = {
    "503": plain(503, "Service Temporarily Unavailable"),
    "429": plain(429, ""),
    "500": as_json(500, {"success": False, "errorMsg": "Internal Server Error"}),
    "html": page(200, "Works in progress"),
    "timeout": page(504, "504 Gateway Time-out"),
    "refused": page(502, "502 Bad Gateway"),
    "cut": page(502, "502 Bad Gateway"),
    "no_result": Answer(200, {"Content-Type": JSON_TYPE}, "null"),
    "truncated": Answer(200, {"Content-Type": JSON_TYPE}, '{"success": true, "processedCallsCount": '),
    "wrong_shape": as_json(200, _WRONG_SHAPE),
}
