"""Plays seeds in sequence with a separate, empty database; several in parallel processes."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

MAXIMUM = "most "  # a count of this name is a maximum


@dataclass(frozen=True)
class Job:
    """What to play, and whether to print the full report or one line."""

    seed: int
    tenants: int
    calls: int
    minutes: int
    is_full: bool


def play_all(queue: Sequence[Job], *, jobs: int) -> Iterator[tuple[str, bool, Counter[str]]]:
    """Yield, in order, the output of each seed, whether it passed, and what was met."""
    if len(queue) == 1:
        set_up()
        yield play(queue[0])
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(queue)), initializer=set_up) as pool:
        yield from pool.imap(play, queue)


def set_up() -> None:
    """Create an empty database."""
    import django

    django.setup()
    from django.db import connection

    if connection.vendor != "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"test_chaos_{os.getpid()}"
    connection.settings_dict["TEST"]["MIGRATE"] = False  # the tables as the models are, which takes no time
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)


def play(job: Job) -> tuple[str, bool, Counter[str]]:
    """Play one seed; return the output, whether it passed, and what was met."""
    from django.core.management import call_command

    from tests.chaos import report
    from tests.chaos.run import Run, Size

    call_command("flush", interactive=False, verbosity=0, reset_sequences=True)
    size = Size(tenants=job.tenants, calls=job.calls, lasts=timedelta(minutes=job.minutes))
    started_at = time.process_time()
    outcome = Run(job.seed, size).play()
    seconds = time.process_time() - started_at
    text = report.full(outcome) if job.is_full else report.line(outcome, seconds=seconds)
    return text, not outcome.differences, outcome.met


def add_met(total: Counter[str], met: Counter[str]) -> None:
    """Add what a seed met; of what is a maximum, keep the larger one."""
    for name, count in met.items():
        total[name] = max(total[name], count) if name.startswith(MAXIMUM) else total[name] + count


def list_met(counts: Counter[str]) -> str:
    """Return how many of each fault and event there were."""
    return "\n".join(["faults and events:", *[f"  {name}: {counts[name]}" for name in sorted(counts)]])
