"""Django's `migrate`, for which a reworded label is no change of a model."""

from django.core.management.commands import migrate

from connector_project.core.autodetector import TextIgnoringAutodetector


class Command(migrate.Command):
    autodetector = TextIgnoringAutodetector
