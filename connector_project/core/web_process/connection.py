"""A client's connection, and what has arrived of its next request."""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, cast

from gunicorn.config import Config
from gunicorn.http import get_parser, wsgi
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn

from connector_project.core.web_process.channel import Channel
from connector_project.core.web_process.framing import Frame


class Phase(Enum):
    """What a connection in the main loop waits for."""

    IDLE = auto()  # kept alive, for another request
    RECEIVING = auto()
    SENDING = auto()
    LINGERING = auto()  # answered; what still comes is discarded, so that the client gets to read the answer


class NamelessResponse(wsgi.Response):
    """A response that does not name the server program."""

    def default_headers(self) -> list[str]:
        return [header for header in super().default_headers() if not header.startswith("Server:")]


setattr(wsgi, "Response", NamelessResponse)  # noqa: B010 -- gunicorn has no setting for it


class Connection(TConn):
    """A client's connection: its channel, and what has arrived of the next request."""

    def __init__(self, cfg: Config, channel: Channel, client: Any, server: Any) -> None:
        super().__init__(cfg, cast(Any, channel), client, server)
        self.channel = channel
        self.initialized = True
        self.frame = Frame()
        self.phase = Phase.RECEIVING
        self.deadline = 0.0
        self.is_kept = False

    def begin_request(self) -> None:
        """Give the parser what has arrived; there is nothing else to be read."""
        self.parser = get_parser(self.cfg, _only(bytes(self.frame.received)), self.client)
        self.frame = Frame()

    def take_rest(self) -> bytes:
        """Return what came after the request: the beginning of the next one."""
        return bytes(cast(RequestParser, self.parser).unreader.take_buffered())

    def receive(self) -> bytes | None:
        """Return what has arrived, b"" at the end or after an error, None if nothing has."""
        try:
            return self.channel.receive()
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""


def _only(data: bytes) -> Iterator[bytes]:
    yield data
    raise TimeoutError("The rest of the request was not awaited.")
