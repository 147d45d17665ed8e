"""The app config of the bottom layer."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "connector_project.core"
    label = "core"
    verbose_name = "Core"
