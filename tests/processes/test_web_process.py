"""gunicorn with its configuration file: slow clients, limits, logs."""

import re
import socket
import struct
import time

import pytest

from tests.processes.web_server import HOST, SlowClient, WebServer, connected, exchange, get

pytestmark = pytest.mark.processes

EACH = 100
PATIENCE_SECONDS = 10
HEAD = f"Host: {HOST}\r\nX-Forwarded-Proto: https\r\n".encode()
PAGES = {"TRUSTED_PROXIES": "127.0.0.1/32"}
LARGE_FILE = b"/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def server(tmp_path_factory, prepared):
    built = WebServer(tmp_path_factory.mktemp("web"), prepared, PAGES)
    try:
        yield built
    finally:
        built.children.stop()


@pytest.fixture(scope="module")
def port(server):
    return server.start("web", "--access-logfile", "-")


@pytest.fixture(scope="module")
def small(server):
    """A process with few connections and without a proxy, and with the options of an older unit file."""
    options = ("--worker-class", "gthread", "--threads", "4", "--workers", "1")
    return server.start("small", *options, "--worker-connections", "30", "--env", "TRUSTED_PROXIES=")


def request(line, *headers, body=b"", closes=True):
    named = b"".join(f"{header}\r\n".encode() for header in headers)
    end = b"Connection: close\r\n" if closes else b""
    return f"{line} HTTP/1.1\r\n".encode() + HEAD + end + named + b"\r\n" + body


def stalled(hook):
    login = request("POST /admin/login/", "Content-Length: 60000", body=b"x")
    return {
        "silent": (b"", b""),
        "half a head": (b"GET / HTTP/1.1\r\nHost: con", b""),
        "a head byte by byte": (b"GET / HTTP/1.1\r\nA: b", b"c"),
        "a body byte by byte": (login, b"x"),
        "a notification byte by byte": (request(f"POST {hook}", "Content-Length: 60000", body=b"x"), b"x"),
        "chunks byte by byte": (request(f"POST {hook}", "Transfer-Encoding: chunked", body=b"1"), b"0"),
        "a large form byte by byte": (request("POST /admin/", "Content-Length: 130000", body=b"x"), b"x"),
    }


def status(answer):
    return int(answer[9:12])


def test_stalled_clients_delay_nobody_and_are_dropped(server, port):
    kinds = stalled(server.hook)
    clients = [SlowClient(first, then) for first, then in kinds.values() for _client in range(EACH)]
    with connected(port, clients):
        ends_at, served = time.monotonic() + PATIENCE_SECONDS, []
        while time.monotonic() < ends_at:
            served.append(get(port, "/health/live/"))
            for client in clients:
                client.trickle()
            time.sleep(1)
        assert set(served) == {200}
        # More than a process has room for; some are closed without an answer, to make room.
        assert {client.status() for client in clients} <= {"408", ""}


def test_clients_that_do_not_read_delay_nobody(port):
    ask = b"GET %b HTTP/1.1\r\n%b\r\n" % (LARGE_FILE, HEAD)
    with connected(port, [SlowClient(ask) for _client in range(EACH)]) as clients:
        assert {get(port, "/health/live/") for _request in range(20)} == {200}
        assert {client.status() for client in clients} == {"200"}


def test_clients_that_break_off_end_no_process(server, port):
    """With a reset, at every point of a request and of its answer."""
    invited = request("POST /admin/", "Content-Length: 100000", "Expect: 100-continue")
    large = b"GET %b HTTP/1.1\r\n%b\r\n" % (LARGE_FILE, HEAD)
    firsts = [first for first, _then in stalled(server.hook).values()]
    firsts += [invited, large, request("GET /health/live/"), request("GET /admin/login/", closes=False)]
    for first in firsts * 5:
        client = SlowClient(first)
        client.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.connect(port)
        client.client.close()
    assert get(port, "/health/live/") == 200
    log = server.log("web")
    assert log.count("Booting worker") == 2
    assert "Traceback" not in log


