"""The samples of the retailCRM reference, and a fake `send` that answers with them."""

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from connector_project.core.http_client import Reply
from crm.retailcrm.client import RetailCrmClient

FOLDER = Path(__file__).parents[2] / "payloads" / "retailcrm"
ADDRESS = "https://acct-example.retailcrm.ru"
KEY = "fakeApiKey00000000000000000000ab"


def load(name: str) -> Any:
    """Return a sample: provenance, request, response or cases."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def reply(response: dict[str, Any]) -> Reply:
    """Return a sample's response as a Reply."""
    body = response["body"]
    return Reply(response["status"], response.get("headers", {}), body if isinstance(body, str) else json.dumps(body))


def form(body: str) -> dict[str, Any]:
    """Parse an urlencoded form, and the JSON in its fields."""
    return {name: _read(value) for name, value in parse_qsl(body, keep_blank_values=True, strict_parsing=True)}


def _read(value: str) -> Any:
    return json.loads(value) if value[:1] in {"{", "["} else value


class FakeSend:
    """A `send` that records its arguments and returns the given replies in order."""

    def __init__(self, *replies: object) -> None:
        self.replies = list(replies)
        self.sent: list[dict[str, Any]] = []
        self.paced: list[str] = []

    def __call__(self, system: str, method: str, url: str, **given: Any) -> Reply:
        self.sent.append({"system": system, "method": method, "url": url, **given})
        answer = self.replies.pop(0)
        return answer if isinstance(answer, Reply) else Reply(200, {}, json.dumps(answer))

    def guard(self, kind: str, _right: str) -> AbstractContextManager[None]:
        """Record the kind of a request, which says whose rate limit it counts for."""
        self.paced.append(kind)
        return nullcontext()

    def client(self, **chosen: Any) -> RetailCrmClient:
        """Return a client that sends through this."""
        return RetailCrmClient(**{"address": ADDRESS, "key": KEY, "send": self, "guard": self.guard, **chosen})


def client_answering(name: str, *, case: str = "response", **chosen: Any) -> tuple[FakeSend, RetailCrmClient]:
    """Return a fake `send` that answers as in a sample, and a client that uses it."""
    send = FakeSend(reply(load(name)[case]))
    return send, send.client(**chosen)
