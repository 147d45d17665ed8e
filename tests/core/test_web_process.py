"""The web process outside gunicorn: when a request is complete, and what waits for a slow client."""

import logging
import select
import socket
import threading
import time

import pytest
from gunicorn.config import Config

from connector_project.core.body_limits import LARGEST_BODY
from connector_project.core.web_process.channel import LARGEST_BUFFER, Channel
from connector_project.core.web_process.framing import LARGEST_CHUNKED_BODY, LARGEST_HEAD, Frame
from connector_project.core.web_process.log import RedactedLogger

HOOK = b"POST /hooks/uis/a/ HTTP/1.1\r\nHost: a\r\n"
COMPLETE = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    HOOK + b"Content-Length: 3\r\n\r\nabc",
    HOOK + b"content-length:3\r\n\r\nabc",
    HOOK + b"Content-Length: 0\r\n\r\n",
    HOOK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    HOOK + b"Transfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nExpires: never\r\n\r\n",
]
# The application or gunicorn's parser rejects these; nothing more is awaited.
REJECTED = [
    HOOK + b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1),
    HOOK + b"Content-Length: 99999999999999\r\n\r\n",
    HOOK + b"Content-Length: -1\r\n\r\n",
    HOOK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
    HOOK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    HOOK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
    HOOK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (LARGEST_CHUNKED_BODY // 6 + 1),
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"\r\n\r\n",
]


def frame_of(data, *, step):
    frame = Frame()
    for start in range(0, len(data), step):
        assert not frame.is_complete
        frame.add(data[start : start + step])
    return frame


@pytest.mark.parametrize("data", COMPLETE)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
def test_request_is_complete_with_its_last_byte_and_not_before(data, step):
    frame = frame_of(data, step=step)
    assert (frame.is_complete, frame.is_head_too_large, bytes(frame.received)) == (True, False, data)
    assert not frame_of(data[:-1], step=step).is_complete


@pytest.mark.parametrize("data", REJECTED)
def test_request_that_will_be_rejected_is_not_awaited(data):
    frame = Frame()
    frame.add(data)
    assert frame.is_complete


def test_body_of_a_staff_form_is_awaited():
    frame = Frame()
    frame.add(b"POST /admin/a/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
    assert (frame.is_complete, frame.body_bytes, frame.expects_continue) == (False, 1_000_000, True)


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_endless_head_is_too_large(end):
    frame = Frame()
    frame.add(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (LARGEST_HEAD // 6) + end)
    assert frame.is_head_too_large


def test_pipelined_requests_are_kept():
    frame = Frame()
    frame.add(COMPLETE[0] + COMPLETE[2])
    assert (frame.is_complete, bytes(frame.received)) == (True, COMPLETE[0] + COMPLETE[2])


@pytest.fixture
def pair():
    """A channel, and its client's end."""
    ours, client = socket.socketpair()
    channel = Channel(ours)
    yield channel, client
    channel.close()
    client.close()


def read(channel, client, size):
    """Read as a client does, while the main loop flushes."""
    found = bytearray()
    client.settimeout(5)
    while len(found) < size:
        found += client.recv(1 << 16)
        channel.flush()
    return bytes(found)


def test_answer_waits_for_a_client_that_does_not_read(pair):
    channel, client = pair
    data = bytes(range(256)) * 3000
    channel.sendall(data)
    assert 0 < channel.unsent < len(data) < LARGEST_BUFFER
    assert read(channel, client, len(data)) == data
    assert channel.unsent == 0


def test_file_is_sent_later_without_being_read_into_memory(pair, tmp_path):
    channel, client = pair
    path = tmp_path / "a"
    path.write_bytes(b"0123456789" * 300_000)
    with path.open("rb") as file:
        channel.sendall(b"head")
        channel.sendfile(file, offset=10, count=2_999_990)
        channel.sendall(b"end")
    assert channel.unsent > LARGEST_BUFFER
    assert read(channel, client, 2_999_997) == b"head" + path.read_bytes()[10:] + b"end"


def test_stream_waits_for_its_client_only_so_long(pair):
    channel, _client = pair
    channel.settimeout(0.01)
    with pytest.raises(BrokenPipeError):
        for _piece in range(100):
            channel.sendall(b"x" * 100_000)


def test_stream_does_not_wait_for_a_client_that_reads_too_little(pair):
    channel, client = pair
    channel.settimeout(0.5)
    channel.sendall(b"x" * LARGEST_BUFFER)
    is_over = threading.Event()

    def trickle():
        while not is_over.wait(0.05):
            client.recv(32 * 1024)

    reader = threading.Thread(target=trickle)
    reader.start()
    began = time.monotonic()
    try:
        with pytest.raises(BrokenPipeError):
            channel.sendall(b"x" * LARGEST_BUFFER)
    finally:
        is_over.set()
        reader.join()
    assert time.monotonic() - began < 1.5


def test_file_that_became_shorter_breaks_the_connection(pair, tmp_path):
    channel, _client = pair
    path = tmp_path / "a"
    path.write_bytes(b"a")
    with path.open("rb") as file, pytest.raises(BrokenPipeError):
        channel.sendfile(file, offset=0, count=5)


def test_closed_channel_forgets_what_it_had_to_send(pair):
    channel, client = pair
    channel.sendall(b"x" * 900_000)
    channel.shutdown(socket.SHUT_RDWR)
    assert channel.unsent == 0
    assert select.select([client], [], [], 5)[0]


@pytest.mark.parametrize(("style", "beginning"), [("text", "2"), ("json", "{")])
def test_gunicorns_logs_are_redacted(capfd, monkeypatch, style, beginning):
    monkeypatch.setenv("LOG_FORMAT", style)
    config = Config()
    config.set("accesslog", "-")
    log = RedactedLogger(config)
    try:
        try:
            raise ValueError("clientId=c0ffee")
        except ValueError:
            log.exception("Error handling request %s", "/hooks/uis/Zk3xQ9w_hook-secret/?phone=79990000001")
        log.access_log.info("GET /records/Zk3xQ9w_hook-secret/ HTTP/1.1")
    finally:
        for logger in (log.error_log, log.access_log):
            logger.handlers.clear()
            logger.setLevel(logging.NOTSET)
    out, err = capfd.readouterr()
    for secret in ("Zk3xQ9w_hook-secret", "79990000001", "c0ffee"):
        assert secret not in out + err
    assert "/hooks/uis/***/" in err
    assert "/records/***" in out
    assert out.startswith(beginning)
