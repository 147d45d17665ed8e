"""Creates a key for FIELD_ENCRYPTION_KEYS."""

from typing import Any

from cryptography.fernet import Fernet

from connector_project.operations.management.base import JsonCommand


class Command(JsonCommand):
    help = "Create a key for FIELD_ENCRYPTION_KEYS."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.print_json(key=Fernet.generate_key().decode())
