"""How a remote call is made, and the ways it can end. The only file that sends HTTP; knows no Django and no vendor."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

from connector_project import origins
from connector_project.peer import PublicPeerAdapter

CONNECT_SECONDS = 3.05
LARGEST_REPLY = 32 * 1024 * 1024
LONGEST_RETRY_AFTER = 24 * 3600.0
# What is passed on as it comes: an hour of talk has some 30 MB.
LARGEST_DOWNLOAD = 512 * 1024 * 1024
LONGEST_DOWNLOAD_SECONDS = 900.0
MOST_REDIRECTS = 3
PART = 64 * 1024
FOREIGN = "address_foreign"


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
        return min(float(word), LONGEST_RETRY_AFTER) if word.isascii() and word.isdigit() else None


_trusted: frozenset[str] = frozenset()
_local = threading.local()


def trust(host_ports: Iterable[str]) -> None:
    """Name the `host:port` pairs that may be plain http or private (simulator, tests, a proxy of ours)."""
    global _trusted  # noqa: PLW0603 -- set once when the process starts
    _trusted = frozenset(host_ports)


def is_trusted(url: str) -> bool:
    """Say whether this address was named by the operator."""
    parts = origins.parts(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.host}:{port}" in _trusted


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

    `timeout` is in seconds from the last byte that came; the whole may take twice that. Raises RemoteUnavailable when
    no whole reply came, AccessDenied when the address itself is not one we may call.
    """
    _refuse_unsafe(system, url)
    with (
        _faults_of(system),
        _session(url).request(
            method,
            url,
            headers=dict(headers or {}),
            params=dict(query or {}),
            data=body,
            timeout=(CONNECT_SECONDS, timeout),
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        return Reply(response.status_code, response.headers, _read(system, response, timeout=timeout))


class Download:
    """A reply whose body is read while it comes. Whoever opened it closes it, in the thread that opened it."""

    def __init__(self, system: str, response: requests.Response) -> None:
        self.system = system
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._left = LARGEST_DOWNLOAD
        self._ends_at = time.monotonic() + LONGEST_DOWNLOAD_SECONDS

    def read(self) -> bytes:
        """Return the next bytes as they came over the line, nothing at the end. Raises RemoteUnavailable."""
        if time.monotonic() > self._ends_at:
            raise RemoteUnavailable(self.system, f"{self.system} did not finish its answer in time.")
        with _faults_of(self.system):
            part: bytes = self._response.raw.read1(PART, decode_content=False)
        self._left -= len(part)
        if self._left < 0:
            raise UnexpectedReply(self.system, f"{self.system} sent a reply that is too large.")
        return part

    def close(self) -> None:
        """Hang up; what was not read is not awaited."""
        self._response.close()


def download(
    system: str,
    url: str,
    *,
    is_theirs: Callable[[str], bool],
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Download:
    """Begin to fetch a file, whatever the status; nothing is decompressed.

    Redirects are followed as long as `is_theirs` takes each address. Raises RemoteRejected with the code FOREIGN for
    one it does not take, which is never asked; else as `send`.
    """
    for _hop in range(MOST_REDIRECTS + 1):
        if not is_theirs(url):
            raise RemoteRejected(system, f"{system} named an address that is not its own.", code=FOREIGN)
        _refuse_unsafe(system, url)
        with _faults_of(system):
            response = _session(url).get(
                url,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                timeout=(CONNECT_SECONDS, timeout),
                allow_redirects=False,
                stream=True,
            )
        if not response.is_redirect:
            return Download(system, response)
        response.close()
        url = origins.joined(url, response.headers["Location"])
    raise RemoteRejected(system, f"{system} sent us from one address to the next.", code="redirects")


@contextmanager
def _faults_of(system: str) -> Iterator[None]:
    """Tell the faults of a line in our words."""
    try:
        yield
    except (requests.Timeout, ReadTimeoutError) as exc:
        raise RemoteUnavailable(system, f"{system} did not answer in time.") from exc
    except (requests.RequestException, HTTPError, ValueError) as exc:  # ValueError: a redirect nobody can read
        # Only the kind of the fault: its text may hold the address with its parameters.
        raise RemoteUnavailable(system, f"{system} could not be reached ({type(exc).__name__}).") from exc


def _read(system: str, response: requests.Response, *, timeout: float) -> str:
    """Read the body within twice the time-out, so that a reply in drops cannot hold a worker for ever."""
    ends_at = time.monotonic() + 2 * timeout
    body = bytearray()
    # Not iter_content: it waits until its part is full, however slowly the bytes come.
    while part := response.raw.read1(PART, decode_content=True):
        body += part
        if len(body) > LARGEST_REPLY:
            raise UnexpectedReply(system, f"{system} sent a reply that is too large.")
        if time.monotonic() > ends_at:
            raise RemoteUnavailable(system, f"{system} did not finish its answer in time.")
    return body.decode("utf-8", errors="replace")


def _refuse_unsafe(system: str, url: str) -> None:
    parts = origins.parts(url)
    if is_trusted(url):
        return
    if parts.scheme != "https":
        raise AccessDenied(system, f"The address of {system} must begin with https://.", code="address_not_https")
    if origins.is_private_literal((parts.host or "").strip("[]")):
        raise AccessDenied(system, f"The address of {system} is not a public one.", code="address_not_public")


def _session(url: str) -> requests.Session:
    """Return this thread's pooled session: requests does not promise that one may be shared between threads."""
    name = "trusted" if is_trusted(url) else "public"
    if not hasattr(_local, name):
        session = requests.Session()
        session.trust_env = False
        # Clients of ours share a host: what it tells one of them must not go along with another's request.
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = HTTPAdapter() if name == "trusted" else PublicPeerAdapter()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        setattr(_local, name, session)
    return getattr(_local, name)  # type: ignore[no-any-return]
