"""What comes in by HTTP, as plain values."""

import socket
from contextlib import suppress
from typing import Any

from django.http import Http404, HttpRequest, QueryDict
from rest_framework.response import Response
from rest_framework.views import exception_handler

LARGEST_BODY = 64 * 1024
SLOWEST_READ_SECONDS = 30.0


def parameters(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a request that may come by GET or POST; the body wins over the query."""
    said: dict[str, object] = {name: request.GET[name] for name in request.GET}
    if request.method == "POST":
        form: QueryDict = request.POST
        said |= {name: form[name] for name in form}
    return {name: str(value) for name, value in said.items()}


def is_too_large(request: HttpRequest) -> bool:
    """Say whether the sender announces more than we take; looks at the header, reads nothing."""
    length = request.headers.get("Content-Length") or "0"
    return not length.isdigit() or int(length) > LARGEST_BODY


def drop_slow_reader(request: HttpRequest) -> None:
    """Let whoever reads the answer have half a minute for each part of it: he holds one of our threads meanwhile.

    Only gunicorn shows us the line; it makes it patient again for the next request.
    """
    line = request.META.get("gunicorn.socket")
    if line is not None:
        line.settimeout(SLOWEST_READ_SECONDS)


def hang_up(request: HttpRequest) -> None:
    """Break the line of somebody who did not take the whole answer.

    Else gunicorn would wait for him for two seconds more, and with it everybody whom this process serves.
    """
    line = request.META.get("gunicorn.socket")
    if line is not None:
        with suppress(OSError):  # He was faster.
            line.shutdown(socket.SHUT_RDWR)


def answer_error(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Leave 404 to Django: a wrong hook must look like any other wrong address."""
    return None if isinstance(exc, Http404) else exception_handler(exc, context)
