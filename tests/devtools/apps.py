"""The app config of the commands for developers."""

from django.apps import AppConfig


class DevtoolsConfig(AppConfig):
    name = "tests.devtools"
    label = "devtools"
