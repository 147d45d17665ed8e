"""Django's `makemigrations`, for which a reworded label is no change of a model."""

from django.core.management.commands import makemigrations

from connector_project.core.autodetector import TextIgnoringAutodetector


class Command(makemigrations.Command):
    autodetector = TextIgnoringAutodetector
