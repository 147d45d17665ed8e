"""Operations for migrations after the first release: an index of a large table must not stop writing."""

from typing import Any

from django.contrib.postgres import operations
from django.db.migrations import AddIndex


class AddIndexConcurrently(operations.AddIndexConcurrently):
    """PostgreSQL's CREATE INDEX CONCURRENTLY; an ordinary index on SQLite. The migration needs `atomic = False`."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._operation(schema_editor).database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._operation(schema_editor).database_backwards(self, app_label, schema_editor, from_state, to_state)

    @staticmethod
    def _operation(schema_editor: Any) -> type[AddIndex]:
        return operations.AddIndexConcurrently if schema_editor.connection.vendor == "postgresql" else AddIndex
