"""How remote calls are made, and every result they can have; over real sockets where needed."""

import gzip
import json
import socket
import threading
import time

import pytest
import requests
import responses

from connector_project.core import http_client
from connector_project.core.http_client import AccessDenied, RemoteRejected, RemoteUnavailable, Reply, UnexpectedReply
from tests.core.loopback import is_timeout, reply, serving

URL = "https://shop.retailcrm.ru/api"


@pytest.fixture(autouse=True)
def _no_trusted_hosts(monkeypatch):
    """Start each test without trusted hosts and without sessions."""
    monkeypatch.setattr(http_client, "_trusted", frozenset())
    monkeypatch.setattr(http_client, "_local", threading.local())


def ask(server, **chosen):
    """Send a request to a trusted loopback server."""
    http_client.set_trusted_hosts([server.host_port])
    return http_client.send("UIS", "GET", chosen.pop("url", server.url), **{"timeout": 2.0, **chosen})


def error_of(url: str, **chosen):
    """Return the error of a request that cannot succeed."""
    with pytest.raises(http_client.RemoteError) as raised:
        http_client.send("UIS", "GET", url, **chosen)
    return raised.value


# --- requests


def test_request_has_the_given_headers_and_query():
    with serving(reply(b"{}")) as server:
        ask(server, headers={"X-API-KEY": "abc"}, query={"phone": "+79990000001", "limit": "100"})
    head = server.requests[0].split("\r\n")
    assert head[0] == "GET /?phone=%2B79990000001&limit=100 HTTP/1.1"
    assert "X-API-KEY: abc" in head


def test_form_body_is_urlencoded():
    with serving(reply()) as server:
        http_client.set_trusted_hosts([server.host_port])
        http_client.send("retailCRM", "POST", server.url, body={"event": '{"phone": "+7"}', "name": "Иван"})
    head, body = server.requests[0].split("\r\n\r\n")
    assert head.startswith("POST / HTTP/1.1")
    assert "Content-Type: application/x-www-form-urlencoded" in head
    assert body == "event=%7B%22phone%22%3A+%22%2B7%22%7D&name=%D0%98%D0%B2%D0%B0%D0%BD"


def test_bytes_body_is_sent_unchanged():
    with serving(reply()) as server:
        http_client.set_trusted_hosts([server.host_port])
        http_client.send("UIS", "POST", server.url, body=b'{"a": 1}', headers={"Content-Type": "application/json"})
    assert server.requests[0].endswith('Content-Length: 8\r\n\r\n{"a": 1}')


def test_proxy_variables_of_the_environment_are_ignored(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with serving(reply(b"straight")) as server:
        assert ask(server).text == "straight"


# --- replies


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "400 Bad", "404 Not Found", "429 Slow", "500 Odd"])
def test_reply_with_any_status_is_returned(status):
    with serving(reply("Иван".encode(), "Retry-After: 7", status=status)) as server:
        found = ask(server)
    assert (found.status, found.text, found.retry_after) == (int(status[:3]), "Иван", 7.0)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirect_is_not_followed(status):
    with serving(reply(b"never requested")) as other:
        with serving(reply(b"", f"Location: {other.url}", status=status)) as server:
            http_client.set_trusted_hosts([server.host_port, other.host_port])
            assert http_client.send("UIS", "GET", server.url).status == int(status[:3])
        assert other.requests == []


def test_invalid_utf8_in_a_reply_is_replaced():
    with serving(reply(b"\xc8\xe2ok")) as server:
        assert ask(server).text == "\ufffd\ufffdok"


def test_reply_may_be_compressed():
    with serving(reply(gzip.compress(b"plain"), "Content-Encoding: gzip")) as server:
        assert ask(server).text == "plain"


def test_reply_may_be_chunked():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with serving(chunked) as server:
        assert ask(server).text == "abcde"


