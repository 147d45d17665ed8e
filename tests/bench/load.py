"""Sends requests from several threads over persistent connections."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from statistics import quantiles
from urllib.parse import urlsplit


def post_all(url: str, bodies: Iterator[bytes], *, seconds: float, threads: int = 8) -> tuple[float, float]:
    """Post bodies for some seconds; return requests per second and the 99th percentile in milliseconds."""
    lock, durations = threading.Lock(), []
    ends_at = time.monotonic() + seconds

    def work() -> None:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        own_durations = []
        while time.monotonic() < ends_at:
            with lock:
                body = next(bodies)
            started_at = time.monotonic()
            connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{url} answered {answer.status}")
            own_durations.append(time.monotonic() - started_at)
        with lock:
            durations.extend(own_durations)

    _run_threads(work, threads)
    return len(durations) / seconds, quantiles(durations, n=100)[98] * 1000


def call_ends(first: int) -> Iterator[bytes]:
    """Yield call_end notifications of missed calls, each of another session."""
    session = first
    while True:
        session += 1
        yield json.dumps(
            {
                "event": "call_end",
                "call_session_id": session,
                "contact_phone_number": f"7999{session % 10_000_000:07d}",
                "virtual_phone_number": "74950000001",
                "direction": "in",
                "is_lost": True,
                "talk_time_duration": 0,
                "wait_time_duration": 12,
                "total_time_duration": 12,
                "notification_name": "x" * 600,
            }
        ).encode()


def _run_threads(work: Callable[[], None], threads: int) -> None:
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
