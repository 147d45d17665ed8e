"""Reads and validates environment variables; a missing or invalid value raises ImproperlyConfigured with its name."""

import base64
import ipaddress
import re
from collections.abc import Collection
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import EmailValidator

BASE_DIR = Path(__file__).resolve().parent.parent
reader = environ.FileAwareEnv()
MAIL_SCHEMES = frozenset({"smtp", "smtp+tls", "smtp+ssl", "consolemail", "filemail"})
# The format of Standard Webhooks: a prefix, then 24 to 64 bytes in base64.
SECRET_PREFIX, SECRET_BYTES = "whsec_", range(24, 65)


def _text(name: str, *, default: str = "") -> str:
    """Return a variable, or the content of the file that NAME_FILE names, without the trailing line break."""
    try:
        return str(reader.str(name, default=default)).strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {exc}.") from exc


def secret(name: str, *, is_debug: bool, debug_default: str) -> str:
    """Return a secret. It must be set, unless DEBUG allows the public default."""
    value = _text(name)
    if not value and not is_debug:
        raise ImproperlyConfigured(f"{name} is not set. Set it, or set {name}_FILE to a file that holds it.")
    return value or debug_default


def number(name: str, *, default: int) -> int:
    """Return a positive integer."""
    word = _text(name) or str(default)
    if not (word.isascii() and word.isdigit()) or int(word) < 1:
        raise ImproperlyConfigured(f"{name} must be a positive integer, not {word!r}.")
    return int(word)


def database(name: str, *, default: str) -> dict[str, Any]:
    """Return Django's database settings for a database URL."""
    address = _text(name) or default
    try:
        if urlsplit(address).scheme in {"postgres", "postgresql", "sqlite"}:
            return dict(reader.db_url_config(address))
    except ValueError:
        pass  # The exception text may contain the password.
    raise ImproperlyConfigured(f"{name} must be like postgres://user:password@host:5432/name.")


def boolean(name: str, *, default: bool = False) -> bool:
    """Return a boolean; an unknown word raises ImproperlyConfigured instead of counting as false."""
    word = _text(name, default=str(default)).lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {word!r}.")


def str_list(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma-separated list without blanks; an empty one means the default."""
    return [word.strip() for word in _text(name).split(",") if word.strip()] or list(default)


def base_url(name: str, *, default: str) -> str:
    """Return an http(s) URL without a trailing slash."""
    value = (_text(name) or default).rstrip("/")
    if value and not _is_http(value):
        raise ImproperlyConfigured(f"{name} must be a URL such as https://connector.example.com, not {value!r}.")
    return value


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def fernet_keys(name: str, *, is_debug: bool, debug_default: str) -> list[str]:
    """Return the encryption keys. The first one encrypts, all decrypt."""
    keys = str_list(name) or ([debug_default] if is_debug else [])
    if not keys:
        raise ImproperlyConfigured(f"{name} is not set. Create a key with: python manage.py make_encryption_key")
    for position, key in enumerate(keys, start=1):
        _check_fernet_key(name, key, position=position)
    return keys


def _check_fernet_key(name: str, key: str, *, position: int) -> None:
    try:
        is_right = len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        is_right = False
    if not is_right:
        raise ImproperlyConfigured(f"{name}: key {position} is not a Fernet key (32 bytes, url-safe base64).")


def networks(name: str) -> list[str]:
    """Return a comma-separated list of networks such as 10.0.0.0/8."""
    for word in str_list(name):
        try:
            ipaddress.ip_network(word)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{name}: {word!r} is not a network such as 10.0.0.0/8.") from exc
    return str_list(name)


def host_ports(name: str) -> list[str]:
    """Return a comma-separated list of host:port."""
    for word in str_list(name):
        host, _, port = word.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise ImproperlyConfigured(f"{name}: {word!r} must be host:port.")
    return str_list(name)


def one_of(name: str, *, default: str, allowed: tuple[str, ...]) -> str:
    value = _text(name) or default
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def mail_server(name: str) -> dict[str, Any]:
    """Return Django's mail settings for a mail server URL; an empty dict if it is not set."""
    address = _text(name)
    if not address:
        return {}
    try:
        parts = urlsplit(address)
        is_known = parts.scheme in MAIL_SCHEMES and not parts.query
        if is_known and (parts.hostname or not parts.scheme.startswith("smtp")):
            return {key: value for key, value in reader.email_url_config(address).items() if value is not None}
    except ValueError:
        pass  # The exception text may contain the password.
    raise ImproperlyConfigured(f"{name} must be like smtp+tls://user:password@mail.example.com:587.")


def mail_addresses(name: str) -> list[str]:
    """Return a comma-separated list of mail addresses."""
    for word in str_list(name):
        _check_mail_address(name, word)
    return str_list(name)


def mail_sender(name: str, *, default: str) -> str:
    """Return a mail address, optionally with a display name before it."""
    value = _text(name)
    if value:
        _check_mail_address(name, parseaddr(value)[1])
    return value or default


def _check_mail_address(name: str, word: str) -> None:
    try:
        EmailValidator()(word)
    except ValidationError as exc:
        raise ImproperlyConfigured(f"{name}: {word!r} is not a mail address.") from exc


def webhook(name: str, *, trusted: Collection[str]) -> str:
    """Return a webhook URL: https, or one whose host:port is in `trusted`."""
    address = _text(name)
    if not address:
        return ""
    if _is_http(address):
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme == "https" or f"{parts.hostname}:{port}" in trusted:
            return address
    # Do not show the URL: its path may be a secret.
    raise ImproperlyConfigured(f"{name} must begin with https://, or its host:port must be in TRUSTED_REMOTE_HOSTS.")


def webhook_secret(name: str, *, is_needed: bool) -> str:
    """Return the secret that signs webhook messages."""
    value = _text(name)
    if not value and not is_needed:
        return ""
    try:
        size = len(base64.b64decode(value.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        size = 0
    if size not in SECRET_BYTES:
        raise ImproperlyConfigured(
            f"{name} must be {SECRET_PREFIX} and 24 to 64 random bytes in base64. "
            f'Create one with: echo "{SECRET_PREFIX}$(head -c 32 /dev/urandom | base64)"'
        )
    return value
