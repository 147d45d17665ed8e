"""Runs django-q2's workers under our Sentinel, which survives a killed process."""

from typing import Any

from django_q.management.commands.qcluster import Command as QCluster

from connector_project.core import qcluster_supervisor


class Command(QCluster):  # type: ignore[misc]  # django-q2 has no types
    def handle(self, *args: Any, **options: Any) -> None:
        qcluster_supervisor.die_with_parent()
        qcluster_supervisor.install()
        super().handle(*args, **options)
