"""JSON-RPC envelope of both UIS APIs: sends one request, returns its result or raises one of our errors.

https://comagic.github.io/data_api/ , https://comagic.github.io/call_api/
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from connector_project.core import http_client
from telephony.uis import errors
from telephony.uis.errors import SYSTEM
from telephony.uis.types import Limits

HEADERS = {"Content-Type": "application/json; charset=UTF-8"}


@dataclass(frozen=True)
class Result:
    """The data of a reply and the total number of rows."""

    data: Any
    total: int | None = None


@dataclass(frozen=True)
class Channel:
    """One of the two APIs and its key."""

    url: str
    token: str = field(repr=False)
    right: str = ""  # that all methods need; without it each method is a right of its own
    send: Callable[..., http_client.Reply] = http_client.send

    def on_limits(self, limits: Limits) -> None:
        """Note the quota that a reply states, an error too."""

    def request(self, method: str, params: Mapping[str, object], *, timeout: float = 15.0) -> Result:
        """Call one method; `timeout` in seconds. Raises the errors of core.http_client."""
        if not self.token:
            # A disconnected client has no key; tasks still queued for them must send nothing.
            raise http_client.AccessDenied(SYSTEM, "There is no UIS key.", code="access_token_invalid")
        request = {
            "jsonrpc": "2.0",
            "id": uuid.uuid4().hex,
            "method": method,
            "params": {"access_token": self.token, **params},
        }
        body = json.dumps(request, ensure_ascii=False).encode()
        reply = self.send(SYSTEM, "POST", self.url, headers=HEADERS, body=body, timeout=timeout)
        return self._read(_object(reply), right=self.right or method)

    def _read(self, envelope: Mapping[str, Any], *, right: str) -> Result:
        if _is_refusal(envelope.get("error")):
            raise self._refused(envelope["error"], right=right)
        result = envelope.get("result")
        if not isinstance(result, dict):
            raise http_client.UnexpectedReply(SYSTEM, "UIS answered without a result.")
        # get.account is documented with a different spelling.
        metadata = _dict(result.get("metadata") or result.get("meta_data"))
        self._note_limits(metadata)
        total = metadata.get("total_items")
        return Result(result.get("data"), total if isinstance(total, int) else None)

    def _refused(self, error: Mapping[str, Any], *, right: str) -> http_client.RemoteError:
        data = _dict(error.get("data"))
        metadata = _dict(data.get("metadata"))
        self._note_limits(metadata)
        mnemonic = str(data.get("mnemonic") or error.get("code"))
        message = str(error.get("message") or mnemonic)
        if mnemonic not in errors.ACCOUNT_ERRORS and data.get("field"):
            message = f"{message} ({data['field']})"
        return errors.to_exception(
            error.get("code"),
            message,
            mnemonic=mnemonic,
            right=right,
            params=_dict(data.get("params")),
            limits=_dict(metadata.get("limits")),
        )

    def _note_limits(self, metadata: Mapping[str, Any]) -> None:
        sent = _dict(metadata.get("limits"))
        known = {name: sent[name] for name in Limits.__annotations__ if isinstance(sent.get(name), int)}
        if known:
            self.on_limits(cast(Limits, known))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _object(reply: http_client.Reply) -> dict[str, Any]:
    """Return the JSON object of a reply with any status: UIS does not document the HTTP status of errors."""
    try:
        parsed = json.loads(reply.text)
    except (ValueError, RecursionError) as exc:
        raise _not_from_api(reply) from exc
    envelope = _dict(parsed)
    if reply.status >= 400 and not _is_refusal(envelope.get("error")):
        raise _not_from_api(reply)
    return envelope


def _not_from_api(reply: http_client.Reply) -> http_client.RemoteUnavailable:
    """Return the error for an answer of a web server in between: it says nothing about the account."""
    message = f"UIS returned {reply.kind} (status {reply.status})."
    return http_client.RemoteUnavailable(SYSTEM, message, wait=reply.retry_after)


def _is_refusal(error: object) -> bool:
    """Return whether this is an error of UIS, not of a gateway, whose codes are statuses."""
    code = _dict(error).get("code")
    return bool(_dict(_dict(error).get("data")).get("mnemonic")) or (isinstance(code, int) and code < 0)
