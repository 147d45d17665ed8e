"""System checks for settings that do not work, or are not safe, in production."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 -- Django's name

SHORTEST_TOKEN = 20
# 10.0.0.0/8 is one organisation's network; anything much wider is the internet.
WIDEST_NETWORK = {4: 8, 6: 7}


@register(Tags.security, deploy=True)
def check_production(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """Find settings that are for development only."""
    return [*_check_data(), *_check_addresses(), *_check_proxy()]


def _check_data() -> Iterator[CheckMessage]:
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        yield Warning("SQLite works on one machine only; set DATABASE_URL to PostgreSQL.", id="connector.W001")
    if settings.TRUSTED_REMOTE_HOSTS:
        yield Warning("TRUSTED_REMOTE_HOSTS allows requests to private or unencrypted hosts.", id="connector.W002")
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < SHORTEST_TOKEN:
        yield Warning(
            f"METRICS_TOKEN is shorter than {SHORTEST_TOKEN} characters: create a random one.", id="connector.W004"
        )


def _check_addresses() -> Iterator[CheckMessage]:
    if not settings.PUBLIC_URL.startswith("https://"):
        yield Error("PUBLIC_URL must begin with https://: it carries keys and phone numbers.", id="connector.E001")
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if any(name in {"*", "."} for name in settings.ALLOWED_HOSTS):
        yield Error(f"ALLOWED_HOSTS allows any host name: list {host}, or leave it empty.", id="connector.E002")
    if insecure := [origin for origin in settings.CSRF_TRUSTED_ORIGINS if not origin.startswith("https://")]:
        yield Error(f"CSRF_TRUSTED_ORIGINS has {insecure[0]}: only https:// is safe.", id="connector.E004")


def _check_proxy() -> Iterator[CheckMessage]:
    if not settings.TRUSTED_PROXIES:
        yield Warning(
            "TRUSTED_PROXIES is empty: no reverse proxy ends TLS in front of the web process, or its X-Forwarded-For "
            "and X-Forwarded-Proto are ignored, so that every visitor has the proxy's address. Put one in front "
            "(deploy/nginx.conf) and set TRUSTED_PROXIES to its address, such as 127.0.0.1/32.",
            id="connector.W003",
        )
    networks = [ipaddress.ip_network(network) for network in settings.TRUSTED_PROXIES]
    if wide := [network for network in networks if network.prefixlen < WIDEST_NETWORK[network.version]]:
        yield Error(
            f"TRUSTED_PROXIES has {wide[0]}: anybody in it can forge a visitor's address. List the proxies only.",
            id="connector.E003",
        )
