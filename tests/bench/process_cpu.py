"""The CPU time that processes have used, with their descendants."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14  # fields of /proc/<pid>/stat after the name


def used(pid: int) -> float:
    """Return the seconds, user and system, of a process, its living descendants, and those it has waited for."""
    return sum(_own(one) for one in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):  # It has ended; its parent has its seconds.
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _own(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):  # As above.
        return _seconds(pid)
    return 0.0


def _seconds(pid: int) -> float:
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(values[field]) for field in (_UTIME, _STIME, _CUTIME, _CSTIME)) / _TICKS
