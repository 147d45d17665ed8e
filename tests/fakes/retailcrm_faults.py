"""The ways in which the fake retailCRM can be out of order."""

from dataclasses import dataclass

from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import ReadTimeout, RequestException

from tests.fakes.retailcrm_http import Answer, Incoming, as_json, page, plain

KINDS = ("503", "429", "500", "html", "timeout", "refused", "cut")


@dataclass
class Fault:
    """One thing that is broken, for whom, and for how many requests more (None: until repaired)."""

    kind: str
    path_part: str | None
    host: str | None
    left: int | None
    retry_after: int | None

    def hits(self, asked: Incoming) -> bool:
        """True if this request meets the fault."""
        is_here = self.host is None or self.host.lower() == asked.host
        return is_here and self.left != 0 and (self.path_part is None or self.path_part in asked.path)

    def count(self) -> None:
        """One request has met the fault."""
        if self.left is not None:
            self.left -= 1

    def answer(self) -> Answer:
        """Return what comes instead of the real answer; a broken connection shows as a proxy would show it."""
        answer = _ANSWERS[self.kind]
        if self.retry_after is None:
            return answer
        return Answer(answer.status, {**answer.headers, "Retry-After": str(self.retry_after)}, answer.body)

    def failure(self) -> RequestException | None:
        """Return what `requests` raises, where there is no answer at all."""
        if self.kind == "timeout":
            return ReadTimeout("Read timed out. (fake retailCRM)")
        if self.kind == "refused":
            return ConnectionFailed("Connection refused (fake retailCRM)")
        if self.kind == "cut":
            return ConnectionFailed("Connection aborted: remote end closed without response (fake retailCRM)")
        return None


_ANSWERS = {
    "503": plain(503, "Service Temporarily Unavailable"),
    "429": plain(429, ""),
    "500": as_json(500, {"success": False, "errorMsg": "Internal Server Error"}),
    "html": page(200, "Works in progress"),
    "timeout": page(504, "504 Gateway Time-out"),
    "refused": page(502, "502 Bad Gateway"),
    "cut": page(502, "502 Bad Gateway"),
}