def test_reply_without_a_length_ends_with_the_connection():
    with serving(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end") as server:
        assert ask(server).text == "to the end"


def test_large_reply_is_read_completely():
    body = json.dumps(["x" * 1000] * 3000).encode()
    with serving(reply(body)) as server:
        assert ask(server).text == body.decode()


@pytest.mark.parametrize("packed", [False, True])
def test_too_large_reply_is_unexpected(packed):
    body = b" " * (http_client.LARGEST_REPLY + 1)
    sent = reply(gzip.compress(body), "Content-Encoding: gzip") if packed else reply(body)
    with serving(sent) as server, pytest.raises(UnexpectedReply):
        ask(server)


def test_cookies_are_not_sent_with_the_next_request():
    with serving(reply(b"", "Set-Cookie: session=of-one-client; Path=/")) as server:
        ask(server)
        ask(server)
    assert len(server.requests) == 2
    assert "cookie" not in server.requests[1].lower()


# --- failures


@pytest.mark.slow
def test_server_without_an_answer_times_out():
    with serving(lambda _connection: time.sleep(0.6)) as server, pytest.raises(RemoteUnavailable) as raised:
        ask(server, timeout=0.2)
    assert is_timeout(raised.value)
    assert (raised.value.system, raised.value.code, raised.value.wait) == ("UIS", "", None)


def send_byte_by_byte(connection: socket.socket, *, head: bytes) -> None:
    connection.sendall(head)
    for _drop in range(100):
        time.sleep(0.05)
        connection.sendall(b"1\r\nx\r\n" if b"chunked" in head else b"x")


@pytest.mark.slow
@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_reply_sent_byte_by_byte_times_out(framing):
    head = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    with serving(lambda connection: send_byte_by_byte(connection, head=head)) as server:
        started_at = time.monotonic()
        with pytest.raises(RemoteUnavailable):
            ask(server, timeout=0.2)
        assert time.monotonic() - started_at < 3


def send_half(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    time.sleep(0.6)


@pytest.mark.slow
def test_stalled_reply_times_out():
    with serving(send_half) as server, pytest.raises(RemoteUnavailable) as raised:
        ask(server, timeout=0.2)
    assert is_timeout(raised.value)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"", "ConnectionError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "IncompleteRead|ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "IncompleteRead|ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk", "DecodeError"),
        (b"SSH-2.0-OpenSSH\r\n", "ConnectionError"),
    ],
)
def test_truncated_or_invalid_reply_is_unavailable(sent, kind):
    with serving(sent) as server, pytest.raises(RemoteUnavailable, match=rf"\(({kind})\)"):
        ask(server)


def test_refused_connection_is_unavailable():
    with serving(reply()) as server:
        pass
    with pytest.raises(RemoteUnavailable, match=r"\(ConnectionError\)"):
        ask(server)


@pytest.mark.parametrize(
    "fault",
    [requests.exceptions.SSLError, requests.ConnectionError, requests.exceptions.InvalidURL],
)
@responses.activate
def test_error_message_has_no_url(fault):
    responses.get(URL, body=fault("https://host/?apiKey=abc"))
    error = error_of(URL)
    assert (type(error), is_timeout(error)) == (RemoteUnavailable, False)
    assert f"({fault.__name__})" in str(error)
    assert [part for part in ("https:", "host", "abc") if part in str(error)] == []


@pytest.mark.parametrize("fault", [requests.ConnectTimeout, requests.ReadTimeout])
@responses.activate
def test_timeout_message_has_no_url(fault):
    responses.get(URL, body=fault("https://host/?apiKey=abc"))
    error = error_of(URL)
    assert (type(error), is_timeout(error)) == (RemoteUnavailable, True)
    assert [part for part in ("https:", "host", "abc") if part in str(error)] == []


@pytest.mark.parametrize("host", ["a" * 64 + ".retailcrm.ru", "a..retailcrm.ru"])
def test_invalid_host_name_is_unavailable(host):
    error = error_of(f"https://{host}/")
    assert isinstance(error, RemoteUnavailable)
    assert host not in str(error)


