"""App configuration."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CrmConfig(AppConfig):
    name = "crm"
    verbose_name = _("CRM (retailCRM)")

    def ready(self) -> None:
        post_migrate.connect(_install, sender=self)


def _install(**_signal: Any) -> None:
    from crm.popup_rollup import POPUPS  # noqa: PLC0415 -- needs loaded apps

    POPUPS.install()
