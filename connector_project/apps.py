"""App configs: the wiring that runs once when a process starts, and the product's own admin site."""

import os

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate


class ConnectorConfig(AppConfig):
    name = "connector_project"
    label = "connector"
    verbose_name = "Connector"

    def ready(self) -> None:
        from django_q.signals import post_execute_in_worker, post_spawn, pre_execute  # noqa: PLC0415 -- needs loaded apps

        from connector_project import checks  # noqa: F401, PLC0415 -- registers the system checks
        from connector_project.core import http_client, logging, workers  # noqa: PLC0415 -- needs loaded apps
        from connector_project.operations import roles, schedules, ticker  # noqa: PLC0415 -- needs loaded apps
        from connector_project.operations.sign_in import sessions  # noqa: PLC0415 -- needs loaded apps

        http_client.set_trusted_hosts(settings.TRUSTED_REMOTE_HOSTS)
        pre_execute.connect(logging.bind_task)
        post_execute_in_worker.connect(logging.forget_task)
        post_spawn.connect(workers.start_heartbeats)
        if os.environ.get("Q_CLUSTER_NAME", settings.Q_CLUSTER["name"]) == settings.Q_CLUSTER["name"]:
            post_spawn.connect(ticker.start)
        # post_migrate is sent once per app; after the last app all tables and permissions exist.
        last = [app for app in apps.get_app_configs() if app.models_module][-1]
        post_migrate.connect(schedules.apply, sender=last)
        post_migrate.connect(roles.apply, sender=last)
        user_logged_in.connect(sessions.start)


class ConnectorAdminConfig(AdminConfig):
    default_site = "connector_project.operations.admin_site.ConnectorAdminSite"
