"""Finds free ports: a web process and its simulator use two adjacent ones."""

import os
import socket

FIRST, LAST = 18100, 19900
PER_WORKER = 300


def free_pair() -> int:
    """Return the first of two adjacent free ports. Raises AssertionError if there are none.

    Each worker of pytest-xdist searches its own range first, because a port is bound only after the search.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in range(FIRST + PER_WORKER * worker % (LAST - FIRST), LAST, 10):
        taken = [socket.socket() for _ in range(2)]
        try:
            for offset, probe in enumerate(taken):
                probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        else:
            return port
        finally:
            for probe in taken:
                probe.close()
    raise AssertionError("no free ports")


def free_port() -> int:
    """Return a port that the system has just found free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
