"""The app config: runs once when a process starts."""

import os

from django.apps import AppConfig, apps
from django.conf import settings
from django.db.models.signals import post_migrate


class ConnectorConfig(AppConfig):
    name = "connector_project"
    label = "connector"
    verbose_name = "Connector"

    def ready(self) -> None:
        from django_q.signals import post_spawn  # noqa: PLC0415 -- needs loaded apps

        from connector_project import beats, checks, groups, pulse, remote, schedules  # noqa: F401, PLC0415 -- the same

        remote.trust(settings.TRUSTED_REMOTE_HOSTS)
        post_spawn.connect(beats.start)
        if os.environ.get("Q_CLUSTER_NAME", settings.Q_CLUSTER["name"]) == settings.Q_CLUSTER["name"]:
            post_spawn.connect(pulse.start)
        # post_migrate is sent once per app; after the last app all tables and permissions exist.
        last = [app for app in apps.get_app_configs() if app.models_module][-1]
        post_migrate.connect(schedules.apply, sender=last)
        post_migrate.connect(groups.apply, sender=last)
