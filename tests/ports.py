"""Ports nobody uses: a web process and its simulator take two neighbours."""

import os
import socket

FIRST, LAST = 18100, 19900
OF_A_WORKER = 300


def free_pair() -> int:
    """Return the first of two neighbouring ports that are free. Raises AssertionError when none are.

    Workers of pytest that run at the same time look in ranges of their own: what is free is taken only later.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in range(FIRST + OF_A_WORKER * worker % (LAST - FIRST), LAST, 10):
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
