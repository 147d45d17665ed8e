"""Reads the environment; a missing or impossible value stops the start with a sentence that names the variable."""

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
env = environ.FileAwareEnv()
MAIL_SCHEMES = frozenset({"smtp", "smtp+tls", "smtp+ssl", "consolemail", "filemail"})
# As Standard Webhooks has it: 24 to 64 bytes, in base64, behind a word of its own.
SECRET_PREFIX, SECRET_BYTES = "whsec_", range(24, 65)


def _text(name: str, *, default: str = "") -> str:
    """Return a variable, or what the file holds that X_FILE names; a file ends in a line break, a value does not."""
    try:
        return str(env.str(name, default=default)).strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {exc}.") from exc


def secret(name: str, *, is_debug: bool, stand_in: str) -> str:
    """Return a secret that must be set, unless DEBUG allows the public stand-in."""
    value = _text(name)
    if not value and not is_debug:
        raise ImproperlyConfigured(f"{name} is not set. Set it, or set {name}_FILE to a file that holds it.")
    return value or stand_in


def number(name: str, *, default: int) -> int:
    """Return a whole number above zero."""
    word = _text(name) or str(default)
    if not (word.isascii() and word.isdigit()) or int(word) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above zero, not {word!r}.")
    return int(word)


def database(name: str, *, default: str) -> dict[str, Any]:
    """Return Django's settings of the database an address names."""
    address = _text(name) or default
    try:
        if urlsplit(address).scheme in {"postgres", "postgresql", "sqlite"}:
            return dict(env.db_url_config(address))
    except ValueError:
        pass  # Its text may hold the password.
    raise ImproperlyConfigured(f"{name} must be like postgres://user:password@host:5432/name.")


def flag(name: str, *, default: bool = False) -> bool:
    """Return a yes-or-no variable; anything but a known word is an error, never a silent no."""
    word = _text(name, default=str(default)).lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {word!r}.")


def words(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma list without blanks; an empty one stands for the default."""
    return [word.strip() for word in _text(name).split(",") if word.strip()] or list(default)


def base_url(name: str, *, default: str) -> str:
    """Return an http(s) address without a trailing slash."""
    value = (_text(name) or default).rstrip("/")
    if value and not _is_http(value):
        raise ImproperlyConfigured(f"{name} must be an address such as https://connector.example.com, not {value!r}.")
    return value


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def fernet_keys(name: str, *, is_debug: bool, stand_in: str) -> list[str]:
    """Return the encryption keys, the first of which encrypts."""
    keys = words(name) or ([stand_in] if is_debug else [])
    if not keys:
        raise ImproperlyConfigured(f"{name} is not set. Make a key with: python manage.py make_encryption_key")
    for position, key in enumerate(keys, start=1):
        _check_fernet_key(name, key, position=position)
    return keys


def _check_fernet_key(name: str, key: str, *, position: int) -> None:
    try:
        is_right = len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        is_right = False
    if not is_right:
        raise ImproperlyConfigured(f"{name}: key {position} is no Fernet key (32 bytes, url-safe base64).")


def networks(name: str) -> list[str]:
    """Return a comma list of networks such as 10.0.0.0/8."""
    for word in words(name):
        try:
            ipaddress.ip_network(word)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{name}: {word!r} is no network such as 10.0.0.0/8.") from exc
    return words(name)


def host_ports(name: str) -> list[str]:
    """Return a comma list of host:port."""
    for word in words(name):
        host, _, port = word.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise ImproperlyConfigured(f"{name}: {word!r} must be host:port.")
    return words(name)


def one_of(name: str, *, default: str, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed words."""
    value = _text(name) or default
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def mail_server(name: str) -> dict[str, Any]:
    """Return Django's settings of the mail server an address names; nothing where none is named."""
    address = _text(name)
    if not address:
        return {}
    try:
        parts = urlsplit(address)
        is_known = parts.scheme in MAIL_SCHEMES and not parts.query
        if is_known and (parts.hostname or not parts.scheme.startswith("smtp")):
            return {key: value for key, value in env.email_url_config(address).items() if value is not None}
    except ValueError:
        pass  # Its text may hold the password.
    raise ImproperlyConfigured(f"{name} must be like smtp+tls://user:password@mail.example.com:587.")


def mail_addresses(name: str) -> list[str]:
    """Return a comma list of mail addresses."""
    for word in words(name):
        _check_mail_address(name, word)
    return words(name)


def mail_sender(name: str, *, default: str) -> str:
    """Return a mail address, with or without a name in front of it."""
    value = _text(name)
    if value:
        _check_mail_address(name, parseaddr(value)[1])
    return value or default


def _check_mail_address(name: str, word: str) -> None:
    try:
        EmailValidator()(word)
    except ValidationError as exc:
        raise ImproperlyConfigured(f"{name}: {word!r} is no mail address.") from exc


def webhook(name: str, *, trusted: Collection[str]) -> str:
    """Return an address to post to: https, or one whose host and port the operator trusts."""
    address = _text(name)
    if not address:
        return ""
    if _is_http(address):
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme == "https" or f"{parts.hostname}:{port}" in trusted:
            return address
    # The address itself is not named: its path may be a secret.
    raise ImproperlyConfigured(f"{name} must begin with https://, or its host:port must stand in TRUSTED_REMOTE_HOSTS.")


def webhook_secret(name: str, *, is_needed: bool) -> str:
    """Return the secret that messages are signed with."""
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
            f'Make one with: echo "{SECRET_PREFIX}$(head -c 32 /dev/urandom | base64)"'
        )
    return value
