"""Runs django-q2's workers under our Sentinel, which survives a killed process."""

import os
from typing import Any

from django.conf import settings
from django_q.management.commands.qcluster import Command as QCluster

from connector_project.core import qcluster_supervisor


class Command(QCluster):  # type: ignore[misc]  # django-q2 has no types
    def handle(self, *args: Any, **options: Any) -> None:
        name = settings.Q_CLUSTER["name"]
        if os.environ.get("Q_CLUSTER_NAME", name) == name:
            qcluster_supervisor.give_way()
        qcluster_supervisor.load_tasks()
        qcluster_supervisor.die_with_parent()
        qcluster_supervisor.install()
        super().handle(*args, **options)
