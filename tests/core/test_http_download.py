"""Streamed downloads, over real sockets."""

import gzip
import threading
import time

import pytest

from connector_project.core import http_client
from connector_project.core.http_client import AccessDenied, RemoteRejected, RemoteUnavailable, UnexpectedReply
from tests.core.loopback import is_timeout, reply, serving


@pytest.fixture(autouse=True)
def _nobody_is_trusted(monkeypatch):
    monkeypatch.setattr(http_client, "_trusted", frozenset())
    monkeypatch.setattr(http_client, "_local", threading.local())


def fetch(server, url="", is_theirs=lambda _url: True, **chosen):
    http_client.set_trusted_hosts([server.host_port])
    return http_client.download("UIS", url or server.url, is_theirs=is_theirs, **{"timeout": 2.0, **chosen})


def whole(source):
    read = b""
    while part := source.read():
        read += part
    source.close()
    return read


def test_file_is_read_as_it_comes():
    with serving(reply(b"sound", "Content-Type: audio/mpeg")) as server:
        source = fetch(server, headers={"Range": "bytes=0-9"})
        assert (source.status, source.headers["content-type"], whole(source)) == (200, "audio/mpeg", b"sound")
    head = server.heard[0]
    assert head.startswith("GET / HTTP/1.1")
    assert "Range: bytes=0-9" in head
    assert "Accept-Encoding: identity" in head


def test_large_file_is_never_whole_in_memory():
    with serving(reply(b"x" * 3_000_000)) as server:
        source = fetch(server)
        sizes = [len(part) for part in iter(source.read, b"")]
        source.close()
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= http_client.PART


def test_packed_file_is_not_unpacked():
    packed = gzip.compress(b"sound")
    with serving(reply(packed, "Content-Encoding: gzip")) as server:
        assert whole(fetch(server)) == packed


@pytest.mark.parametrize("status", ["404 Not Found", "500 Odd", "416 No"])
def test_status_is_told_whatever_it_is(status):
    with serving(reply(b"", status=status)) as server:
        source = fetch(server)
        assert source.status == int(status[:3])
        source.close()


@pytest.mark.slow
def test_closing_does_not_wait_for_the_rest():
    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
        time.sleep(0.5)

    with serving(drip) as server:
        source = fetch(server)
        assert source.read() == b"x"
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 0.4


# --- how it can fail


@pytest.mark.parametrize("body", [b"half", b""])
def test_file_that_is_cut_is_told(body):
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body) as server:
        source = fetch(server)
        with pytest.raises(RemoteUnavailable) as raised:
            whole(source)
        assert not is_timeout(raised.value)


@pytest.mark.slow
def test_file_that_stops_half_way_is_given_up():
    def stall(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(0.6)

    with serving(stall) as server:
        source = fetch(server, timeout=0.2)
        with pytest.raises(RemoteUnavailable) as raised:
            whole(source)
        assert is_timeout(raised.value)


def test_file_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(http_client, "LONGEST_DOWNLOAD_SECONDS", -1.0)
    with serving(reply(b"sound")) as server, pytest.raises(RemoteUnavailable):
        fetch(server).read()


def test_file_that_is_too_large_is_given_up(monkeypatch):
    monkeypatch.setattr(http_client, "LARGEST_DOWNLOAD", 4)
    with serving(reply(b"sound")) as server, pytest.raises(UnexpectedReply):
        whole(fetch(server))


@pytest.mark.slow
def test_server_that_is_silent_is_given_up():
    with serving(lambda _connection: time.sleep(0.6)) as server:
        with pytest.raises(RemoteUnavailable) as raised:
            fetch(server, timeout=0.2)
    assert is_timeout(raised.value)


# --- redirects


def moved(location, status="302 Found"):
    return reply(b"", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_redirect_is_followed_where_the_address_is_theirs(status):
    with serving(reply(b"sound")) as other, serving(moved(other.url, status)) as server:
        http_client.set_trusted_hosts([server.host_port, other.host_port])
        source = http_client.download(
            "UIS", server.url, is_theirs=lambda _url: True, headers={"Range": "bytes=0-4"}, timeout=2.0
        )
        assert whole(source) == b"sound"
    assert "Range: bytes=0-4" in other.heard[0]


def test_foreign_address_is_never_asked():
    with serving(reply(b"never")) as other, serving(moved(other.url)) as server:
        http_client.set_trusted_hosts([server.host_port, other.host_port])
        with pytest.raises(RemoteRejected) as raised:
            http_client.download("UIS", server.url, is_theirs=lambda url: url == server.url, timeout=2.0)
        assert raised.value.code == http_client.UNTRUSTED_ADDRESS
        with pytest.raises(RemoteRejected):
            http_client.download("UIS", other.url, is_theirs=lambda url: url == server.url)
    assert other.heard == []


@pytest.mark.parametrize("location", ["http://127.0.0.2:9/", "http://169.254.169.254/", "ftp://host/", "/relative"])
def test_address_that_may_not_be_called_is_not_called_even_where_it_is_theirs(location):
    with serving(moved(location)) as server:
        http_client.set_trusted_hosts([server.host_port])
        with pytest.raises((AccessDenied, RemoteRejected)):
            http_client.download("UIS", server.url, is_theirs=lambda _url: True, timeout=2.0)
        assert len(server.heard) == (4 if location == "/relative" else 1)


def test_redirect_nobody_can_read_is_told():
    with serving(moved("https://[::1")) as server, pytest.raises(RemoteUnavailable):
        fetch(server)


def test_plain_or_private_address_is_refused():
    for url in ("http://app.uiscom.ru/", "https://127.0.0.1/"):
        with pytest.raises(AccessDenied):
            http_client.download("UIS", url, is_theirs=lambda _url: True)
