"""A client's socket as gunicorn's response sees it: what is not read yet waits in memory, not in a thread."""

import errno
import os
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import BinaryIO

RECEIVED_AT_ONCE = 64 * 1024
SENT_AT_ONCE = 1024 * 1024
# Beyond this a response made piece by piece waits for its client: a recording, an export.
LARGEST_BUFFER = 1024 * 1024


@dataclass
class FilePart:
    """A part of a file that is still to be sent; the descriptor is our own."""

    descriptor: int
    offset: int
    count: int

    def __len__(self) -> int:
        return self.count


class Channel:
    """Sends at once what the system takes, and keeps the rest; the main loop calls `flush` when the client reads on.

    Used by one thread at a time: by the request's, then by the main loop.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parts: deque[memoryview | FilePart] = deque()
        self._buffered = 0  # bytes in memory
        self._patience = 30.0

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def unsent(self) -> int:
        """The number of bytes that the client has not read yet."""
        return self._buffered + sum(part.count for part in self._parts if isinstance(part, FilePart))

    def receive(self) -> bytes:
        """Return what has arrived, b"" at the end. Raises BlockingIOError, OSError."""
        return self._sock.recv(RECEIVED_AT_ONCE)

    def flush(self) -> bool:
        """Send what the system takes without waiting; return whether nothing is left. Raises OSError."""
        while self._parts:
            part = self._parts[0]
            try:
                sent = self._send(part)
            except (BlockingIOError, InterruptedError):
                return False
            self._count_sent(part, sent)
        return True

    # What gunicorn calls in a thread.

    def sendall(self, data: bytes) -> None:
        if data:
            self._parts.append(memoryview(data))
            self._buffered += len(data)
        if not self.flush() and self._buffered > LARGEST_BUFFER:
            self._wait_for_client()

    send = sendall

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int = 0) -> None:
        """Take a file over: the main loop sends it, however slowly the client reads."""
        self._parts.append(FilePart(os.dup(file.fileno()), offset, count))
        self.flush()

    def settimeout(self, seconds: float) -> None:
        """Set how long a thread may wait for the client to make room for one piece, however little it reads at once."""
        self._patience = seconds

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, _is_blocking: bool) -> None:
        """Do nothing: the socket never blocks."""

    def shutdown(self, how: int) -> None:
        if how == socket.SHUT_RDWR:
            self._forget_all()
        self._sock.shutdown(how)

    def close(self) -> None:
        self._forget_all()
        self._sock.close()

    def _send(self, part: memoryview | FilePart) -> int:
        if not isinstance(part, FilePart):
            return self._sock.send(part)
        sent = os.sendfile(self._sock.fileno(), part.descriptor, part.offset, min(part.count, SENT_AT_ONCE))
        if not sent:
            raise BrokenPipeError(errno.EPIPE, "the file is shorter than it was")
        return sent

    def _count_sent(self, part: memoryview | FilePart, sent: int) -> None:
        if isinstance(part, FilePart):
            part.offset, part.count = part.offset + sent, part.count - sent
        else:
            self._buffered -= sent
            self._parts[0] = part[sent:]
        if not len(self._parts[0]):
            self._forget_first()

    def _wait_for_client(self) -> None:
        deadline = time.monotonic() + self._patience
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_WRITE)
            while self._buffered > LARGEST_BUFFER:
                seconds = deadline - time.monotonic()
                if seconds <= 0 or not selector.select(seconds):
                    raise BrokenPipeError(errno.EPIPE, "the client stopped reading")
                self.flush()

    def _forget_first(self) -> None:
        part = self._parts.popleft()
        if isinstance(part, FilePart):
            os.close(part.descriptor)

    def _forget_all(self) -> None:
        self._buffered = 0
        while self._parts:
            self._forget_first()