def test_more_clients_than_there_is_room_for_delay_nobody(small):
    with connected(small, [SlowClient(b"GET / HTTP/1.1\r\n") for _client in range(EACH)]):
        assert {get(small, "/health/live/") for _request in range(20)} == {200}


def test_file_comes_whole(port):
    answer = exchange(port, request(f"GET {LARGE_FILE.decode()}"))
    head, body = answer.split(b"\r\n\r\n", 1)
    assert len(body) == int(re.search(rb"(?i)content-length: (\d+)", head)[1]) > 1_000_000


def test_requests_over_one_connection(server, port):
    live, last = request("GET /health/live/", closes=False), request("GET /health/live/")
    posted = request(f"POST {server.hook}", "Content-Length: 2", body=b"{}", closes=False)
    answers = exchange(port, live + posted + live, posted[:-1], posted[-1:] + last, pause=0.2)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * 5


def test_body_is_invited(server, port):
    head = request(f"POST {server.hook}", "Content-Length: 2", "Expect: 100-continue")
    answers = exchange(port, head, b"{}", pause=0.5)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"100", b"200"]


def test_body_over_the_limit_is_not_invited(port):
    head = request("POST /admin/login/", "Content-Length: 300000000", "Expect: 100-continue")
    assert re.findall(rb"HTTP/1.1 (\d+)", exchange(port, head)) == [b"413"]


@pytest.mark.parametrize("path", ["/admin/login/", "/language/", "/connect/retailcrm/register/", "/admin/"])
def test_upload_leaves_nothing_on_the_disk(server, port, path):
    """The client sends on after the answer, as most do."""
    head = request(f"POST {path}", "Content-Type: multipart/form-data; boundary=b", "Content-Length: 30000000")
    form = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
    assert status(exchange(port, head, form, b"x" * 100_000)) == 413
    assert [path.name for path in server.uploads.iterdir() if path.stat().st_size] == []


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request(f"GET /?{'a' * 9000}"), 414),
        (request("GET /", f"A: {'b' * 9000}"), 431),
        (request("GET /", *[f"A{number}: b" for number in range(70)]), 431),
        (request("GET /", *[f"A{number}: {'b' * 5000}" for number in range(10)]), 431),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (request("POST /", "Content-Length: 1", "Content-Length: 2"), 400),
        (request("POST /", "Transfer-Encoding: chunked", body=b"x\r\n"), 411),
    ],
)
def test_request_over_a_limit_is_rejected_at_once(port, sent, expected):
    assert status(exchange(port, sent)) == expected


def test_server_program_is_not_named(port):
    assert b"server:" not in exchange(port, request("GET /health/live/")).lower()


def test_forwarded_scheme_of_a_stranger_counts_for_nothing(small):
    """gunicorn by itself believes every client on this machine."""
    assert status(exchange(small, request("GET /admin/login/"))) == 301


def test_log_contains_no_hook(server, port):
    secret = server.hook.split("/")[3]
    for sent in (request(f"GET {server.hook}?clientId=c0ffee"), request(f"GET {server.hook} x")):
        exchange(port, sent)
    assert server.log_lines("web", "/hooks/uis/***/?clientId=***", count=1)
    log = server.log("web")
    assert secret not in log
    assert "c0ffee" not in log


def test_gthread_of_an_older_unit_file_is_replaced(server, small):
    assert "Using worker: gthread" in server.log("small")
    assert "replaced by BufferedWorker" in server.log("small")


def test_stop_does_not_wait_for_stalled_clients(server, small):
    child = next(child for child in server.children.running if child.name == "small")
    with connected(small, [SlowClient(b"GET / HTTP/1.1\r\n") for _client in range(10)]) as clients:
        assert get(small, "/health/live/") == 200
        child.process.terminate()
        assert child.process.wait(25) == 0
        assert {client.status() for client in clients} == {"408"}
    server.children.running.remove(child)
