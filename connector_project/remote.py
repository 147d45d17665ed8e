"""How a remote call is made, and the ways it can end. The only file that sends HTTP; knows no Django and no vendor."""

import ipaddress
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from connector_project.peer import PublicPeerAdapter

CONNECT_SECONDS = 3.05
LARGEST_REPLY = 32 * 1024 * 1024


class RemoteError(Exception):
    """A remote call did not do what it was asked.

    Its text is fit for a person and holds no key; `code` is the vendor's own word for the fault, where it has one.
    """

    def __init__(self, system: str, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.system = system
        self.code = code


class RemoteUnavailable(RemoteError):
    """Try again later; after `wait` seconds where the vendor named a time."""

    def __init__(self, system: str, message: str, *, code: str = "", wait: float | None = None) -> None:
        super().__init__(system, message, code=code)
        self.wait = wait


class RemoteRejected(RemoteError):
    """This one request is refused for good; others may pass."""


class AccessDenied(RemoteError):
    """We are not let in until somebody changes a setting; `code` says which."""


class UnexpectedReply(RemoteError):
    """The reply is not in the documented form, or our request was not: our code must change."""


@dataclass(frozen=True)
class Reply:
    """What came back, whatever the status."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_html(self) -> bool:
        return self.text.lstrip()[:1] == "<"

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks us to wait, where it says so in seconds."""
        word = self.headers.get("Retry-After", "")
        return float(word) if word.isdigit() else None


_trusted: frozenset[str] = frozenset()
_local = threading.local()


def trust(host_ports: Iterable[str]) -> None:
    """Name the `host:port` pairs that may be plain http or private (simulator, tests, a proxy of ours)."""
    global _trusted  # noqa: PLW0603 -- set once when the process starts
    _trusted = frozenset(host_ports)


def is_trusted(url: str) -> bool:
    """Say whether this address was named by the operator."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}" in _trusted


def send(
    system: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    body: bytes | Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Reply:
    """Make one HTTP request and return the reply, whatever its status; redirects are not followed.

    `timeout` is in seconds from the last byte that came; the whole may take twice that. Raises RemoteUnavailable when no whole reply came,
    RemoteRejected when the address itself is not one we may call.
    """
    _refuse_unsafe(system, url)
    try:
        with _session(url).request(
            method,
            url,
            headers=dict(headers or {}),
            params=dict(query or {}),
            data=body,
            timeout=(CONNECT_SECONDS, timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            return Reply(response.status_code, response.headers, _read(system, response, timeout=timeout))
    except requests.Timeout as exc:
        raise RemoteUnavailable(system, f"{system} did not answer in time.") from exc
    except requests.RequestException as exc:
        # Only the kind of the fault: its text may hold the address with its parameters.
        raise RemoteUnavailable(system, f"{system} could not be reached ({type(exc).__name__}).") from exc


def _read(system: str, response: requests.Response, *, timeout: float) -> str:
    """Read the body within twice the time-out, so that a reply in drops cannot hold a worker for ever."""
    ends_at = time.monotonic() + 2 * timeout
    body = bytearray()
    for part in response.iter_content(64 * 1024):
        body += part
        if len(body) > LARGEST_REPLY:
            raise UnexpectedReply(system, f"{system} sent a reply that is too large.")
        if time.monotonic() > ends_at:
            raise RemoteUnavailable(system, f"{system} did not finish its answer in time.")
    return body.decode("utf-8", errors="replace")


def _refuse_unsafe(system: str, url: str) -> None:
    parts = urlsplit(url)
    if is_trusted(url):
        return
    if parts.scheme != "https":
        raise RemoteRejected(system, f"The address of {system} must begin with https://.", code="ADDRESS_NOT_HTTPS")
    if _is_private_literal(parts.hostname or ""):
        raise RemoteRejected(system, f"The address of {system} is not a public one.", code="ADDRESS_NOT_PUBLIC")


def _is_private_literal(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _session(url: str) -> requests.Session:
    """Return this thread's pooled session: requests does not promise that one may be shared between threads."""
    name = "trusted" if is_trusted(url) else "public"
    if not hasattr(_local, name):
        session = requests.Session()
        session.trust_env = False
        adapter = HTTPAdapter() if name == "trusted" else PublicPeerAdapter()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        setattr(_local, name, session)
    return getattr(_local, name)  # type: ignore[no-any-return]
