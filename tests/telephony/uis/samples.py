"""Samples of UIS's documented requests and replies, and a fake transport that returns them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connector_project.core.http_client import Reply
from telephony.uis.client import UisClient
from telephony.uis.jsonrpc import Channel
from telephony.uis.types import Limits

FOLDER = Path(__file__).parents[2] / "payloads" / "uis"
TOKEN = "0" * 64
MOSCOW = ZoneInfo("Europe/Moscow")
DATA_URL, CALL_URL = "https://dataapi.uiscom.ru/v2.0", "https://callapi.uiscom.ru/v4.0"


def text(name: str) -> str:
    """Return a payload as it goes over the wire."""
    return (FOLDER / name).read_text(encoding="utf-8")


def load(name: str) -> Any:
    """Return a payload read as JSON."""
    return json.loads(text(name))


def page(*rows: object, total: int | None = None) -> dict[str, Any]:
    """Return a reply of a `get.*` method."""
    return {"jsonrpc": "2.0", "id": "1", "result": {"data": list(rows), "metadata": {"total_items": total}}}


def error_reply(mnemonic: str, code: int = -32602, message: str = "No.") -> dict[str, Any]:
    """Return an error reply in the documented format."""
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, "data": {"mnemonic": mnemonic}}}


@dataclass(frozen=True, kw_only=True)
class NotingChannel(Channel):
    """A channel that keeps the limits it is told."""

    seen: list[Limits]

    def on_limits(self, limits: Limits) -> None:
        self.seen.append(limits)


class FakeTransport:
    """A `send` function that returns the given replies in order and records the requests."""

    def __init__(self, *replies: object) -> None:
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []

    def __call__(self, system: str, method: str, url: str, **request: Any) -> Reply:
        self.sent.append({"system": system, "method": method, "url": url, **request})
        self.requests.append(json.loads(request["body"]))
        reply = self.replies.pop(0)
        return reply if isinstance(reply, Reply) else Reply(200, {}, json.dumps(reply))

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """Methods and parameters of the requests, without the key."""
        return [(r["method"], {k: v for k, v in r["params"].items() if k != "access_token"}) for r in self.requests]

    def channel(self, url: str = DATA_URL, seen: list[Limits] | None = None) -> Channel:
        """Return a channel over this transport; it appends the reported limits to `seen`."""
        return NotingChannel(url=url, token=TOKEN, send=self, seen=seen if seen is not None else [])

    def client(self, **options: Any) -> UisClient:
        """Return a client that uses this transport for both APIs."""
        return UisClient(data=self.channel(), calls_api=self.channel(CALL_URL), **{"zone": MOSCOW, **options})
