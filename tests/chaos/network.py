"""The line between us and the vendors: it takes time, it breaks, and it remembers what passed over it."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
import responses

from tests.chaos.clock import Clock
from tests.chaos.processes import Processes
from tests.fakes import retailcrm_faults, uis_faults

UIS, CRM = "UIS", "CRM"
# Faults in which the vendor does what it was asked, and we never hear of it.
DEAF = ("cut", "slow")
SLOW_SECONDS = 30.0

Callback = Callable[[requests.PreparedRequest], Any]


@dataclass(frozen=True)
class Passed:
    """One request that the vendor carried out; `began_at` and `overslept` are of the task that made it."""

    side: str
    account: str  # the key of UIS, the host of the CRM
    method: str
    at: datetime
    began_at: datetime
    overslept: timedelta
    is_heard: bool  # whether the answer reached us
    asked: dict[str, Any] = field(repr=False)


class Wire(responses.RequestsMock):
    """Both fakes, mounted behind one line."""

    def __init__(self, clock: Clock, processes: Processes, rng: random.Random) -> None:
        super().__init__(assert_all_requests_are_fired=False)
        self.clock, self.processes, self.rng = clock, processes, rng
        self.fault_of: Callable[[str, str], str | None] = lambda _side, _account: None
        self.on_passed: Callable[[Passed], None] = lambda _passed: None
        self.passed: list[Passed] = []
        self.met: Counter[str] = Counter()

    def add_callback(self, method: Any, url: Any, callback: Callback, *rest: Any, **about: Any) -> Any:
        """Put the line in front of whatever a fake answers with."""

        def answer(request: requests.PreparedRequest) -> Any:
            return self.processes.ask(lambda: self._carry(request, callback))

        return super().add_callback(method, url, answer, *rest, **about)

    def _carry(self, request: requests.PreparedRequest, callback: Callback) -> Any:
        side, account, method, asked = _address(request)
        there, back = self.rng.uniform(0.01, 0.15), self.rng.uniform(0.01, 0.15)
        self.clock.sleep(there)
        fault = self.fault_of(side, account)
        if fault is not None:
            self.met[f"{side} {fault}"] += 1
        if fault in {None, *DEAF}:
            answer = self._deliver(request, callback, Passed(side, account, method, **self._when(fault), asked=asked))
        self.clock.sleep(back)
        if fault == "slow":
            return self._answer_slowly(request, answer)
        return answer if fault is None else self._fail(side, fault, request)

    def _when(self, fault: str | None) -> dict[str, Any]:
        now, process = self.clock.now(), self.processes.current
        began_at, overslept = (process.began_at, process.overslept) if process else (now, timedelta())
        return {"at": now, "began_at": began_at, "overslept": overslept, "is_heard": fault is None}

    def _deliver(self, request: requests.PreparedRequest, callback: Callback, passed: Passed) -> Any:
        answer = callback(request)
        # UIS refuses with a 200, too; its envelope says so at its beginning.
        if not isinstance(answer, Exception) and answer[0] == 200 and '"error":' not in answer[2][:150]:
            self.passed.append(passed)
            self.on_passed(passed)
        return answer

    def _answer_slowly(self, request: requests.PreparedRequest, answer: Any) -> Any:
        patience = _patience(request)
        self.clock.sleep(min(SLOW_SECONDS, patience))
        return answer if patience > SLOW_SECONDS else requests.exceptions.ReadTimeout("Read timed out")

    def _fail(self, side: str, kind: str, request: requests.PreparedRequest) -> Any:
        if kind == "timeout":
            self.clock.sleep(_patience(request))
        if side == CRM:
            fault = retailcrm_faults.Fault(kind, path_part=None, host=None, remaining=None, retry_after=None)
            said = fault.answer()
            return fault.failure() or (said.status, said.headers, said.body)
        try:
            given = uis_faults.fail(kind)
        except requests.exceptions.RequestException as exc:
            return exc
        return given.status, given.headers, given.body


def _patience(request: requests.PreparedRequest) -> float:
    """Return how long we wait for an answer."""
    timeout = request.req_kwargs["timeout"]  # type: ignore[attr-defined]  # kept there by responses
    return float(timeout[1] if isinstance(timeout, tuple) else timeout)


def _address(request: requests.PreparedRequest) -> tuple[str, str, str, dict[str, Any]]:
    """Return side, account, method, and what was asked of UIS."""
    address = urlsplit(request.url or "")
    if not (address.hostname or "").startswith(("dataapi", "callapi")):
        return CRM, address.hostname or "", address.path, {}
    body = request.body or b"{}"
    envelope = json.loads(body if isinstance(body, str) else body.decode())
    params = dict(envelope["params"])
    return UIS, str(params.pop("access_token", "")), str(envelope["method"]), params
