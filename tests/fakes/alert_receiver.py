"""A fake of the operator's alert webhook; it accepts only valid Standard Webhooks requests."""

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
    """Stores each message once by its id. While `answers` is set, it answers every request with that status.

    While it `hangs`, no request gets an answer. It never takes a message whose body contains `refuses`.
    """

    answers: int = 0
    refuses: bytes = b""
    hangs: bool = False
    retry_after: int = 0
    tries: list[str] = field(default_factory=list)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def mount(self, mock: responses.RequestsMock) -> None:
        mock.add_callback(responses.POST, URL, callback=self._receive)

    @property
    def received(self) -> list[dict[str, Any]]:
        """The messages received, in order."""
        return list(self.messages.values())

    def _receive(self, request: requests.PreparedRequest) -> Answer:
        message_id = request.headers.get("webhook-id", "")
        self.tries.append(message_id)
        if self.hangs:
            raise requests.exceptions.ReadTimeout("Read timed out")
        if self.answers:
            return self.answers, {"Retry-After": str(self.retry_after)} if self.retry_after else {}, "<h1>error</h1>"
        if self.refuses and self.refuses in _body(request):
            return 400, {}, "bad message"
        error = self._error(request)
        if error:
            return 401, {}, error
        self.messages.setdefault(message_id, json.loads(_body(request)))
        return 204, {}, ""

    def _error(self, request: requests.PreparedRequest) -> str:
        headers = request.headers
        if headers.get("Content-Type") != "application/json":
            return "not JSON"
        message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not message_id or not sent_at.isdigit() or abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
            return "no id, or a timestamp out of tolerance"
        key = base64.b64decode(SECRET.partition("_")[2])
        signed = b".".join([message_id.encode(), sent_at.encode(), _body(request)])
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        signatures = headers.get("webhook-signature", "").split(" ")
        return "" if any(hmac.compare_digest(expected, signature) for signature in signatures) else "wrong signature"


def _body(request: requests.PreparedRequest) -> bytes:
    body = request.body or b""
    return body if isinstance(body, bytes) else str(body).encode()
