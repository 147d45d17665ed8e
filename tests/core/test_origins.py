"""URLs are parsed the way the library that sends requests to them does it."""

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
def test_origin_is_where_would_be_asked(url, origin):
    assert origins.origin(url) == origin


def test_backslash_is_read_as_the_sender_reads_it():
    assert origins.origin("https://evil.example.com\\@app.uiscom.ru/")[1] != "app.uiscom.ru"


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "https://host/b"),
        ("//other/b", "https://other/b"),
        ("https://other/", "https://other/"),
        ("b", "https://host/a/b"),
        ("https://[::1", ""),
    ],
)
def test_redirect_leads_somewhere(location, leads_to):
    assert origins.joined("https://host/a/", location) == leads_to
