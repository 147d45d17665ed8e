"""X-Forwarded-… of trusted networks only."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from connector_project.core.middleware import TrustedProxies

PROXY, INNER, CLIENT, LIAR = "10.0.0.1", "10.0.0.2", "203.0.113.10", "198.51.100.7"
NETWORKS = ["10.0.0.0/8", "fd00::/8"]


@pytest.fixture
def passed(settings):
    """Send a request through the middleware; return what the views see of it."""

    def send(sender: str, forwarded: str | None = None, *, networks: list[str] = NETWORKS) -> tuple[str, bool]:
        settings.TRUSTED_PROXIES = networks
        seen = []
        headers = {"X-Forwarded-Proto": "https"} | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
        request = RequestFactory().get("/", REMOTE_ADDR=sender, headers=headers)

        def view(given):
            seen.append(given)
            return HttpResponse("ok")

        assert TrustedProxies(view)(request).content == b"ok"
        given = seen[0]
        assert ("HTTP_X_FORWARDED_FOR" in given.META) is (forwarded is not None and given.is_secure())
        return given.META["REMOTE_ADDR"], given.is_secure()

    return send


@pytest.mark.parametrize(
    ("sender", "forwarded", "expected"),
    [
        (PROXY, CLIENT, (CLIENT, True)),
        (PROXY, f"{CLIENT}, {INNER}", (CLIENT, True)),
        (
            PROXY,
            f"{LIAR}, {CLIENT}",
            (CLIENT, True),
        ),  # anyone can have written what precedes the last untrusted address
        (PROXY, f"{LIAR},{CLIENT},{INNER},{PROXY}", (CLIENT, True)),
        (PROXY, f" {CLIENT} , ", (CLIENT, True)),
        (PROXY, INNER, (PROXY, True)),
        (PROXY, "", (PROXY, True)),
        (PROXY, None, (PROXY, True)),
        (PROXY, "2001:db8::5", ("2001:db8::5", True)),
        ("fd00::1", CLIENT, (CLIENT, True)),
        (LIAR, CLIENT, (LIAR, False)),
        (LIAR, None, (LIAR, False)),
        ("2001:db8::1", CLIENT, ("2001:db8::1", False)),
        ("", CLIENT, ("", False)),  # a unix socket has no address
        ("nonsense", CLIENT, ("nonsense", False)),
    ],
)
def test_sender_is_believed_from_trusted_networks_only(passed, sender, forwarded, expected):
    assert passed(sender, forwarded) == expected


def test_nobody_is_believed_by_default(passed):
    assert passed(PROXY, CLIENT, networks=[]) == (PROXY, False)
