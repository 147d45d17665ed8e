"""Takes the turn to write for each transaction, and for each statement that writes outside of one.

Transactions begin with BEGIN IMMEDIATE, so each of them is a writer from its beginning.
"""

import contextlib
import re
from typing import Any

from django.db.backends.sqlite3 import base

from connector_project.core.sqlite_backend.turns import turn_to_write

_WRITES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP)\b", re.IGNORECASE)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of one thread; a database in memory has no turns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = contextlib.ExitStack()

    def create_cursor(self, name: str | None = None) -> "TurnCursor":
        cursor: TurnCursor = self.connection.cursor(factory=TurnCursor)
        cursor.database = self
        return cursor

    def turn_of_statement(self, sql: str) -> contextlib.AbstractContextManager[None]:
        """Return what a statement is to run in."""
        if self.in_atomic_block or self.is_in_memory_db() or not _WRITES.match(sql):
            return contextlib.nullcontext()
        return turn_to_write(str(self.settings_dict["NAME"]))

    def _start_transaction_under_autocommit(self) -> None:
        if not self.is_in_memory_db():
            self._turn.enter_context(turn_to_write(str(self.settings_dict["NAME"])))
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # the stubs lack it
        except BaseException:
            self._turn.close()
            raise

    def _commit(self) -> Any:
        result = super()._commit()  # type: ignore[misc]  # the stubs lack it
        self._turn.close()  # A transaction that cannot be committed is rolled back.
        return result

    def _rollback(self) -> Any:
        try:
            return super()._rollback()  # type: ignore[misc]  # the stubs lack it
        finally:
            self._turn.close()

    def _close(self) -> Any:
        try:
            return super()._close()  # type: ignore[misc]  # the stubs lack it
        finally:
            self._turn.close()


class TurnCursor(base.SQLiteCursorWrapper):
    """Runs each statement in its turn."""

    database: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        with self.database.turn_of_statement(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self.database.turn_of_statement(query):
            return super().executemany(query, param_list)
