"""One outgoing HTTP request with its answer, as it is kept: without secrets, and of bounded length."""

import functools
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from connector_project.core import http_client
from connector_project.core.secret_redaction import is_secret_name, redact_secrets

LONGEST_BODY = 100_000  # characters: the legs of a hundred calls
LONGEST_TEXT = 10_000  # of what is no JSON: a gateway's page
CUT = "…"
# Names, numbers and times, which are most of the texts, are passed over: a secret in a text follows something.
_MAY_HOLD_SECRET = re.compile(r"[A-Za-z][^/=:%\s,\\]*[/=:%\s,\\]|gAAAA|whsec_")
_is_secret = functools.lru_cache(maxsize=500)(is_secret_name)  # vendors use the same names again and again


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer as they were on the wire; `status` is None if no answer came, for `error`."""

    system: str
    verb: str
    path: str
    started: float  # by `time.monotonic()`
    seconds: float
    content: bytes | Mapping[str, str]  # JSON; a form with JSON in its fields, or a query
    status: int | None = None
    response: str = ""
    error: str = ""

    @property
    def request(self) -> Any:
        """What was sent, as JSON values; the text if it is no JSON."""
        if isinstance(self.content, bytes):
            return parsed(self.content.decode(errors="replace"))
        return {name: parsed(value) for name, value in self.content.items()}

    @property
    def method(self) -> str:
        """The method that a JSON-RPC body names, else the HTTP method and the path."""
        return self.method_of(self.request)

    def method_of(self, request: Any) -> str:
        """Return `method` by the request that was read already."""
        is_rpc = isinstance(request, dict) and {"method", "params"} <= request.keys()
        return str(request["method"]) if is_rpc else f"{self.verb} {self.path}"


Record = Callable[[Exchange], None]
Send = Callable[..., http_client.Reply]


_record: ContextVar[Record | None] = ContextVar("record", default=None)


@contextmanager
def recording(record: Record) -> Iterator[None]:
    """Tell `record` the exchanges of clients that are built within this block."""
    token = _record.set(record)
    try:
        yield
    finally:
        _record.reset(token)


def recorded(*, secret: str) -> Send:
    """Return `http_client.send` for a client that is built now; within `recording`, one whose exchanges are recorded.

    Headers are not: they have the key. `secret` is the key: a vendor may repeat in its answer what was sent.
    """

    record = _record.get()
    if record is None:
        return http_client.send

    def send(system: str, method: str, url: str, **options: Any) -> http_client.Reply:
        started = time.monotonic()
        found: dict[str, Any] = {}
        try:
            reply = http_client.send(system, method, url, **options)
            found = {"status": reply.status, "response": _without(secret, reply.text)}
        except http_client.RemoteError as exc:
            found = {"error": _without(secret, str(exc))}
            raise
        finally:
            record(
                Exchange(
                    system=system,
                    verb=method,
                    path=urlsplit(url).path,
                    started=started,
                    seconds=time.monotonic() - started,
                    content=options.get("body") or options.get("query") or {},
                    **found,
                )
            )
        return reply

    return send


def stored(one: Exchange, *, hidden: Collection[str]) -> tuple[str, str, str]:
    """Return method, request and response of an exchange as texts to store; see `stored_text`."""
    request = one.request  # read once: it is parsed
    return one.method_of(request), stored_text(request, hidden=hidden), stored_text(one.response, hidden=hidden)


def stored_text(body: Any, *, hidden: Collection[str]) -> str:
    """Return a body as text without secrets; `hidden` are the names of further fields whose values are not kept."""
    value = parsed(body) if isinstance(body, str) else body
    if isinstance(value, str):
        text = redact_secrets(value[:LONGEST_TEXT])
        text = f"{text}{CUT}" if len(value) > LONGEST_TEXT else text
    else:
        text = json.dumps(_cleaned(value, hidden), ensure_ascii=False) if value else ""
        text = f"{text[:LONGEST_BODY]}{CUT}" if len(text) > LONGEST_BODY else text
    # What a database cannot store.
    return text.encode(errors="replace").decode().replace("\x00", "?")


def parsed(text: str) -> Any:
    """Return the JSON values of a text; the text itself if it is no JSON."""
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "***") if secret else text


def _cleaned(value: Any, hidden: Collection[str]) -> Any:
    if isinstance(value, str):
        return redact_secrets(value) if _MAY_HOLD_SECRET.search(value) else value
    if isinstance(value, Mapping):
        return {name: _field(str(name), inner, hidden) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner, hidden) for inner in value]
    return value


def _field(name: str, value: Any, hidden: Collection[str]) -> Any:
    return "***" if value and (name in hidden or _is_secret(name)) else _cleaned(value, hidden)
