"""Limits what a flood writes to the log: Django logs each request that is refused."""

import logging
import threading
from collections import Counter

PERIOD_SECONDS = 60
MOST_CLIENTS = 1000  # whose refusals are logged in a period: a flood may have as many addresses as it likes


class RefusedRequests(logging.Filter):
    """Admits one line a minute for each client and status 4xx; it says how many were left out in the minute before."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._period = 0
        self._seen = Counter[tuple[str, int]]()
        self._before = Counter[tuple[str, int]]()

    def filter(self, record: logging.LogRecord) -> bool:
        request, status = getattr(record, "request", None), getattr(record, "status_code", None)
        if request is None or not isinstance(status, int) or not 400 <= status < 500:
            return True
        client = (str(request.META.get("REMOTE_ADDR", "")), status)
        with self._lock:
            self._begin(int(record.created // PERIOD_SECONDS))
            is_first = client not in self._seen
            if is_first and len(self._seen) >= MOST_CLIENTS:
                return False
            self._seen[client] += 1
            left_out = self._before.pop(client, 1) - 1
        if is_first and left_out:
            record.msg = f"{record.getMessage()} ({left_out} more of this client in the minute before)"
            record.args = ()
        return is_first

    def _begin(self, period: int) -> None:
        """Begin a new period; what was counted in the one right before it is kept."""
        if period != self._period:
            self._before = self._seen if period == self._period + 1 else Counter()
            self._seen, self._period = Counter(), period
