"""X-Forwarded-… headers are accepted from trusted networks only."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from connector_project.core.middleware import TrustedProxies

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
