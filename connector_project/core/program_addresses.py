"""Middleware: requests of programs go past what only pages need, such as sessions, sign-in, messages and languages.

For receiving a webhook these parts cost as much as storing it.
"""

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.utils import translation
from django.utils.cache import patch_vary_headers

from connector_project.core.middleware import BodyLimits

# What the pool for programs serves (deploy/nginx.conf). Not /api/, whose documentation knows staff, nor /records/,
# which browsers open.
PROGRAM_PREFIXES = ("/hooks/", "/connect/", "/health/", "/metrics/")
# The parts that stay, of those that stand behind `ProgramAddresses` in the settings.
KEPT = (BodyLimits, CommonMiddleware, XFrameOptionsMiddleware)

Step = Callable[[HttpRequest], HttpResponse]


class ProgramAddresses:
    """Decides by the path whether a request passes the rest of the middleware, or the few parts that programs need."""

    def __init__(self, get_response: Step) -> None:
        self.for_pages = get_response
        self.for_programs: Step = _view_of(get_response)
        for part in reversed(KEPT):
            self.for_programs = cast(Step, convert_exception_to_response(part(self.for_programs)))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PROGRAM_PREFIXES):
            return self.for_pages(request)
        _set_language(request)
        response = self.for_programs(request)
        if response.status_code >= 400:  # Like any other error: an unknown hook is an unknown address.
            patch_vary_headers(response, ("Accept-Language",))
            response.headers.setdefault("Content-Language", translation.get_language())
        return response


def _view_of(step: Step) -> Step:
    """Return what stands behind all middleware: each part keeps the next one as `get_response`."""
    while hasattr(step, "get_response"):
        step = step.get_response
    return step


def _set_language(request: HttpRequest) -> None:
    """Do not leave the language of the last page in this thread. Programs name none; a person may look at an error."""
    if "HTTP_ACCEPT_LANGUAGE" in request.META or "HTTP_COOKIE" in request.META:
        translation.activate(translation.get_language_from_request(request))
    else:
        translation.activate(settings.LANGUAGE_CODE)
