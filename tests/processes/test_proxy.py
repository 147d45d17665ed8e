"""deploy/nginx.conf with a real nginx in front of two pools."""

import contextlib
import re
import socket
import sqlite3
import ssl

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.needs import missing
from tests.processes.proxy import Nginx
from tests.processes.servers import Missing
from tests.processes.web_server import (
    HOST,
    PASSWORD,
    STAFF,
    TIMEOUT_SECONDS,
    SlowClient,
    WebServer,
    connected,
    read_all,
)

pytestmark = pytest.mark.processes

VISITOR = "127.0.0.2"  # another address of this machine


@pytest.fixture(scope="module")
def server(tmp_path_factory, prepared):
    more = {"TRUSTED_PROXIES": "127.0.0.1/32", "STAFF_SECOND_FACTOR": "optional", "METRICS_TOKEN": "metrics-token"}
    built = WebServer(tmp_path_factory.mktemp("proxied"), prepared, more)
    try:
        yield built
    finally:
        built.children.stop()


@pytest.fixture(scope="module")
def nginx(server):
    pools = [server.start(name, "--workers", "1", "--access-logfile", "-") for name in ("programs", "pages")]
    built = Nginx(server.directory / "nginx", *pools)
    try:
        built.start()
        yield built
    except Missing as exc:
        missing(f"{exc}: apt-get install nginx")
    finally:
        built.stop()


class FromVisitor(HTTPAdapter):
    """Connects to the proxy of the test from another address; the certificate is for the real name."""

    def __init__(self, port, scheme):
        self.target = (port, scheme)
        super().__init__()

    def init_poolmanager(self, *args, **more):
        super().init_poolmanager(*args, source_address=(VISITOR, 0), server_hostname=HOST, assert_hostname=HOST, **more)

    def send(self, request, *args, **more):
        port, scheme = self.target
        request.headers["Host"] = HOST
        request.url = request.url.replace(f"https://{HOST}", f"{scheme}://127.0.0.1:{port}")
        return super().send(request, *args, **more)


@pytest.fixture
def visitor(nginx):
    session = requests.Session()
    session.trust_env = False
    session.verify = str(nginx.certificate)
    session.mount(f"https://{HOST}", FromVisitor(nginx.port, "https"))
    session.get(f"https://{HOST}/health/live/", timeout=TIMEOUT_SECONDS)
    return session


def address(path):
    return f"https://{HOST}{path}"


def stored(server):
    """Return the sizes of the stored bodies, and how many were refused as too large."""
    with contextlib.closing(sqlite3.connect(server.database)) as database:
        sizes = [size for (size,) in database.execute("SELECT length(body) FROM telephony_notification ORDER BY id")]
        (oversized,) = database.execute("SELECT oversized_webhooks FROM tenants_uisconnection").fetchone()
    return sizes, oversized


def test_notification_arrives_with_the_visitors_address(server, visitor):
    for forged in (
        {},
        {"X-Forwarded-For": "198.51.100.1", "X-Real-IP": "198.51.100.1", "Forwarded": "for=198.51.100.1"},
    ):
        assert visitor.post(address(server.hook), data="{}", headers=forged, timeout=TIMEOUT_SECONDS).status_code == 200
    lines = server.log_lines("programs", "POST /hooks/uis/***/", count=2)
    assert all(VISITOR in line and "198.51.100.1" not in line for line in lines)
    assert "/hooks/" not in server.log("pages")


def test_bodies_arrive_whole_or_are_rejected(server, visitor):
    """Each larger than the one before, so that none is a repeat."""
    before, oversized = stored(server)

    def post(body):
        return visitor.post(address(server.hook), data=body, timeout=TIMEOUT_SECONDS).status_code

    statuses = [post(b"x" * 60_000), post(iter([b"y" * 1000] * 61)), post(b"z" * 70_000), post(b"z" * 2_000_000)]
    assert statuses == [200, 200, 413, 413]
    sizes, counted = stored(server)
    # A body over a megabyte does not reach the connector.
    assert (sizes[len(before) :], counted) == ([60_000, 61_000], oversized + 1)


@pytest.mark.parametrize(
    ("path", "size"), [("/language/", 100_000), ("/admin/login/", 100_000), ("/admin/", 3_000_000)]
)
def test_upload_is_rejected_and_written_nowhere(server, nginx, visitor, path, size):
    assert visitor.post(address(path), files={"a": b"x" * size}, timeout=TIMEOUT_SECONDS).status_code == 413
    assert nginx.body_files() == []
    assert [path.name for path in server.uploads.iterdir() if path.stat().st_size] == []


