"""URLs are parsed as by the library that sends the requests."""

import pytest

from connector_project.core import origins


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://app.uiscom.ru/x", ("https", "app.uiscom.ru", 443)),
        ("HTTPS://APP.uiscom.ru:443/", ("https", "app.uiscom.ru", 443)),
        ("https://app.uiscom.ru:8443/", ("https", "app.uiscom.ru", 8443)),
        ("http://127.0.0.1:8001/uis/media", ("http", "127.0.0.1", 8001)),
        ("http://host/", ("http", "host", 80)),
        ("https://app.uiscom.ru@evil.example.com/", origins.INVALID),
        ("https://user:word@app.uiscom.ru/", origins.INVALID),
        ("ftp://app.uiscom.ru/", origins.INVALID),
        ("//app.uiscom.ru/", origins.INVALID),
        ("app.uiscom.ru", origins.INVALID),
        ("https:///x", origins.INVALID),
        ("https://host:port/", origins.INVALID),
        ("https://[::1", origins.INVALID),
        ("", origins.INVALID),
    ],
)
def test_origin_is_where_the_request_would_go(url, origin):
    assert origins.origin(url) == origin


def test_origin_with_a_backslash_is_the_requested_host():
    assert origins.origin("https://evil.example.com\\@app.uiscom.ru/")[1] != "app.uiscom.ru"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "https://host/b"),
        ("//other/b", "https://other/b"),
        ("https://other/", "https://other/"),
        ("b", "https://host/a/b"),
        ("https://[::1", ""),
    ],
)
def test_joined_returns_the_redirect_target(location, target):
    assert origins.joined("https://host/a/", location) == target
