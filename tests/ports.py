"""Ports nobody uses: a web process and its simulator take two neighbours."""

import socket


def free_pair() -> int:
    """Return the first of two neighbouring ports that are free. Raises AssertionError when none are."""
    for port in range(18100, 19900, 10):
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
