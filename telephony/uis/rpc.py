"""The JSON-RPC envelope of both UIS interfaces: one request in, the result or one of our errors out.

https://comagic.github.io/data_api/ , https://comagic.github.io/call_api/
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from connector_project import remote
from telephony.uis import refusals
from telephony.uis.refusals import SYSTEM
from telephony.uis.types import Limits

HEADERS = {"Content-Type": "application/json; charset=UTF-8"}


@dataclass(frozen=True)
class Result:
    """The data of a reply, and how many rows there are in all."""

    data: Any
    total: int | None = None


@dataclass(frozen=True)
class Channel:
    """One of the two interfaces, with the key that opens it."""

    url: str
    token: str
    on_limits: Callable[[Limits], None] = lambda _limits: None
    send: Callable[..., remote.Reply] = remote.send
    on_end: Callable[[remote.RemoteUnavailable | None], None] = lambda _fault: None  # None: it answered, whatever

    def ask(self, method: str, params: Mapping[str, object], *, timeout: float = 15.0) -> Result:
        """Call one method; `timeout` in seconds. Raises the errors of connector_project.remote."""
        if not self.token:
            # A client who left has none: nothing of his is sent any more, whatever task still asks for it.
            raise remote.AccessDenied(SYSTEM, "There is no key of UIS.", code="access_token_invalid")
        request = {
            "jsonrpc": "2.0",
            "id": uuid.uuid4().hex,
            "method": method,
            "params": {"access_token": self.token, **params},
        }
        body = json.dumps(request, ensure_ascii=False).encode()
        try:
            reply = self.send(SYSTEM, "POST", self.url, headers=HEADERS, body=body, timeout=timeout)
            result = self._read(_object(reply))
        except remote.RemoteError as exc:
            self.on_end(exc if isinstance(exc, remote.RemoteUnavailable) else None)
            raise
        self.on_end(None)
        return result

    def _read(self, envelope: Mapping[str, Any]) -> Result:
        if isinstance(envelope.get("error"), dict):
            raise self._refused(envelope["error"])
        result = envelope.get("result")
        if not isinstance(result, dict):
            raise remote.UnexpectedReply(SYSTEM, "UIS answered without a result.")
        # get.account is documented with another spelling than all the rest.
        metadata = _dict(result.get("metadata") or result.get("meta_data"))
        self._note_limits(metadata)
        total = metadata.get("total_items")
        return Result(result.get("data"), total if isinstance(total, int) else None)

    def _refused(self, error: Mapping[str, Any]) -> remote.RemoteError:
        data = _dict(error.get("data"))
        metadata = _dict(data.get("metadata"))
        self._note_limits(metadata)
        mnemonic = str(data.get("mnemonic") or error.get("code"))
        message = str(error.get("message") or mnemonic)
        if mnemonic not in refusals.SHUT and data.get("field"):
            message = f"{message} ({data['field']})"
        return refusals.sort(
            error.get("code"),
            message,
            mnemonic=mnemonic,
            params=_dict(data.get("params")),
            limits=_dict(metadata.get("limits")),
        )

    def _note_limits(self, metadata: Mapping[str, Any]) -> None:
        said = _dict(metadata.get("limits"))
        known = {field.name: said[field.name] for field in fields(Limits) if isinstance(said.get(field.name), int)}
        if known:
            self.on_limits(Limits(**known))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _object(reply: remote.Reply) -> dict[str, Any]:
    """Return the JSON object of a reply whatever its status: the vendor does not document statuses of failures."""
    try:
        said = json.loads(reply.text)
    except ValueError as exc:
        kind = "a page" if reply.is_html else "no JSON"
        raise remote.RemoteUnavailable(
            SYSTEM, f"UIS answered with {kind} (status {reply.status}).", wait=reply.retry_after
        ) from exc
    if not isinstance(said, dict):
        said = {}
    if (reply.status == 429 or reply.status >= 500) and not isinstance(said.get("error"), dict):
        # Not the interface itself spoke, but what stands before it.
        raise remote.RemoteUnavailable(SYSTEM, f"UIS has a fault (status {reply.status}).", wait=reply.retry_after)
    return said
