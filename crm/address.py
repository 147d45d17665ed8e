"""Which addresses may be a CRM account: the guard against being sent elsewhere with a key in hand."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def bare(address: str) -> str:
    """Return an address as it is kept and compared: the CRM writes it with a slash at its end, people in capitals."""
    return address.strip().rstrip("/").lower()


def fault(address: str, *, domains: Iterable[str], is_trusted: bool) -> str:
    """Return what is wrong with an account's address: NOT_HTTPS, NOT_BARE, NOT_A_DOMAIN; "" when nothing is."""
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
    # Exact, for parsers disagree on what is a host: a backslash before the domain would lead elsewhere.
    account, _, domain = host.partition(".")
    return "" if _ACCOUNT.fullmatch(account) and domain in set(domains) else "NOT_A_DOMAIN"
