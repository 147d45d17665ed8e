"""Reads and validates environment variables; a missing or invalid value raises ImproperlyConfigured with its name."""

import base64
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import EmailValidator

from connector_project.core.networks import normalise_network, parse_network

BASE_DIR = Path(__file__).resolve().parent.parent
reader = environ.FileAwareEnv()
MAIL_SCHEMES = frozenset({"smtp", "smtp+tls", "smtp+ssl", "consolemail", "filemail"})
# The format of Standard Webhooks: a prefix, then 24 to 64 bytes in base64.
SECRET_PREFIX, SECRET_BYTES = "whsec_", range(24, 65)


def text(name: str, *, default: str = "") -> str:
    """Return a variable, or the content of the file that NAME_FILE names, without the trailing line break."""
    try:
        return str(reader.str(name, default="")).strip() or default
    except (OSError, UnicodeDecodeError) as exc:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {exc}.") from exc


def secret(name: str, *, is_debug: bool, debug_default: str) -> str:
    """Return a secret. It must be set, unless DEBUG allows the public default."""
    value = text(name)
    if not value and not is_debug:
        raise ImproperlyConfigured(f"{name} is not set. Set it, or set {name}_FILE to a file that holds it.")
    return value or debug_default


def number(name: str, *, default: int) -> int:
    """Return a positive integer."""
    word = text(name, default=str(default))
    with _refuse(f"{name} must be a positive integer, not {word!r}."):
        _check(re.fullmatch("[0-9]+", word) and int(word))
    return int(word)


def database(name: str, *, default: str) -> dict[str, Any]:
    """Return Django's database settings for a database URL."""
    address = text(name, default=default)
    with _refuse(f"{name} must be like postgres://user:password@host:5432/name."):
        _check(urlsplit(address).scheme in {"postgres", "postgresql", "sqlite"})
        return dict(reader.db_url_config(address))


def boolean(name: str, *, default: bool = False) -> bool:
    """Return a boolean; an unknown word raises ImproperlyConfigured instead of counting as false."""
    word = text(name, default=str(default)).lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {word!r}.")


def str_list(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma-separated list without blanks; an empty one means the default."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or list(default)


def base_url(name: str, *, default: str) -> str:
    """Return an http(s) URL without a trailing slash."""
    value = text(name, default=default).rstrip("/")
    if value:
        with _refuse(f"{name} must be a URL such as https://connector.example.com, not {value!r}."):
            _http_parts(value)
    return value


def fernet_keys(name: str, *, is_debug: bool, debug_default: str) -> list[str]:
    """Return the encryption keys. The first one encrypts, all decrypt."""
    keys = str_list(name) or ([debug_default] if is_debug else [])
    if not keys:
        raise ImproperlyConfigured(f"{name} is not set. Create a key with: python manage.py make_encryption_key")
    for position, key in enumerate(keys, start=1):
        with _refuse(f"{name}: key {position} is not a Fernet key (32 bytes, url-safe base64)."):
            _check(len(base64.urlsafe_b64decode(key)) == 32)
    return keys


def networks(name: str) -> list[str]:
    """Return a comma-separated list of networks such as 10.0.0.0/8."""
    return _each(name, ipaddress.ip_network, "is not a network such as 10.0.0.0/8")


def outbound_addresses(name: str) -> list[str]:
    """Return our outgoing addresses and networks, as a client's list of allowed addresses takes them."""
    found = _each(name, _check_outbound, "is not an address or network that requests come from, such as 203.0.113.10")
    return list(dict.fromkeys(map(normalise_network, found)))


def host_ports(name: str) -> list[str]:
    """Return a comma-separated list of host:port."""
    return _each(name, _check_host_port, "must be host:port")


def one_of(name: str, *, default: str, allowed: tuple[str, ...]) -> str:
    value = text(name, default=default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def log_format() -> str:
    """Return "text" or "json"; gunicorn's main process logs without Django's settings."""
    return one_of("LOG_FORMAT", default="text", allowed=("text", "json"))


def staff_second_factor(name: str, *, is_debug: bool) -> str:
    """Return whether staff need a second factor; only DEBUG makes it optional by itself."""
    return one_of(name, default="optional" if is_debug else "required", allowed=("required", "optional"))


def mail_server(name: str) -> dict[str, Any]:
    """Return Django's mail settings for a mail server URL; an empty dict if it is not set."""
    address = text(name)
    if not address:
        return {}
    with _refuse(f"{name} must be like smtp+tls://user:password@mail.example.com:587."):
        parts = urlsplit(address)
        _check(parts.scheme in MAIL_SCHEMES and not parts.query)
        _check(parts.hostname or not parts.scheme.startswith("smtp"))
        return {key: value for key, value in reader.email_url_config(address).items() if value is not None}


def mail_addresses(name: str, *, languages: Collection[str] = ()) -> list[str]:
    """Return a comma-separated list of mail addresses, each optionally after its language and a colon."""

    def check(word: str) -> None:
        language, colon, address = word.partition(":")
        _check(not colon or language in languages)
        EmailValidator()(address if colon else word)

    return _each(name, check, "is not a mail address")


def mail_sender(name: str, *, default: str) -> str:
    """Return a mail address, optionally with a display name before it."""
    value = text(name)
    if not value:
        return default
    with _refuse(f"{name}: {value!r} is not a mail address."):
        EmailValidator()(parseaddr(value)[1])
    return value


def webhook(name: str, *, trusted: Collection[str]) -> str:
    """Return a webhook URL: https, or one whose host:port is in `trusted`."""
    address = text(name)
    if address:
        # Do not show the URL: its path may be a secret.
        with _refuse(f"{name} must begin with https://, or its host:port must be in TRUSTED_REMOTE_HOSTS."):
            parts = _http_parts(address)
            _check(parts.scheme == "https" or f"{parts.hostname}:{parts.port or 80}" in trusted)
    return address


def webhook_secret(name: str, *, is_needed: bool) -> str:
    """Return the secret that signs webhook messages."""
    value = text(name)
    if value or is_needed:
        example = f'echo "{SECRET_PREFIX}$(head -c 32 /dev/urandom | base64)"'
        with _refuse(f"{name} must be {SECRET_PREFIX} and 24 to 64 random bytes in base64. Create one with: {example}"):
            _check(len(base64.b64decode(value.removeprefix(SECRET_PREFIX), validate=True)) in SECRET_BYTES)
    return value


@contextmanager
def _refuse(message: str) -> Iterator[None]:
    """Raise ImproperlyConfigured with this message instead of an error whose own text may contain a password."""
    try:
        yield
    except (ValueError, ValidationError):
        raise ImproperlyConfigured(message) from None


def _check(is_valid: object) -> None:
    if not is_valid:
        raise ValueError


def _each(name: str, check: Callable[[str], object], message: str) -> list[str]:
    """Return a comma-separated list, of which each word passes the check."""
    for word in str_list(name):
        with _refuse(f"{name}: {word!r} {message}."):
            check(word)
    return str_list(name)


def _check_host_port(word: str) -> None:
    host, _, port = word.rpartition(":")
    _check(host and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536)


def _check_outbound(word: str) -> None:
    network = parse_network(word)
    _check(network.prefixlen and not (network.is_multicast or network.network_address.is_unspecified))


def _http_parts(address: str) -> SplitResult:
    """Return the parts of an http(s) URL. Raises ValueError."""
    parts = urlsplit(address)
    _check(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
    return parts
