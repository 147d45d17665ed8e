"""gunicorn's threaded worker, whose threads see whole requests only and never wait for a client to read.

gthread gives each connection a thread as soon as it sends a byte, and waits there without a time-out: a few dozen
silent sockets stop the service. Here the main loop receives each request, head and body, and sends what a client has
not read yet. A client that is too slow is dropped; so is the one closest to that when there is no room for another.
"""

import errno
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, cast

from gunicorn.config import Config
from gunicorn.workers.gthread import TConn, ThreadWorker

from connector_project.core.web_process.channel import Channel
from connector_project.core.web_process.connection import Connection, Phase
from connector_project.core.web_process.framing import LARGEST_CHUNKED_BODY

# For the head, for the body and for the answer; large ones may take longer, at this rate.
PATIENCE_SECONDS = 10.0
SLOWEST_BYTES_PER_SECOND = 16 * 1024
LINGER_SECONDS = 2.0
SWEEP_SECONDS = 0.5
# How long a process without connections waits for the next one before it tells its parent that it is alive.
IDLE_SECONDS = 5.0
FEW = 8  # connections of a process that has little to do
# Forms of the admin that are received at once: each takes megabytes of memory.
LARGE_BODIES = 16

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSAL = "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_SLOW, HEAD_TOO_LARGE = "408 Request Timeout", "431 Request Header Fields Too Large"


