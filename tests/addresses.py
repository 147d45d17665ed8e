"""Every address of the URL configuration, as a template: `{name}` is a part of the path that varies."""

import re
from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
GROUP = re.compile(r"\(\?P<(\w+)>[^)]*\)")


def templates() -> list[str]:
    """Return all addresses of views, without Django's catch-all of the admin."""
    return sorted({found for found in _walk(get_resolver().url_patterns, "/") if not found.endswith("{url}")})


def parts(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for one in patterns:
        path = prefix + _template(one.pattern)
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, path)
        else:
            yield path


def _template(pattern: object) -> str:
    if isinstance(pattern, RoutePattern):
        return PARAMETER.sub(r"{\1}", str(pattern))
    text = GROUP.sub(r"{\1}", str(pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z"))
    return text.replace(r"\.", ".").replace("/?", "/")
