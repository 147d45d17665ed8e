"""The app config of the top layer."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    name = "connector_project.operations"
    label = "operations"
    verbose_name = _("Operations")
