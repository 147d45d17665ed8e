"""Middleware: a fresh log context, limits of bodies, and X-Forwarded-… headers from trusted networks only."""

import functools
import ipaddress
import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from structlog.contextvars import clear_contextvars

from connector_project.core import logging
from connector_project.core.body_limits import is_within, largest_body
from connector_project.core.password_hashing import HashingBusy
from connector_project.core.refusals import refuse
from connector_project.core.transactions import is_conflict

logger = logging.logger(__name__)
security_logger = logging.logger("connector.security")
BUSY_SECONDS = 5

COUNTED_BY_VIEWS = "/hooks/"
IS_LOCAL = "connector.is_local"
# A proxy adds at least one of them; one that TRUSTED_PROXIES does not list may be on this machine.
FORWARDING_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[0-9A-Fa-f:.]+)\](?::[0-9]+)?")


class LogContext:
    """Begins each request without the fields that another one has bound to the records of this thread."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        clear_contextvars()
        return self.get_response(request)


class BodyLimits:
    """Rejects a body that is too large, or of which nobody says how large it is, before anything of it is read.

    Not for webhooks and callbacks: their views do the same, and count what they reject for the tenant.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(COUNTED_BY_VIEWS):
            return self.get_response(request)
        length = request.headers.get("Content-Length", "")
        if not length and "Transfer-Encoding" in request.headers:
            return render(request, "411.html", status=411)
        if length and not is_within(length, largest_body(request.path)):
            return render(request, "413.html", status=413)
        return self.get_response(request)


class TransactionConflicts:
    """Answers 503 instead of 500 if the database broke a request's transaction off: nothing of it was written.

    A browser asks the person to send the request again; everything that was typed is sent with it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not is_conflict(exception):
            return None
        view = request.resolver_match.view_name if request.resolver_match else ""  # The path may hold a secret.
        logger.warning("the database broke the transaction of a request off", view=view)
        response = render(request, "503.html", status=503)
        response.headers["Retry-After"] = "1"
        return response


class BusyPasswordHashing:
    """Answers 429 if too many passwords are being hashed in this process."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, HashingBusy):
            return None
        security_logger.warning("password hashing is busy", address=request.META.get("REMOTE_ADDR", ""))
        return refuse("429.html", retry_after_seconds=BUSY_SECONDS)


class TrustedProxies:
    """Sets REMOTE_ADDR from a trusted proxy's headers, and removes the headers of all other senders.

    `is_local` says afterwards whether the request comes from this machine or from the proxies' networks.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.networks = [ipaddress.ip_network(network) for network in settings.TRUSTED_PROXIES]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sender = request.META.get("REMOTE_ADDR", "")
        is_forwarded = any(header in request.META for header in FORWARDING_HEADERS)
        if self._is_trusted(sender):
            sender = self._sender(request.META.get("HTTP_X_FORWARDED_FOR", "")) or sender
            request.META["REMOTE_ADDR"] = sender
            request.META[IS_LOCAL] = self._is_trusted(sender) or (_is_loopback(sender) and not is_forwarded)
        else:
            request.META.pop("HTTP_X_FORWARDED_FOR", None)
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
            request.META[IS_LOCAL] = _is_loopback(sender) and not is_forwarded
        return self.get_response(request)

    def _sender(self, forwarded: str) -> str:
        """Return the last address that is not a trusted proxy: the sender can forge everything before it."""
        for address in reversed([_without_port(part.strip()) for part in forwarded.split(",") if part.strip()]):
            if not self._is_trusted(address):
                return address
        return ""

    def _is_trusted(self, address: str) -> bool:
        parsed = _parse_address(address)
        return parsed is not None and any(parsed in network for network in self.networks)


def is_local(request: HttpRequest) -> bool:
    """Return whether a request comes from this machine, by no proxy that says so, or from the proxies' networks."""
    return bool(request.META.get(IS_LOCAL))


def _is_loopback(address: str) -> bool:
    parsed = _parse_address(address)
    return parsed is not None and parsed.is_loopback


def _without_port(address: str) -> str:
    """Return the address of `203.0.113.10:5678` and `[2001:db8::5]:5678`, which some proxies write."""
    with_port = _WITH_PORT.fullmatch(address)
    return with_port["v4"] or with_port["v6"] if with_port else address


@functools.lru_cache(maxsize=1024)
def _parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address; an IPv4 address that a socket for both versions shows as IPv6 is an IPv4 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
