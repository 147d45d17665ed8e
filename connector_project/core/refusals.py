"""Pages that refuse a request, rendered once per language: a flood must not cost rendering."""

import functools

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language


def refuse(template: str, *, retry_after_seconds: int) -> HttpResponse:
    """Return 429 with a page that depends on nothing but the language."""
    headers = {"Retry-After": str(retry_after_seconds), "Cache-Control": "no-store"}
    return HttpResponse(_render(template, get_language()), status=429, headers=headers)


@functools.cache
def _render(template: str, _language: str | None) -> str:
    return render_to_string(template)
