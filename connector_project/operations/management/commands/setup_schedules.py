"""Makes the stored schedules equal to the list in the code, as `migrate` does."""

from typing import Any

from connector_project.operations import schedules
from connector_project.operations.management.base import JsonCommand


class Command(JsonCommand):
    help = "Make the stored schedules equal to the list in the code."

    def handle(self, *_args: Any, **_options: Any) -> None:
        schedules.apply()
        for task, minutes in schedules.SCHEDULES.items():
            self.print_json(task=task, minutes=minutes)
