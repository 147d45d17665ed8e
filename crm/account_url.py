"""Validates CRM account URLs, so that an API key is never sent to another host."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def validation_error(address: str, *, domains: Iterable[str], is_trusted: bool) -> str:
    """Return the error code of an account URL: NOT_HTTPS, NOT_BARE, NOT_A_DOMAIN; "" if it is valid."""
    if is_trusted:
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "NOT_A_DOMAIN"
    host = parts.hostname or ""
    if parts.scheme != "https":
        return "NOT_HTTPS"
    if address.rstrip("/").lower() != f"https://{host}":
        return "NOT_BARE"
    # Match exactly: URL parsers disagree on what the host is, for example with a backslash before the domain.
    account, _, domain = host.partition(".")
    return "" if _ACCOUNT.fullmatch(account) and domain in set(domains) else "NOT_A_DOMAIN"
