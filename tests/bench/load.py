"""Sends requests over persistent connections, from one thread: what the sender costs takes nothing from the server."""

import json
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import quantiles
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What was answered in some seconds: the number of requests, and how long each one took, in seconds."""

    seconds: float
    durations: list[float]

    @property
    def per_second(self) -> float:
        return len(self.durations) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        return quantiles(self.durations, n=100)[percent - 1] * 1000


@dataclass
class _Client:
    """One connection, which sends its next request as soon as the last one is answered."""

    sock: socket.socket
    received: bytearray = field(default_factory=bytearray)
    sent_at: float = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.sock.sendall(request)

    def is_answered(self) -> bool:
        """Take what has arrived; return whether it is a whole answer. Raises RuntimeError unless that is 200."""
        data = self.sock.recv(65536)
        self.received += data
        end = self.received.find(_HEAD_END)
        if data and end < 0:
            return False
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"The answer was {bytes(self.received[:80])!r}.")
        if not self._has_body(end + len(_HEAD_END)):
            return False
        self.received.clear()
        return True

    def _has_body(self, begins_at: int) -> bool:
        if length := _LENGTH.search(self.received, 0, begins_at):
            return len(self.received) - begins_at >= int(length[1])
        return self.received.endswith(b"0\r\n\r\n")  # in chunks


def post_all(url: str, bodies: Iterator[bytes], *, seconds: float, threads: int = 8) -> tuple[float, float]:
    """Post bodies for some seconds; return requests per second and the 99th percentile in milliseconds."""
    parts = urlsplit(url)
    load = send(parts.port or 80, parts.path, bodies, seconds=seconds, connections=threads)
    return load.per_second, load.percentile_ms(99)


def send(
    port: int, path: str, bodies: Iterator[bytes], *, seconds: float, connections: int = 8, pause: float = 0.0
) -> Load:
    """Post bodies for some seconds, each connection after a pause. Raises RuntimeError if one is not answered 200."""
    durations: list[float] = []
    clients = [_Client(socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)) for _ in range(connections)]
    started_at = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        waiting = deque((started_at + pause * number / connections, client) for number, client in enumerate(clients))
        for client in clients:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client.sock, selectors.EVENT_READ, client)
        while (now := time.perf_counter()) < started_at + seconds:
            while waiting and waiting[0][0] <= now:
                waiting.popleft()[1].send(_request(path, next(bodies)))
            for key, _events in selector.select(max(waiting[0][0] - now, 0.0) if waiting else TIMEOUT_SECONDS):
                client = key.data
                if client.is_answered():
                    answered_at = time.perf_counter()
                    durations.append(answered_at - client.sent_at)
                    waiting.append((answered_at + pause, client))
    passed = time.perf_counter() - started_at
    for client in clients:
        client.sock.close()
    return Load(passed, durations)


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


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + _HEAD_END + body
