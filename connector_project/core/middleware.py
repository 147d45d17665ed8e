"""Middleware: a fresh log context, and X-Forwarded-For and X-Forwarded-Proto from trusted networks only."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from structlog.contextvars import clear_contextvars

from connector_project.core import logging
from connector_project.core.password_hashing import HashingBusy
from connector_project.core.refusals import refuse
from connector_project.core.transactions import is_conflict

logger = logging.logger(__name__)
security_logger = logging.logger("connector.security")
BUSY_SECONDS = 5


class LogContext:
    """Begins each request without the fields that another one has bound to the records of this thread."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        clear_contextvars()
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
    """Sets REMOTE_ADDR from a trusted proxy's headers, and removes the headers of all other senders."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.networks = [ipaddress.ip_network(network) for network in settings.TRUSTED_PROXIES]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self._is_trusted(request.META.get("REMOTE_ADDR", "")):
            request.META["REMOTE_ADDR"] = (
                self._sender(request.META.get("HTTP_X_FORWARDED_FOR", "")) or request.META["REMOTE_ADDR"]
            )
        else:
            request.META.pop("HTTP_X_FORWARDED_FOR", None)
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self.get_response(request)

    def _sender(self, forwarded: str) -> str:
        """Return the last address that is not a trusted proxy: the sender can forge everything before it."""
        for address in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
            if not self._is_trusted(address):
                return address
        return ""

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)
