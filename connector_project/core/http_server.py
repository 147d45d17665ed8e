"""Inbound HTTP: request parameters, body size limit, slow clients, DRF exception handler."""

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.http import Http404, HttpRequest
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

LARGEST_BODY = 64 * 1024
SLOWEST_READ_SECONDS = 30.0


def request_params(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a GET or POST request; the body takes precedence over the query."""
    return {name: str(value) for name, value in (request.GET.dict() | request.POST.dict()).items()}


def is_too_large(request: HttpRequest) -> bool:
    """Return whether Content-Length exceeds the limit; the body is not read."""
    length = request.headers.get("Content-Length") or "0"
    return not length.isdigit() or int(length) > LARGEST_BODY


def read_body(request: HttpRequest) -> bytes | None:
    """Return the body, or None if it exceeds the limit; where the sender states its length, it is not read then."""
    if is_too_large(request):
        return None
    body = request.body
    return body if len(body) <= LARGEST_BODY else None


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


class IgnoreAccept(BaseContentNegotiation):
    """Answers in JSON whatever a machine's `Accept` says: a callback must not fail for a header nobody reads."""

    def select_parser(self, _request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, _request: Request, renderers: Iterable[BaseRenderer], _format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


def api_exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Leave 404 to Django: an unknown hook must look like any other unknown URL."""
    return None if isinstance(exc, Http404) else exception_handler(exc, context)
