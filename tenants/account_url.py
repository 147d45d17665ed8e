"""Validates CRM account URLs, so that an API key is never sent to another host."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from connector_project.core import http_client, origins

NOT_AN_ACCOUNT = _("“%(address)s” is not the address of a CRM account. Example: https://shop.retailcrm.ru")
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_account_url(address: str) -> bool:
    """Return whether a key may be sent to this URL: an account on the vendor's domains, or a trusted host."""
    error = validation_error(address, domains=settings.CRM_DOMAINS, is_trusted=False)
    return not error or http_client.is_trusted(address)


def validate_account_url(address: str) -> None:
    """Raise ValidationError, with the code of the set-up check, unless a key may be sent to this URL."""
    if not is_account_url(address):
        raise ValidationError(NOT_AN_ACCOUNT, code="CRM_ADDRESS", params={"address": address})


def is_same_host(old: str, new: str) -> bool:
    """Return whether both URLs lead to the same host and port, so that a key for one may be sent to the other."""
    return origins.origin(old.lower()) == origins.origin(new.lower()) != origins.INVALID


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
    if address.removesuffix("/").lower() != f"https://{host}":
        return "NOT_BARE"
    # Match exactly: URL parsers disagree on what the host is, for example with a backslash before the domain.
    account, _dot, domain = host.partition(".")
    is_exact = address.isascii() and _ACCOUNT.fullmatch(account)  # A Kelvin sign, in lower case, is a k.
    return "" if is_exact and domain in set(domains) else "NOT_A_DOMAIN"
