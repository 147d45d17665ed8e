"""The Content-Security-Policy and the Permissions-Policy of every page; the policies themselves are in the settings."""

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class PagePolicy(CSPMiddleware):
    """Adds both headers to pages, those of errors too. Answers to machines are no documents and need neither."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not _is_page(response):
            return response
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        return super().process_response(request, response)


def _is_page(response: HttpResponseBase) -> bool:
    """Return whether a browser could show the response as a page. The empty 200 of a webhook is none."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_empty = response.status_code == 200 and not response.streaming and not getattr(response, "content", b"")
    return kind == "text/html" and not is_empty
