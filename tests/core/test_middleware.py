"""X-Forwarded-… headers are accepted from trusted networks only."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from connector_project.core.middleware import TrustedProxies, is_local

PROXY, PROXY_2, CLIENT, UNTRUSTED = "10.0.0.1", "10.0.0.2", "203.0.113.10", "198.51.100.7"
NETWORKS = ["10.0.0.0/8", "fd00::/8"]


@pytest.fixture
def send_through(settings):
    """Send a request through the middleware; return what the views see of it."""

    def send(sender: str, forwarded: str | None = None, *, networks: list[str] = NETWORKS) -> tuple[str, bool]:
        settings.TRUSTED_PROXIES = networks
        received = []
        headers = {"X-Forwarded-Proto": "https"} | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
        request = RequestFactory().get("/", REMOTE_ADDR=sender, headers=headers)

        def view(request):
            received.append(request)
            return HttpResponse("ok")

        assert TrustedProxies(view)(request).content == b"ok"
        given = received[0]
        assert ("HTTP_X_FORWARDED_FOR" in given.META) is (forwarded is not None and given.is_secure())
        return given.META["REMOTE_ADDR"], given.is_secure()

    return send


@pytest.mark.parametrize(
    ("sender", "forwarded", "expected"),
    [
        (PROXY, CLIENT, (CLIENT, True)),
        (PROXY, f"{CLIENT}, {PROXY_2}", (CLIENT, True)),
        (
            PROXY,
            f"{UNTRUSTED}, {CLIENT}",
            (CLIENT, True),
        ),  # what precedes the last untrusted address may be forged
        (PROXY, f"{UNTRUSTED},{CLIENT},{PROXY_2},{PROXY}", (CLIENT, True)),
        (PROXY, f" {CLIENT} , ", (CLIENT, True)),
        (PROXY, PROXY_2, (PROXY, True)),
        (PROXY, "", (PROXY, True)),
        (PROXY, None, (PROXY, True)),
        (PROXY, "2001:db8::5", ("2001:db8::5", True)),
        (PROXY, f"{CLIENT}:5678", (CLIENT, True)),
        (PROXY, f"{CLIENT}:5678, {PROXY_2}:443", (CLIENT, True)),
        (PROXY, "[2001:db8::5]:5678", ("2001:db8::5", True)),
        (PROXY, "[2001:db8::5]", ("2001:db8::5", True)),
        ("fd00::1", CLIENT, (CLIENT, True)),
        (UNTRUSTED, CLIENT, (UNTRUSTED, False)),
        (UNTRUSTED, None, (UNTRUSTED, False)),
        ("2001:db8::1", CLIENT, ("2001:db8::1", False)),
        ("", CLIENT, ("", False)),  # a unix socket has no address
        ("nonsense", CLIENT, ("nonsense", False)),
    ],
)
def test_forwarded_headers_count_from_trusted_networks_only(send_through, sender, forwarded, expected):
    assert send_through(sender, forwarded) == expected


def test_forwarded_headers_are_ignored_by_default(send_through):
    assert send_through(PROXY, CLIENT, networks=[]) == (PROXY, False)


@pytest.mark.parametrize(
    ("sender", "headers", "expected"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        (PROXY, {}, True),
        (f"::ffff:{PROXY}", {}, True),
        (PROXY, {"X-Forwarded-For": PROXY_2}, True),
        (PROXY, {"X-Forwarded-For": CLIENT}, False),
        (PROXY, {"X-Forwarded-For": f"{PROXY_2}, {CLIENT}"}, False),
        (PROXY, {"X-Forwarded-For": "127.0.0.1"}, False),
        (PROXY, {"X-Forwarded-For": "nonsense"}, False),
        (UNTRUSTED, {}, False),
        (UNTRUSTED, {"X-Forwarded-For": "127.0.0.1"}, False),
        (UNTRUSTED, {"X-Forwarded-For": PROXY}, False),
        # A proxy on this machine that TRUSTED_PROXIES does not list: the visitor may be anybody.
        ("127.0.0.1", {"X-Forwarded-For": CLIENT}, False),
        ("127.0.0.1", {"X-Real-IP": CLIENT}, False),
        ("127.0.0.1", {"Forwarded": f"for={CLIENT}"}, False),
        ("", {}, False),
        ("nonsense", {}, False),
    ],
)
def test_visitor_is_local_only_without_a_stranger_behind(settings, sender, headers, expected):
    settings.TRUSTED_PROXIES = NETWORKS
    found = []
    request = RequestFactory().get("/", REMOTE_ADDR=sender, headers=headers)
    TrustedProxies(lambda request: found.append(is_local(request)) or HttpResponse())(request)
    assert found == [expected]
