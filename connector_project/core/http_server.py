"""Inbound HTTP: request parameters, body size limit, slow clients, DRF exception handler."""

import socket
from contextlib import suppress
from typing import Any

from django.http import Http404, HttpRequest
from rest_framework.response import Response
from rest_framework.views import exception_handler

LARGEST_BODY = 64 * 1024
LONGEST_LENGTH = 19  # digits of a Content-Length
METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SLOWEST_READ_SECONDS = 30.0


def request_params(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a GET or POST request; the body takes precedence over the query."""
    return {name: str(value) for name, value in (request.GET.dict() | request.POST.dict()).items()}


def body_refusal(request: HttpRequest) -> int | None:
    """Return the status that refuses the body by its length: 411 without one, 413 over the limit. It is not read.

    A chunked body that could be read has a length (`core.request_checks`).
    """
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length:
        return 411 if request.method not in METHODS_WITHOUT_BODY else None
    is_acceptable = length.isascii() and length.isdigit() and len(length) < LONGEST_LENGTH
    return None if is_acceptable and int(length) <= LARGEST_BODY else 413


def limit_slow_client(request: HttpRequest) -> None:
    """Give the client 30 seconds to read each chunk of the response: it occupies one of our threads meanwhile.

    Works only under gunicorn, which exposes its socket and resets the time-out for the next request.
    """
    sock = request.META.get("gunicorn.socket")
    if sock is not None:
        sock.settimeout(SLOWEST_READ_SECONDS)


def close_connection(request: HttpRequest) -> None:
    """Close the connection of a client that did not read the whole response.

    Otherwise gunicorn waits two more seconds for the client and blocks the whole process.
    """
    sock = request.META.get("gunicorn.socket")
    if sock is not None:
        with suppress(OSError):  # The client has closed it already.
            sock.shutdown(socket.SHUT_RDWR)


def api_exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Leave 404 to Django: an unknown hook must look like any other unknown URL."""
    return None if isinstance(exc, Http404) else exception_handler(exc, context)