# --- allowed URLs


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.retailcrm.ru/",
        "ftp://shop.retailcrm.ru/",
        "file:///etc/passwd",
        "shop.retailcrm.ru",
        "//shop.retailcrm.ru/",
        "",
        "https://host:port/",
        "https://host:99999/",
        "https://[::1/",
        "http://127.0.0.1:9000/",
    ],
)
def test_url_must_be_https(url):
    error = error_of(url)
    assert (type(error), error.code) == (AccessDenied, "address_not_https")
    assert error.system == "UIS"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
    ],
)
def test_private_ip_address_is_denied_without_a_request(host):
    for port in ("", ":8443"):
        error = error_of(f"https://{host}{port}/")
        assert (type(error), error.code) == (AccessDenied, "address_not_public")
        assert host not in str(error)


@responses.activate
def test_public_ip_address_is_allowed():
    responses.get("https://8.8.8.8/", body="ok")
    assert http_client.send("UIS", "GET", "https://8.8.8.8/").text == "ok"


def test_trusted_host_may_be_http_and_private():
    with serving(reply(b"ok")) as server:
        assert ask(server).text == "ok"
        http_client.set_trusted_hosts([])
        assert error_of(server.url).code == "address_not_https"


@pytest.mark.parametrize(
    ("url", "is_trusted"),
    [
        ("http://simulator:9000/x", True),
        ("HTTP://Simulator:9000", True),
        ("https://simulator:9000", True),
        ("http://simulator", True),
        ("https://simulator", True),
        ("http://[::1]:9000/", True),
        ("http://simulator:9001", False),
        ("http://simulator.evil.com:9000", False),
        ("http://evil.com:9000/?simulator:9000", False),
        ("http://simulator:9000@evil.com/", False),
        ("http://evil.com\\@simulator:9000", False),
        ("http://simulator:port", False),
        ("", False),
    ],
)
def test_is_trusted_compares_host_and_port(url, is_trusted):
    http_client.set_trusted_hosts(["simulator:9000", "simulator:80", "simulator:443", "[::1]:9000"])
    assert http_client.is_trusted(url) is is_trusted


def test_session_is_reused_per_thread_and_kind():
    http_client.set_trusted_hosts(["simulator:9000"])
    public, trusted = http_client._adapter("UIS", URL), http_client._adapter("UIS", "http://simulator:9000")
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(http_client._adapter("UIS", URL)))
    thread.start()
    thread.join()
    assert http_client._adapter("UIS", "https://other.retailcrm.ru") is public
    assert http_client._adapter("UIS", "http://simulator:9000/x") is trusted
    assert len({id(public), id(trusted), id(elsewhere[0])}) == 3


# --- Reply


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 86400.0),
        ("99999999999999999999", 1e20),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("²", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_accepts_whole_seconds_only(header, seconds):
    assert Reply(503, {"Retry-After": header}, "").retry_after == seconds


def test_retry_after_is_none_without_the_header():
    assert Reply(503, {}, "").retry_after is None


def test_header_names_are_case_insensitive():
    with serving(reply(b"", "retry-after: 9")) as server:
        assert ask(server).retry_after == 9.0


@pytest.mark.parametrize(
    ("text", "is_html"), [("<html>", True), (" \n<!doctype", True), ("{}", False), ("", False), ("a<b", False)]
)
def test_reply_is_html_if_it_begins_with_an_angle_bracket(text, is_html):
    assert Reply(200, {}, text).is_html is is_html


def test_errors_have_system_code_and_wait():
    error = RemoteUnavailable("UIS", "Later.", code="limit_exceeded", wait=7.0)
    assert (str(error), error.system, error.code, error.wait) == ("Later.", "UIS", "limit_exceeded", 7.0)
    for kind in (RemoteUnavailable, RemoteRejected, UnexpectedReply, AccessDenied):
        assert (str(kind("UIS", "No.")), kind("UIS", "No.").code) == ("No.", "")
        assert issubclass(kind, http_client.RemoteError)
