"""The operator's own webhook: a receiver that lets in nothing but what Standard Webhooks allow."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

import requests
import responses

URL = "https://ops.example.net/hooks/connector"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOLERANCE_SECONDS = 300
Answer = tuple[int, dict[str, str], str]


@dataclass
class Receiver:
    """Takes messages, each once by its id; `answers` is what it says while it is not well."""

    answers: int = 0
    retry_after: int = 0
    tries: list[str] = field(default_factory=list)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def mount(self, mock: responses.RequestsMock) -> None:
        """Stand behind its address."""
        mock.add_callback(responses.POST, URL, callback=self._take)

    @property
    def told(self) -> list[dict[str, Any]]:
        """All messages it took, in order."""
        return list(self.messages.values())

    def _take(self, request: requests.PreparedRequest) -> Answer:
        message_id = request.headers.get("webhook-id", "")
        self.tries.append(message_id)
        if self.answers:
            return self.answers, {"Retry-After": str(self.retry_after)} if self.retry_after else {}, "<h1>no</h1>"
        fault = self._fault(request)
        if fault:
            return 401, {}, fault
        self.messages.setdefault(message_id, json.loads(_body(request)))
        return 204, {}, ""

    def _fault(self, request: requests.PreparedRequest) -> str:
        headers = request.headers
        if headers.get("Content-Type") != "application/json":
            return "not JSON"
        message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not message_id or not sent_at.isdigit() or abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
            return "no id, or out of time"
        key = base64.b64decode(SECRET.partition("_")[2])
        signed = b".".join([message_id.encode(), sent_at.encode(), _body(request)])
        right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        given = headers.get("webhook-signature", "").split(" ")
        return "" if any(hmac.compare_digest(right, one) for one in given) else "wrong signature"


def _body(request: requests.PreparedRequest) -> bytes:
    body = request.body or b""
    return body if isinstance(body, bytes) else str(body).encode()
