"""Creates a key for FIELD_ENCRYPTION_KEYS."""

from typing import Any

from cryptography.fernet import Fernet

from connector_project.management.output import JsonCommand


class Command(JsonCommand):
    help = "Create a key for FIELD_ENCRYPTION_KEYS."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.say(key=Fernet.generate_key().decode())
