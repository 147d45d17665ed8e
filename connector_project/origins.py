"""Addresses taken apart, as the library that sends to them does it: two readings of one address are a hole. Pure."""

import ipaddress
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

PORTS = {"https": 443, "http": 80}
Origin = tuple[str, str, int]
NOWHERE: Origin = ("", "", 0)


def parts(url: str) -> Url:
    """Take an address apart; one that cannot be read has no parts."""
    try:
        return parse_url(url)
    except LocationParseError:
        return Url()


def origin(url: str) -> Origin:
    """Return the scheme, host and port that would be asked; nothing for an odd address, or one that names a user."""
    found = parts(url)
    if found.auth is not None or not found.host or found.scheme not in PORTS:
        return NOWHERE
    return found.scheme, found.host, found.port or PORTS[found.scheme]


def joined(url: str, location: str) -> str:
    """Return where a redirect leads; nothing where that cannot be read."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def is_private_literal(host: str) -> bool:
    """Say whether a host is written as an address, and that is no public one."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
