"""A connection whose peer is not a public address is refused, whatever its host name is."""

import socket
import threading

import pytest
import requests
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import NewConnectionError

from connector_project.core import http_client
from connector_project.core.ssrf import PublicPeerAdapter, PublicPeerConnection
from tests.core.loopback import reply, serving


@pytest.fixture(autouse=True)
def _fresh_sessions(monkeypatch):
    monkeypatch.setattr(http_client, "_trusted", frozenset())
    monkeypatch.setattr(http_client, "_local", threading.local())


def test_peer_on_loopback_is_refused_and_receives_nothing():
    with serving(reply()) as server:
        connection = PublicPeerConnection("localhost", server.port, timeout=2)
        with pytest.raises(NewConnectionError):
            connection.connect()
    assert server.requests in ([], [""])


def test_name_that_resolves_to_loopback_is_refused():
    with serving(reply()) as server:
        with pytest.raises(http_client.RemoteUnavailable, match=r"\(ConnectionError\)"):
            http_client.send("UIS", "GET", f"https://localhost:{server.port}/", headers={"X-API-KEY": "abc"})
    assert server.requests in ([], [""])


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1"])
def test_ip_address_in_another_notation_is_refused(host):
    with serving(reply()) as server, pytest.raises(http_client.RemoteUnavailable):
        http_client.send("UIS", "GET", f"https://{host}:{server.port}/")
    assert server.requests in ([], [""])


class FakeSocket:
    """A socket whose peer has a chosen address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_closed = False

    def getpeername(self) -> tuple[str, int]:
        return self.address, 443

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("8.8.8.8", True),
        ("2a02:6b8::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd12::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_peer_must_be_public(monkeypatch, address, is_public):
    fake = FakeSocket(address)
    monkeypatch.setattr(HTTPSConnection, "_new_conn", lambda _self: fake)
    connection = PublicPeerConnection("shop.retailcrm.ru")
    if is_public:
        assert connection._new_conn() is fake
    else:
        with pytest.raises(NewConnectionError):
            connection._new_conn()
    assert fake.is_closed is not is_public


def test_adapter_rejects_http():
    session = requests.Session()
    session.mount("http://", PublicPeerAdapter())
    with pytest.raises((requests.RequestException, KeyError, ValueError)):
        session.get("http://127.0.0.1:1/", timeout=1)


def test_localhost_resolves_to_loopback():
    with serving(reply()) as server, socket.create_connection(("localhost", server.port), timeout=2) as there:
        assert there.getpeername()[0] == "127.0.0.1"
