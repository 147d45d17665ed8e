"""Plays seeds, one after the other, on an empty database of its own; many of them in several processes."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


@dataclass(frozen=True)
class Asked:
    """What to play, and whether to print its whole ledger or a line."""

    seed: int
    shops: int
    calls: int
    minutes: int
    is_whole: bool


def play_all(asked: Sequence[Asked], *, jobs: int) -> Iterator[tuple[str, bool]]:
    """Yield, in order, what each seed prints and whether all was well."""
    if len(asked) == 1:
        set_up()
        yield play(asked[0])
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(asked)), initializer=set_up) as pool:
        yield from pool.imap(play, asked)


def set_up() -> None:
    """Make a database of our own, empty."""
    import django

    django.setup()
    from django.db import connection

    if connection.vendor != "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"test_chaos_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)


def play(asked: Asked) -> tuple[str, bool]:
    """Play one seed; return what to print, and whether all was well."""
    from django.core.management import call_command

    from tests.chaos import report
    from tests.chaos.run import Run, Size

    call_command("flush", interactive=False, verbosity=0, reset_sequences=True)
    size = Size(shops=asked.shops, calls=asked.calls, lasts=timedelta(minutes=asked.minutes))
    began = time.process_time()
    outcome = Run(asked.seed, size).play()
    seconds = time.process_time() - began
    text = report.whole(outcome) if asked.is_whole else report.line(outcome, seconds=seconds)
    return text, not outcome.differences
