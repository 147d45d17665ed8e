"""Middleware: refuses what cannot be read as text before any code reads the parameters, and completes what can.

Without it, a NUL or an odd charset raises where a parameter is first used: in a view, in the handler of that error, or
in the database.
"""

import codecs
from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.urls import is_valid_path
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext as _

from connector_project.core.body_limits import LARGEST_BODY

LONGEST_LENGTH = 19  # digits of a Content-Length
# Addresses that programs call: they answer JSON, and the same with and without the last slash.
MACHINE_PREFIXES = ("/hooks/", "/connect/", "/records/", "/health/", "/api/", "/metrics")
BODY_PREFIXES = ("/hooks/", "/connect/")  # the others answer POST with 405
# Codecs that map bytes to characters one by one or as UTF-8: all that a browser or a program sends forms in. Python
# knows others that are no character sets (rot13, hex), fail on some input (idna) or make half characters
# (unicode_escape).
CHARSETS = frozenset(
    {
        *("utf-8", "utf-8-sig", "ascii", "koi8-r", "koi8-u", "mac-cyrillic", "cp866"),
        *(f"iso8859-{part}" for part in range(1, 17)),
        *(f"cp{page}" for page in range(1250, 1259)),
    }
)
UNKNOWN_CHARSET = "\0"  # of a Content-Type that cannot be parsed


class RequestChecks:
    """Answers 400 (in a path: 404) for NUL and for charsets that are none; reads chunked bodies of machines.

    Bodies of machines are limited to 64 KiB. A view with the attribute `takes_any_text` gets all requests: it decides.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if charset_of(request) is None:
            request.encoding = "utf-8"  # Whoever reads the parameters, for a page about an error, must not fail.
        if is_machine_path(request.path_info):
            _read_chunked_body(request)
            _complete_path(request)
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], _args: object, _kwargs: object
    ) -> HttpResponse | None:
        if "\0" in request.path_info:
            raise Http404
        if getattr(view, "takes_any_text", False):
            return None
        is_machine = is_machine_path(request.path_info)
        if request.path_info.startswith(BODY_PREFIXES) and (refusal := body_refusal(request)):
            return HttpResponse(status=refusal)
        try:
            _check_text(request)
        except BadRequest as exc:
            if not is_machine:
                raise
            return JsonResponse({"success": False, "errorMsg": str(exc), "detail": str(exc)}, status=400)
        return None


class Request(WSGIRequest):
    """A request whose Content-Type may be anything: an exception here would leave Django for the web server.

    Django's own class reads the query as soon as it knows the charset.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (LookupError, ValueError, TypeError, AttributeError):
            self.content_type, self.content_params = "", {"charset": UNKNOWN_CHARSET}
        if "charset" in self.content_params:
            self._encoding = charset_of(self)


class Handler(WSGIHandler):
    request_class = Request


def is_machine_path(path: str) -> bool:
    return path.startswith(MACHINE_PREFIXES)


def charset_of(request: HttpRequest) -> str | None:
    """Return the codec of the stated charset, UTF-8 if none is stated; None if it is no character set."""
    stated = (request.content_params or {}).get("charset") or "utf-8"
    try:
        codec = codecs.lookup(stated).name
    except (LookupError, ValueError):
        return None
    return codec if codec in CHARSETS else None


def body_refusal(request: HttpRequest) -> int | None:
    """Return the status that refuses the body by its length: 411 without one, 413 over the limit. It is not read.

    A chunked body that could be read has a length (`core.request_checks`).
    """
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length:
        return 411 if request.method == "POST" else None
    is_acceptable = length.isascii() and length.isdigit() and len(length) < LONGEST_LENGTH
    return None if is_acceptable and int(length) <= LARGEST_BODY else 413


def _check_text(request: HttpRequest) -> None:
    """Raise BadRequest if the request states no character set, or a parameter or cookie has a NUL."""
    if charset_of(request) is None:
        raise BadRequest(_("The request's charset is unknown. Use UTF-8."))
    lists = [request.GET.lists(), ((name, [value]) for name, value in request.COOKIES.items())]
    lists.append(_form(request).lists())
    if any("\0" in name or "\0" in "".join(values) for pairs in lists for name, values in pairs):
        raise BadRequest(_("The request has a NUL character. Remove it."))


def _form(request: HttpRequest) -> Any:
    try:
        return request.POST
    except (SuspiciousOperation, RequestDataTooBig, MultiPartParserError, BadRequest):
        raise  # Django answers 400 or 413.
    except (LookupError, ValueError, OSError) as exc:
        # The headers of a part, or a connection that broke off.
        raise BadRequest(_("The request's body cannot be read.")) from exc


def _read_chunked_body(request: HttpRequest) -> None:
    """Read a body that is sent in chunks, up to the limit, so that it has a length. Django takes it for empty.

    Only where the web server marks the end of the input: otherwise reading would wait for more.
    """
    meta = request.META
    if meta.get("CONTENT_LENGTH") or "chunked" not in meta.get("HTTP_TRANSFER_ENCODING", "").lower():
        return
    if not meta.get("wsgi.input_terminated"):
        return
    try:
        body = meta["wsgi.input"].read(LARGEST_BODY + 1)
    except OSError:
        return  # Malformed chunks or a broken connection: a body without a length.
    request._body = body  # where Django keeps a body that was read
    meta["CONTENT_LENGTH"] = str(len(body))


def _complete_path(request: HttpRequest) -> None:
    """Add the last slash if the address has one: Django would redirect, and a POST would be lost."""
    path = request.path_info
    if not path.endswith("/") and not is_valid_path(path) and is_valid_path(f"{path}/"):
        request.path_info = f"{path}/"
        request.path = f"{request.path}/"
