"""Every address of the product, from the URL configuration: tests of all of them need no list written by hand."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize


def addresses(value: object = 1) -> list[str]:
    """Return a path for each pattern; each of its parameters has the value."""
    return sorted({path for path in _walk(get_resolver(), "/", value) if not path.startswith("/static/")})


def _walk(resolver: URLResolver, prefix: str, value: object) -> Iterator[str]:
    for one in resolver.url_patterns:
        path = prefix + _path(one.pattern, value)
        if isinstance(one, URLPattern):
            yield path
        else:
            yield from _walk(one, path, value)


def _path(pattern: Any, value: object) -> str:
    text, names = normalize(pattern.regex.pattern)[0]
    return str(text % dict.fromkeys(names, value))
