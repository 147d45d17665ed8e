"""Streamed downloads, over real sockets."""

import gzip
import threading
import time

import pytest

from connector_project.core import http_client
from connector_project.core.http_client import AccessDenied, RemoteRejected, RemoteUnavailable, UnexpectedReply
from tests.core.loopback import is_timeout, reply, serving


@pytest.fixture(autouse=True)
def _no_trusted_hosts(monkeypatch):
    monkeypatch.setattr(http_client, "_trusted", frozenset())
    monkeypatch.setattr(http_client, "_local", threading.local())


def fetch(server, url="", is_theirs=lambda _url: True, **chosen):
    http_client.set_trusted_hosts([server.host_port])
    return http_client.download("UIS", url or server.url, is_theirs=is_theirs, **{"timeout": 2.0, **chosen})


def read_all(source):
    read = b""
    while part := source.read():
        read += part
    source.close()
    return read


def test_download_returns_status_headers_and_body():
    with serving(reply(b"sound", "Content-Type: audio/mpeg")) as server:
        source = fetch(server, headers={"Range": "bytes=0-9"})
        assert (source.status, source.headers["content-type"], read_all(source)) == (200, "audio/mpeg", b"sound")
    head = server.requests[0]
    assert head.startswith("GET / HTTP/1.1")
    assert "Range: bytes=0-9" in head
    assert "Accept-Encoding: identity" in head


def test_large_file_is_read_in_parts():
    with serving(reply(b"x" * 3_000_000)) as server:
        source = fetch(server)
        sizes = [len(part) for part in iter(source.read, b"")]
        source.close()
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= http_client.PART


def test_compressed_file_is_not_decompressed():
    packed = gzip.compress(b"sound")
    with serving(reply(packed, "Content-Encoding: gzip")) as server:
        assert read_all(fetch(server)) == packed


@pytest.mark.parametrize("status", ["404 Not Found", "500 Odd", "416 No"])
def test_download_with_any_status_is_returned(status):
    with serving(reply(b"", status=status)) as server:
        source = fetch(server)
        assert source.status == int(status[:3])
        source.close()


@pytest.mark.slow
def test_close_does_not_wait_for_the_rest():
    def send_one_byte(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
        time.sleep(0.5)

    with serving(send_one_byte) as server:
        source = fetch(server)
        assert source.read() == b"x"
        started_at = time.monotonic()
        source.close()
        assert time.monotonic() - started_at < 0.4


# --- failures


@pytest.mark.parametrize("body", [b"half", b""])
def test_truncated_file_is_unavailable(body):
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body) as server:
        source = fetch(server)
        with pytest.raises(RemoteUnavailable) as raised:
            read_all(source)
        assert not is_timeout(raised.value)


@pytest.mark.slow
def test_stalled_file_times_out():
    def send_half(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(0.6)

    with serving(send_half) as server:
        source = fetch(server, timeout=0.2)
        with pytest.raises(RemoteUnavailable) as raised:
            read_all(source)
        assert is_timeout(raised.value)


def test_too_long_download_is_unavailable(monkeypatch):
    monkeypatch.setattr(http_client, "LONGEST_DOWNLOAD_SECONDS", -1.0)
    with serving(reply(b"sound")) as server, pytest.raises(RemoteUnavailable):
        fetch(server).read()


def test_too_large_file_is_unexpected(monkeypatch):
    monkeypatch.setattr(http_client, "LARGEST_DOWNLOAD", 4)
    with serving(reply(b"sound")) as server, pytest.raises(UnexpectedReply):
        read_all(fetch(server))


@pytest.mark.slow
def test_server_without_an_answer_times_out():
    with serving(lambda _connection: time.sleep(0.6)) as server:
        with pytest.raises(RemoteUnavailable) as raised:
            fetch(server, timeout=0.2)
    assert is_timeout(raised.value)


# --- redirects


def redirect_to(location, status="302 Found"):
    return reply(b"", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_redirect_to_an_allowed_url_is_followed(status):
    with serving(reply(b"sound")) as other, serving(redirect_to(other.url, status)) as server:
        http_client.set_trusted_hosts([server.host_port, other.host_port])
        source = http_client.download(
            "UIS", server.url, is_theirs=lambda _url: True, headers={"Range": "bytes=0-4"}, timeout=2.0
        )
        assert read_all(source) == b"sound"
    assert "Range: bytes=0-4" in other.requests[0]


def test_url_that_is_not_allowed_is_never_requested():
    with serving(reply(b"never")) as other, serving(redirect_to(other.url)) as server:
        http_client.set_trusted_hosts([server.host_port, other.host_port])
        with pytest.raises(RemoteRejected) as raised:
            http_client.download("UIS", server.url, is_theirs=lambda url: url == server.url, timeout=2.0)
        assert raised.value.code == http_client.UNTRUSTED_ADDRESS
        with pytest.raises(RemoteRejected):
            http_client.download("UIS", other.url, is_theirs=lambda url: url == server.url)
    assert other.requests == []


@pytest.mark.parametrize("location", ["http://127.0.0.2:9/", "http://169.254.169.254/", "ftp://host/", "/relative"])
def test_forbidden_redirect_is_not_followed_even_if_is_theirs_allows_it(location):
    with serving(redirect_to(location)) as server:
        http_client.set_trusted_hosts([server.host_port])
        with pytest.raises((AccessDenied, RemoteRejected)):
            http_client.download("UIS", server.url, is_theirs=lambda _url: True, timeout=2.0)
        assert len(server.requests) == (4 if location == "/relative" else 1)


def test_invalid_redirect_is_unavailable():
    with serving(redirect_to("https://[::1")) as server, pytest.raises(RemoteUnavailable):
        fetch(server)


def test_http_or_private_url_is_denied():
    for url in ("http://app.uiscom.ru/", "https://127.0.0.1/"):
        with pytest.raises(AccessDenied):
            http_client.download("UIS", url, is_theirs=lambda _url: True)
