"""Checks that a function takes time in proportion to the length of a text, however slow or busy the machine is."""

import time
from collections.abc import Callable

SMALLEST_SECONDS = 0.005


def assert_linear(run: Callable[[str], object], text: str) -> None:
    """Fail if four times the text takes far more than four times the CPU; a quadratic function takes sixteen times."""
    quarter, whole = (_cpu_seconds(run, part) for part in (text[: len(text) // 4], text))
    assert whole < 10 * max(quarter, SMALLEST_SECONDS)


def _cpu_seconds(run: Callable[[str], object], text: str) -> float:
    started_at = time.thread_time()
    run(text)
    return time.thread_time() - started_at
