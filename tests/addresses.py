"""Every address of the URL configuration, as a template: `{name}` is a part of the path that varies."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP = re.compile(r"\(\?P<(\w+)>[^)]*\)")
_CATCH_ALL = "{url}"  # Django's own, of the admin


@dataclass(frozen=True)
class Route:
    """One address of a view."""

    name: str  # of the URL, with its namespace; the template of one without a name
    template: str

    @property
    def parts(self) -> list[str]:
        """The names of the parts that vary."""
        return parts(self.template)

    @property
    def is_catch_all(self) -> bool:
        return self.template.endswith(_CATCH_ALL)


def routes(patterns: Iterable[URLPattern | URLResolver] | None = None) -> list[Route]:
    """Return the routes of all views, in the order in which they are tried; of the URLconf unless told otherwise."""
    return list(_walk(get_resolver().url_patterns if patterns is None else patterns, (), "/"))


def templates() -> list[str]:
    """Return all addresses of views, without Django's catch-all of the admin."""
    return sorted({route.template for route in routes() if not route.is_catch_all})


def parts(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def _walk(patterns: Iterable[URLPattern | URLResolver], namespaces: tuple[str, ...], prefix: str) -> Iterator[Route]:
    for one in patterns:
        path = prefix + _template(one.pattern)
        if isinstance(one, URLResolver):
            inner = (*namespaces, one.namespace) if one.namespace else namespaces
            yield from _walk(one.url_patterns, inner, path)
        else:
            yield Route(":".join((*namespaces, one.name or path)), path)


def _template(pattern: object) -> str:
    if isinstance(pattern, RoutePattern):
        return _PARAMETER.sub(r"{\1}", str(pattern))
    text = _GROUP.sub(r"{\1}", str(pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z"))
    return text.replace(r"\.", ".").replace("/?", "/")
