"""Inbound HTTP: slow clients, DRF exception handler."""

import socket
from contextlib import suppress
from typing import Any

from django.http import Http404, HttpRequest
from rest_framework.response import Response
from rest_framework.views import exception_handler

SLOWEST_READ_SECONDS = 30.0


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
