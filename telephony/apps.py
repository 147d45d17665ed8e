"""Django app configuration."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TelephonyConfig(AppConfig):
    name = "telephony"
    verbose_name = _("Telephony (UIS)")

    def ready(self) -> None:
        post_migrate.connect(_install, sender=self)


def _install(**_signal: Any) -> None:
    from telephony.stats.rollup import CALLS  # noqa: PLC0415 -- needs loaded apps

    CALLS.install()