class BufferedWorker(ThreadWorker):
    """Receives and sends in the main loop, and takes a thread only for what the application does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.swept_at = 0.0

    @classmethod
    def check_config(cls, cfg: Config, _log: object) -> None:
        if cfg.is_ssl:
            raise RuntimeError("TLS ends at the proxy: do not give gunicorn a certificate.")

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            if exc.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            self._make_room()
            return
        connection = Connection(self.cfg, Channel(sock), address, listener.getsockname())
        self.nr_conns += 1
        self._park(connection, Phase.RECEIVING, seconds=PATIENCE_SECONDS)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Wait for events; longer than gunicorn would if few connections are there, none of which is soon too slow."""
        if self.alive and len(self.waiting) <= FEW:
            first = min((connection.deadline - time.monotonic() for connection in self.waiting), default=IDLE_SECONDS)
            timeout = max(timeout or 0.0, min(first, IDLE_SECONDS, self.timeout / 2))
        super().wait_for_and_dispatch_events(timeout)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        req._expected_100_continue = False  # The main loop has answered it.
        return super().handle_request(req, conn)

    def finish_request(self, conn: TConn, fs: "Future[bool]") -> None:
        """Send the rest of the answer; called in the main loop when the thread is done."""
        connection = cast(Connection, conn)
        connection.is_kept = not fs.cancelled() and fs.exception() is None and fs.result()
        self._guard(self._send, connection)

    def murder_pending(self) -> None:
        """Drop who was too slow; gunicorn calls it after each round of events."""
        now = time.monotonic()
        if now < self.swept_at + SWEEP_SECONDS:
            return
        self.swept_at = now
        late = [connection for connection in self.waiting if connection.deadline <= now]
        if slow := sum(connection.phase in {Phase.RECEIVING, Phase.SENDING} for connection in late):
            self.log.info("connections of slow clients dropped: %d", slow)
        for connection in late:
            self._guard(self._drop, connection)

    def _cap_keepalive(self, deadline: float) -> None:
        """Do not wait long for requests when the worker stops; answers are still sent."""
        for connection in self.waiting:
            if connection.phase is not Phase.SENDING:
                connection.deadline = min(connection.deadline, deadline)

    def _park(self, connection: Connection, phase: Phase, *, seconds: float) -> None:
        """Let a connection wait in the main loop."""
        events = EVENT_WRITE if phase is Phase.SENDING else EVENT_READ
        self.poller.register(connection.channel, events, lambda _fileobj: self._guard(self._on_event, connection))
        connection.phase, connection.deadline = phase, time.monotonic() + seconds
        self.waiting[connection] = None

    def _guard(self, step: Callable[[Connection], None], connection: Connection) -> None:
        """Run a step of the main loop; a connection that breaks in it is closed, and must not end the process."""
        try:
            step(connection)
        except OSError:
            if connection in self.waiting:
                self._unpark(connection)
            self._close(connection)

    def _unpark(self, connection: Connection) -> None:
        self.poller.unregister(connection.channel)
        del self.waiting[connection]

    def _on_event(self, connection: Connection) -> None:
        if connection not in self.waiting:
            return  # Dropped for another one whose event was found at the same time.
        if connection.phase is Phase.SENDING:
            self._on_writable(connection)
        elif connection.phase is Phase.LINGERING:
            self._on_leftover(connection)
        else:
            self._on_readable(connection)

    def _on_readable(self, connection: Connection) -> None:
        data = connection.receive()
        if data:
            self._take(connection, data)
        elif data is not None:
            self._unpark(connection)
            self._close(connection)

    def _take(self, connection: Connection, data: bytes) -> None:
        """Add what has arrived to the request; when it is complete, pass it on to a thread."""
        frame = connection.frame
        had_head, is_first = frame.has_head, connection.phase is Phase.IDLE
        frame.add(data)
        if frame.is_head_too_large:
            self._unpark(connection)
            self._refuse(connection, HEAD_TOO_LARGE)
        elif frame.is_complete:
            self._unpark(connection)
            connection.begin_request()
            self.enqueue_req(connection)
        elif frame.has_head and not had_head:
            self._await_body(connection)
        elif is_first:
            connection.phase, connection.deadline = Phase.RECEIVING, time.monotonic() + PATIENCE_SECONDS

    def _await_body(self, connection: Connection) -> None:
        frame = connection.frame
        connection.phase = Phase.RECEIVING
        connection.deadline = time.monotonic() + _patience(frame.body_bytes)
        if frame.expects_continue:
            connection.channel.sendall(CONTINUE)
        if frame.body_bytes > LARGEST_CHUNKED_BODY:
            large = [one for one in self.waiting if one.frame.body_bytes > LARGEST_CHUNKED_BODY]
            if len(large) > LARGE_BODIES:
                self._guard(self._drop, min(large, key=_by_deadline))

    def _send(self, connection: Connection) -> None:
        """Send the answer, or what the client takes of it."""
        if connection.channel.flush():
            self._go_on(connection)
        else:
            self._park(connection, Phase.SENDING, seconds=_patience(connection.channel.unsent))

    def _on_writable(self, connection: Connection) -> None:
        if connection.channel.flush():
            self._unpark(connection)
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Wait for the next request, of which something may be here already, or close."""
        if not connection.is_kept:
            self._linger(connection)
            return
        rest = connection.take_rest()
        self._park(connection, Phase.IDLE, seconds=self.cfg.keepalive if self.alive else LINGER_SECONDS)
        if rest:
            self._take(connection, rest)

    def _linger(self, connection: Connection) -> None:
        """Let the client read the answer: closing a socket with unread data would take it back."""
        connection.channel.shutdown(socket.SHUT_WR)
        self._park(connection, Phase.LINGERING, seconds=LINGER_SECONDS if self.alive else 0.0)

    def _on_leftover(self, connection: Connection) -> None:
        if connection.receive() == b"":
            self._unpark(connection)
            self._close(connection)

    def _refuse(self, connection: Connection, status: str) -> None:
        connection.is_kept = False
        connection.channel.sendall(REFUSAL.format(status=status).encode())
        self._linger(connection)

    def _drop(self, connection: Connection) -> None:
        self._unpark(connection)
        if connection.phase is Phase.RECEIVING:
            self._refuse(connection, TOO_SLOW)
        else:
            self._close(connection)

    def _make_room(self) -> None:
        if self.waiting:
            first = min(self.waiting, key=_by_deadline)
            self._unpark(first)
            self._close(first)

    def _close(self, connection: Connection) -> None:
        self.nr_conns -= 1
        connection.channel.close()


def _by_deadline(connection: Connection) -> float:
    return connection.deadline


def _patience(size: int) -> float:
    return max(PATIENCE_SECONDS, size / SLOWEST_BYTES_PER_SECOND)
