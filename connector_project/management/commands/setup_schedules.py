"""Makes the stored schedules equal to the list in the code, as `migrate` does."""

from typing import Any

from connector_project import schedules
from connector_project.management.output import JsonCommand


class Command(JsonCommand):
    help = "Make the stored schedules equal to the list in the code."

    def handle(self, *_args: Any, **_options: Any) -> None:
        schedules.apply()
        for task, minutes in schedules.SCHEDULES.items():
            self.say(task=task, minutes=minutes)
