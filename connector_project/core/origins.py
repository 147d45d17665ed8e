"""Parses and compares URLs with urllib3's parser, which also sends the request: two parsers would be an SSRF hole."""

import functools
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

PORTS = {"https": 443, "http": 80}
Origin = tuple[str, str, int]
INVALID: Origin = ("", "", 0)


@functools.lru_cache(maxsize=200)
def parts(url: str) -> Url:
    """Parse a URL; an invalid one gives an empty Url."""
    try:
        return parse_url(url)
    except LocationParseError:
        return Url()


def origin(url: str) -> Origin:
    """Return scheme, host and port; INVALID for an invalid URL, one of another scheme, or one with user info."""
    found = parts(url)
    if found.auth is not None or not found.host or found.scheme not in PORTS:
        return INVALID
    return found.scheme, found.host, found.port or PORTS[found.scheme]


def joined(url: str, location: str) -> str:
    """Return the target of a redirect; "" if it is invalid."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""