def test_staff_sign_in_through_the_proxy(visitor):
    page = visitor.get(address("/admin/login/"), timeout=TIMEOUT_SECONDS)
    assert (page.status_code, page.headers["Server"]) == (200, "nginx")
    assert page.headers["Strict-Transport-Security"]
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    form = {"username": STAFF, "password": PASSWORD, "next": "/admin/tenants/tenant/"}
    without = visitor.post(address("/admin/login/"), form, headers={"Referer": address("/")}, timeout=TIMEOUT_SECONDS)
    assert without.status_code == 403
    foreign = {"Referer": "https://elsewhere.example.com/"}
    assert (
        visitor.post(address("/admin/login/"), form | {"csrfmiddlewaretoken": token}, headers=foreign).status_code
        == 403
    )
    own = {"Referer": address("/admin/login/")}
    answer = visitor.post(
        address("/admin/login/"),
        form | {"csrfmiddlewaretoken": token},
        headers=own,
        allow_redirects=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/tenants/tenant/")
    assert all(cookie.secure for cookie in visitor.cookies)
    token = next(cookie.value for cookie in visitor.cookies if cookie.name.endswith("csrftoken"))
    large = {"csrfmiddlewaretoken": token, "name": "x" * 1_000_000}
    assert (
        visitor.post(address("/admin/tenants/tenant/add/"), large, headers=own, timeout=TIMEOUT_SECONDS).status_code
        != 413
    )


def test_static_files_are_cached_and_compressed_answers_are_whole(visitor):
    answer = visitor.get(
        address("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"), timeout=TIMEOUT_SECONDS
    )
    assert (answer.status_code, "max-age" in answer.headers["Cache-Control"]) == (200, True)
    assert len(answer.content) > 1_000_000


def test_visitor_learns_the_status_only(visitor):
    assert visitor.get(address("/health/ready/"), timeout=TIMEOUT_SECONDS).json() == {"status": "unavailable"}
    token = {"Authorization": "Bearer metrics-token", "X-Forwarded-For": "127.0.0.1"}
    assert "workers" in visitor.get(address("/health/ready/"), headers=token, timeout=TIMEOUT_SECONDS).json()


def test_plain_http_leads_to_https(nginx):
    answer = requests.get(
        f"http://127.0.0.1:{nginx.plain_port}/admin/?a=1",
        headers={"Host": HOST},
        allow_redirects=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert (answer.status_code, answer.headers["Location"]) == (301, address("/admin/?a=1"))


def test_logs_have_neither_hooks_nor_queries(server, nginx, visitor):
    secret = server.hook.split("/")[3]
    visitor.get(address(f"{server.hook}call_end/?numa=79990000001"), timeout=TIMEOUT_SECONDS)
    visitor.get(address(f"/activate/{secret}/"), timeout=TIMEOUT_SECONDS)
    visitor.get(address(f"/reconnect/{secret}/"), timeout=TIMEOUT_SECONDS)
    visitor.get(address(f"/records/{secret}/?clientId=c0ffee"), timeout=TIMEOUT_SECONDS)
    logged = {"/hooks/uis/***/call_end/", "/activate/***/", "/reconnect/***/", "/records/***/"}
    log = nginx.log_with(logged)
    for hidden in (secret, "79990000001", "c0ffee"):
        assert hidden not in log


def test_stalled_clients_are_dropped_and_too_many_of_one_address_refused(nginx, visitor):
    half = b"GET / HTTP/1.1\r\nHost: con"
    with connected(nginx.plain_port, [SlowClient(half) for _client in range(90)]) as clients:
        assert visitor.get(address("/health/live/"), timeout=5).status_code == 200
        # Each waits until nginx has dropped it.
        assert {client.status() for client in clients} <= {"", "408"}
    context = ssl.create_default_context(cafile=nginx.certificate)
    head = f"POST /language/ HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n\r\nx".encode()
    open_ones = []
    try:
        for _connection in range(105):
            plain = socket.create_connection(("127.0.0.1", nginx.port), timeout=TIMEOUT_SECONDS)
            open_ones.append(context.wrap_socket(plain, server_hostname=HOST))
            open_ones[-1].sendall(head)
        assert read_all(open_ones[-1])[9:12] == b"429"
        assert visitor.get(address("/health/live/"), timeout=5).status_code == 200
    finally:
        for one in open_ones:
            one.close()
