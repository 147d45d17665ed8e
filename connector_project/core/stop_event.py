"""An event that a process waits for together with the end of other processes."""

import os
from multiprocessing import connection


class StopEvent:
    """Takes the place of multiprocessing's `Event`, for processes that inherit it by a fork.

    It has a file descriptor, so that nobody needs to look at it again and again, and `set` may be called in a handler
    of a signal.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def set(self) -> None:
        os.write(self._writer, b"1")  # It is never read: all who wait see it.

    def is_set(self) -> bool:
        return self.wait(0.0)

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether it is set, at the latest after so many seconds."""
        return bool(connection.wait([self._reader], timeout))
