"""Which addresses may be a CRM account: the guard against being sent elsewhere with a key in hand."""

from collections.abc import Iterable
from urllib.parse import urlsplit


def fault(address: str, *, domains: Iterable[str], is_trusted: bool) -> str:
    """Return what is wrong with an account's address: NOT_HTTPS, NOT_BARE, NOT_A_DOMAIN; "" when nothing is."""
    parts = urlsplit(address)
    if is_trusted:
        return ""
    if parts.scheme != "https":
        return "NOT_HTTPS"
    if parts.port or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        return "NOT_BARE"
    account, _, domain = (parts.hostname or "").partition(".")
    return "" if account and domain in set(domains) else "NOT_A_DOMAIN"
