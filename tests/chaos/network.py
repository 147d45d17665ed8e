"""The network between the product and the vendors: it has latency, fails, and records the requests."""

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
# Faults where the vendor executes the request, but the answer is lost.
ANSWER_LOST = (*uis_faults.ANSWER_LOST, "slow")
WAIT = "asks to wait for a day"
WAIT_SECONDS = 86_400
SLOW_SECONDS = 30.0

Callback = Callable[[requests.PreparedRequest], Any]


@dataclass(frozen=True)
class RecordedRequest:
    """One request that the vendor executed; `began_at` and `overslept` are those of the task that sent it."""

    side: str
    account: str  # the token of UIS, the host of the CRM
    method: str
    at: datetime
    began_at: datetime
    overslept: timedelta
    is_answered: bool  # whether the answer arrived
    params: dict[str, Any] = field(repr=False)


class Network(responses.RequestsMock):
    """Both fakes behind one network."""

    def __init__(self, clock: Clock, processes: Processes, rng: random.Random) -> None:
        super().__init__(assert_all_requests_are_fired=False)
        self.clock, self.processes, self.rng = clock, processes, rng
        self.fault_of: Callable[[str, str], str | None] = lambda _side, _account: None
        self.on_request: Callable[[RecordedRequest], None] = lambda _passed: None
        self.recorded: list[RecordedRequest] = []
        self.met: Counter[str] = Counter()

    def add_callback(self, method: Any, url: Any, callback: Callback, *args: Any, **options: Any) -> Any:
        """Put the network in front of the fakes' callbacks."""

        def answer(request: requests.PreparedRequest) -> Any:
            return self.processes.send(lambda: self._transmit(request, callback))

        return super().add_callback(method, url, answer, *args, **options)

    def _transmit(self, request: requests.PreparedRequest, callback: Callback) -> Any:
        side, account, method, params = _parse_request(request)
        latency_out, latency_back = self.rng.uniform(0.01, 0.15), self.rng.uniform(0.01, 0.15)
        self.clock.sleep(latency_out)
        fault = self.fault_of(side, account)
        if fault is not None:
            self.met[f"{side} {fault}"] += 1
        if fault in {None, *ANSWER_LOST}:
            answer = self._deliver(
                request, callback, RecordedRequest(side, account, method, **self._request_fields(fault), params=params)
            )
        self.clock.sleep(latency_back)
        if fault == "slow":
            return self._answer_slowly(request, answer)
        return answer if fault is None else self._fail(side, fault, request)

    def _request_fields(self, fault: str | None) -> dict[str, Any]:
        now, process = self.clock.now(), self.processes.current
        began_at, overslept = (process.began_at, process.overslept) if process else (now, timedelta())
        return {"at": now, "began_at": began_at, "overslept": overslept, "is_answered": fault is None}

    def _deliver(self, request: requests.PreparedRequest, callback: Callback, passed: RecordedRequest) -> Any:
        answer = callback(request)
        # UIS returns errors with status 200; the envelope starts with "error".
        if not isinstance(answer, Exception) and answer[0] == 200 and '"error":' not in answer[2][:150]:
            self.recorded.append(passed)
            self.on_request(passed)
        return answer

    def _answer_slowly(self, request: requests.PreparedRequest, answer: Any) -> Any:
        read_timeout = _read_timeout(request)
        self.clock.sleep(min(SLOW_SECONDS, read_timeout))
        return answer if read_timeout > SLOW_SECONDS else requests.exceptions.ReadTimeout("Read timed out")

    def _fail(self, side: str, kind: str, request: requests.PreparedRequest) -> Any:
        if kind == "timeout":
            self.clock.sleep(_read_timeout(request))
        if kind == WAIT:
            return 503, {"Retry-After": str(WAIT_SECONDS), "Content-Type": "text/plain"}, "Service Unavailable"
        if side == CRM:
            fault = retailcrm_faults.Fault(kind, path_part=None, host=None, remaining=None, retry_after=None)
            reply = fault.answer()
            return fault.failure() or (reply.status, reply.headers, reply.body)
        try:
            answer = uis_faults.fail(kind)
        except requests.exceptions.RequestException as exc:
            return exc
        return answer.status, answer.headers, answer.body


def _read_timeout(request: requests.PreparedRequest) -> float:
    """Return the read timeout of a request."""
    timeout = request.req_kwargs["timeout"]  # type: ignore[attr-defined]  # set by responses
    return float(timeout[1] if isinstance(timeout, tuple) else timeout)


def _parse_request(request: requests.PreparedRequest) -> tuple[str, str, str, dict[str, Any]]:
    """Return vendor, account, method, and the parameters of UIS."""
    address = urlsplit(request.url or "")
    if not (address.hostname or "").startswith(("dataapi", "callapi")):
        return CRM, address.hostname or "", address.path, {}
    body = request.body or b"{}"
    envelope = json.loads(body if isinstance(body, str) else body.decode())
    params = dict(envelope["params"])
    return UIS, str(params.pop("access_token", "")), str(envelope["method"]), params
