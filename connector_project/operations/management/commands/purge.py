"""Deletes rows whose retention is over, and prints how many by table."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project.operations.management.base import JsonCommand
from connector_project.operations.retention import purge


class Command(JsonCommand):
    help = "Delete what is past its retention; it may be interrupted and run again. It also runs every night."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="delete nothing, only count")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = timezone.now()
        purged = purge.preview(now=now) if options["dry_run"] else purge.run(now=now).rows
        self.print_json(purged=dict(sorted(purged.items())))
