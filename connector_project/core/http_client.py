"""Outbound HTTP: sessions, time-outs, size limits and error classes; imports no Django and knows no vendor."""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import default_headers
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Url

from connector_project.core import origins
from connector_project.core.ssrf import PublicPeerAdapter

CONNECT_SECONDS = 3.05
LARGEST_REPLY = 32 * 1024 * 1024
LONGEST_WAIT = 30 * 60.0
# Streamed files: an hour of recording is about 30 MB.
LARGEST_DOWNLOAD = 512 * 1024 * 1024
LONGEST_DOWNLOAD_SECONDS = 900.0
MOST_REDIRECTS = 3
PART = 64 * 1024
MOST_HOSTS = 200  # to which each thread keeps a connection
_HEADERS = default_headers()  # who we are, and which compressions we can read
UNTRUSTED_ADDRESS = "address_foreign"
# A limit or a proxy's time-out, whatever the body says: 499 is nginx's, the others are of RFC 9110, 8470 and 6585.
LATER_STATUSES = frozenset({408, 425, 429, 499})
# What a denial is about, if not one right.
ACCOUNT = "account"
MODULE = "module"


class RemoteError(Exception):
    """A remote call failed.

    Its text can be shown to people and contains no key; `code` is the vendor's own error code, if it has one.
    """

    def __init__(self, system: str, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.system = system
        self.code = code


class RemoteUnavailable(RemoteError):
    """Retry later; after `wait` seconds if the vendor named a time, but never later than LONGEST_WAIT."""

    def __init__(self, system: str, message: str, *, code: str = "", wait: float | None = None) -> None:
        super().__init__(system, message, code=code)
        # One answer is no verdict for a day: the vendor may be back, or have sold more points, much earlier.
        self.wait = None if wait is None else min(wait, LONGEST_WAIT)


class RemoteRejected(RemoteError):
    """The vendor rejects this request permanently; other requests may succeed."""


class AccessDenied(RemoteError):
    """The vendor rejects our requests until somebody changes a setting; `code` says which.

    `subject` says which requests: all of the account, those to our module, or those that need the right of this name.
    """

    def __init__(self, system: str, message: str, *, code: str = "", subject: str = ACCOUNT) -> None:
        super().__init__(system, message, code=code)
        self.subject = subject


class UnexpectedReply(RemoteError):
    """The reply or our request does not match the documentation: our code must change."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response with any status."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_html(self) -> bool:
        return self.text.lstrip()[:1] == "<"

    @property
    def is_later(self) -> bool:
        """Whether the status alone says that the same request may succeed later; 52x and 530 are those of proxies."""
        return self.status in LATER_STATUSES or self.status >= 500

    @property
    def kind(self) -> str:
        """What the body is, for messages about one that is not the vendor's."""
        return "a web page" if self.is_html else "no answer of its API"

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks us to wait; None if it names none, or a date."""
        value = self.headers.get("Retry-After", "")
        return float(value) if value.isascii() and value.isdigit() else None


_trusted: frozenset[str] = frozenset()
_local = threading.local()


def set_trusted_hosts(host_ports: Iterable[str]) -> None:
    """Set the `host:port` pairs that may be plain http or private (simulator, tests, our own proxy)."""
    global _trusted  # noqa: PLW0603 -- set once when the process starts
    _trusted = frozenset(host_ports)


def is_trusted(url: str) -> bool:
    """Return whether the operator listed the host and port of this URL."""
    return _is_trusted(origins.parts(url))


def is_private_literal(host: str) -> bool:
    """Return whether a host is an IP literal that is not public."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


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

    `timeout` is in seconds since the last byte received; the whole reply may take twice that. Raises RemoteUnavailable
    if no complete reply arrives, AccessDenied if the URL is not allowed.
    """
    response = _request(system, method, url, headers=headers, params=query, data=body, timeout=timeout)
    with closing(Download(system, response, largest=LARGEST_REPLY, seconds=2 * timeout, is_decoded=True)) as source:
        text = b"".join(iter(source.read, b"")).decode("utf-8", errors="replace")
    return Reply(source.status, source.headers, text)


class Download:
    """A reply whose body is streamed. The caller must close it, in the thread that opened it."""

    def __init__(
        self, system: str, response: requests.Response, *, largest: int, seconds: float, is_decoded: bool = False
    ) -> None:
        self.system = system
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._left = largest
        self._ends_at = time.monotonic() + seconds  # so that a slow reply cannot block a worker forever
        self._is_decoded = is_decoded

    def read(self) -> bytes:
        """Return the next bytes, or b"" at the end. Raises RemoteUnavailable, UnexpectedReply."""
        if time.monotonic() > self._ends_at:
            raise RemoteUnavailable(self.system, f"{self.system} did not finish its answer in time.")
        with _translate_errors(self.system):
            # Not iter_content: it waits until its chunk is full, however slowly the bytes arrive.
            part: bytes = self._response.raw.read1(PART, decode_content=self._is_decoded)
        self._left -= len(part)
        if self._left < 0:
            raise UnexpectedReply(self.system, f"{self.system} sent a reply that is too large.")
        return part

    def close(self) -> None:
        """Close the connection without reading the rest."""
        self._response.close()


def download(
    system: str,
    url: str,
    *,
    is_theirs: Callable[[str], bool],
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Download:
    """Start to fetch a file, whatever the status; the body is not decompressed.

    Redirects are followed as long as `is_theirs` allows each URL. A URL that is not allowed is not requested and raises
    RemoteRejected with the code UNTRUSTED_ADDRESS. Other errors are those of `send`.
    """
    for _hop in range(MOST_REDIRECTS + 1):
        if not is_theirs(url):
            raise RemoteRejected(system, f"{system} returned a URL that is not its own.", code=UNTRUSTED_ADDRESS)
        raw = {"Accept-Encoding": "identity", **(headers or {})}
        response = _request(system, "GET", url, headers=raw, timeout=timeout)
        if not response.is_redirect:
            return Download(system, response, largest=LARGEST_DOWNLOAD, seconds=LONGEST_DOWNLOAD_SECONDS)
        response.close()
        url = origins.joined(url, response.headers["Location"])
        if not any(origins.parts(url)):
            raise RemoteUnavailable(system, f"{system} redirected to what is no address.")
    raise RemoteRejected(system, f"{system} redirected too often.", code="redirects")


@contextmanager
def _translate_errors(system: str) -> Iterator[None]:
    """Translate the errors of requests and urllib3 into RemoteUnavailable."""
    try:
        yield
    except (requests.Timeout, ReadTimeoutError) as exc:
        raise RemoteUnavailable(system, f"{system} did not answer in time.") from exc
    except (requests.RequestException, HTTPError, ValueError) as exc:  # ValueError: an invalid redirect
        # Only the class of the error: its text may contain the URL with its parameters.
        raise RemoteUnavailable(system, f"{system} could not be reached ({type(exc).__name__}).") from exc


def _request(
    system: str, method: str, url: str, *, headers: Mapping[str, str] | None, timeout: float, **content: Any
) -> requests.Response:
    """Send a request to an allowed URL, without following redirects; the body is not read yet."""
    adapter, request = _adapter(system, url), requests.PreparedRequest()
    with _translate_errors(system):
        request.prepare(method=method, url=url, headers={**_HEADERS, **(headers or {})}, **content)
        return adapter.send(request, stream=True, timeout=(CONNECT_SECONDS, timeout))


def _adapter(system: str, url: str) -> HTTPAdapter:
    """Return this thread's connections for an allowed URL.

    Without the session that requests has around them: it costs as much as sending a request, for cookies, proxies,
    passwords of a .netrc file and redirects, of which there must be none. Tenants share hosts: a cookie set for one
    tenant must not be sent with another tenant's request.
    """
    parts = origins.parts(url)
    name = "trusted" if _is_trusted(parts) else "public"
    if name == "public":
        _check_public(system, parts)
    if not hasattr(_local, name):
        kind = HTTPAdapter if name == "trusted" else PublicPeerAdapter
        setattr(_local, name, kind(pool_connections=MOST_HOSTS))
    return getattr(_local, name)  # type: ignore[no-any-return]


def _is_trusted(parts: Url) -> bool:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.host}:{port}" in _trusted


def _check_public(system: str, parts: Url) -> None:
    if parts.scheme != "https":
        raise AccessDenied(system, f"The address of {system} must begin with https://.", code="address_not_https")
    if is_private_literal((parts.host or "").strip("[]")):
        raise AccessDenied(system, f"The address of {system} is not public.", code="address_not_public")
