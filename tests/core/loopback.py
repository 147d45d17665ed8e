"""A server on a loopback port that answers with exactly the given bytes, as slowly as a test wants."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import requests
from urllib3.exceptions import ReadTimeoutError

from connector_project.core.http_client import RemoteError


class Server:
    """Accepts connections one after another; `answer` is called with each; `requests` has the received texts."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.host_port = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host_port}/"
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _sender = self.listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self.requests.append(_request(connection))
                self.answer(connection)


def _request(connection: socket.socket) -> str:
    """Read one request: its head, and as much of the body as Content-Length announces."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        if not part:
            return received.decode("latin-1")
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    while len(body) < int((lengths or [b"0"])[0]):
        body += connection.recv(65_536)
    return (head + b"\r\n\r\n" + body).decode("latin-1")


@contextmanager
def serving(answer: Callable[[socket.socket], None] | bytes) -> Iterator[Server]:
    """Serve until the block ends; `answer` may be the bytes to send."""
    server = Server(answer if callable(answer) else lambda connection: connection.sendall(answer))
    server.thread.start()
    try:
        yield server
    finally:
        # Closing alone does not wake a thread that waits in accept().
        with suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        server.thread.join(timeout=5)


def reply(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """Return a complete HTTP reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def is_timeout(error: RemoteError) -> bool:
    """Return whether a request failed because the server was too slow."""
    return isinstance(error.__cause__, (requests.Timeout, ReadTimeoutError))
