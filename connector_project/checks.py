"""System checks for settings that do not work, or are not safe, in production."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 -- Django's name


@register(Tags.security, deploy=True)
def check_production(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """Find settings that are for development only."""
    found: list[CheckMessage] = []
    if not settings.PUBLIC_URL.startswith("https://"):
        found.append(
            Error("PUBLIC_URL must begin with https://: it carries keys and phone numbers.", id="connector.E001")
        )
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        found.append(Warning("SQLite works on one machine only; set DATABASE_URL to PostgreSQL.", id="connector.W001"))
    if settings.TRUSTED_REMOTE_HOSTS:
        found.append(
            Warning("TRUSTED_REMOTE_HOSTS allows requests to private or unencrypted hosts.", id="connector.W002")
        )
    return found
