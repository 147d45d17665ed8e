"""Recordings at UIS: which hosts belong to UIS, and what its answers mean."""

import pytest
import responses

from connector_project.core import http_client, http_range
from telephony.uis import recordings
from telephony.uis.recordings import fetch, is_uis_url

URL = "https://app.uiscom.ru/system/media/talk/3960000001/0123456789abcdef0123456789abcdef/"
BODY = bytes(range(200))


def test_talk_url_contains_host_session_and_recording_id():
    found = recordings.talk_url("https://app.uiscom.ru", 3960000001, "0123456789abcdef0123456789abcdef")
    assert found == URL


@pytest.mark.parametrize(
    ("url", "is_uis"),
    [
        (URL, True),
        ("https://media.comagic.ru/1/2", True),  # the same firm
        ("https://a.b.uiscom.ru/", True),
        ("https://APP.UISCOM.RU/", True),
        ("https://app.uiscom.ru:443/x?y=1&z=%20#t", True),
        ("https://app.callgear.com/", False),  # another brand
        ("https://media.novofon.ru/1/2", False),
        ("https://app.callgear.ae/x", True),  # the media host of the account
        ("http://127.0.0.1:8001/uis/media/x", True),  # configured by the operator
        ("https://uiscom.ru/", False),
        ("https://evil-uiscom.ru/", False),
        ("https://app.uiscom.ru.evil.example.com/", False),
        ("https://app.uiscom.ru:8443/", False),
        ("http://app.uiscom.ru/", False),
        ("http://app.callgear.ae/", False),
        ("https://x.callgear.ae/", False),
        ("http://127.0.0.1:8002/", False),
        ("https://127.0.0.1:8001/", False),
        ("https://app.uiscom.ru@evil.example.com/", False),
        ("https://evil.example.com\\@app.uiscom.ru/", False),
        ("https://evil.example.com#@app.uiscom.ru/", False),
        ("https://evil.example.com?.uiscom.ru", False),
        ("https://user@app.uiscom.ru/", False),
        ("https://@app.uiscom.ru/", False),
        ("https://:443@app.uiscom.ru/", False),
        ("https://app.uiscom.ru./", False),
        ("https://app.uiscom.ru\u3002evil.example.com/", False),
        ("https://app\uff0euiscom\uff0eru/", False),
        ("https://evil.example.com%2f.uiscom.ru/", False),
        ("https://evil.example.com%23.uiscom.ru/", False),
        ("https://app.uiscom.ru\\.evil.example.com/", False),
        ("https://app.uiscom.ru/a b", False),
        ("https://app.uiscom.ru/\r\nX-Evil: 1", False),
        (" https://app.uiscom.ru/", False),
        ("https:app.uiscom.ru/", False),
        ("https:///app.uiscom.ru/", False),
        ("javascript:alert(1)//https://app.uiscom.ru/", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:audio/mpeg;base64,AAAA", False),
        ("ftp://app.uiscom.ru/", False),
        ("//app.uiscom.ru/", False),
        ("file:///etc/passwd", False),
        ("https://169.254.169.254/", False),
        ("", False),
    ],
)
def test_only_hosts_of_uis_are_accepted(url, is_uis):
    own = {("https", "app.callgear.ae", 443), ("http", "127.0.0.1", 8001)}
    assert is_uis_url(url, brand="uis", own=own) is is_uis


@pytest.mark.parametrize(
    ("brand", "hosts"),
    [
        ("uis", {"app.uiscom.ru", "app.comagic.ru"}),
        ("comagic", {"app.uiscom.ru", "app.comagic.ru"}),
        ("callgear", {"app.callgear.com", "app.callgear.ae"}),
        ("novofon", {"app.novofon.ru"}),
    ],
)
def test_each_brand_has_its_hosts(brand, hosts):
    every = {f"app.{domain}" for domains in recordings.DOMAINS.values() for domain in domains}
    assert {host for host in every if is_uis_url(f"https://{host}/1", brand=brand, own=set())} == hosts


def test_record_id_cannot_leave_its_place_in_the_url():
    assert (
        recordings.talk_url("https://app.uiscom.ru", 1, "../x?y")
        == "https://app.uiscom.ru/system/media/talk/1/..%2Fx%3Fy/"
    )


@pytest.fixture
def answers():
    """Set the answer of UIS."""
    with responses.RequestsMock() as wire:

        def answer(status=200, body=BODY, kind="audio/mpeg", length=True, **headers):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            length_header = {"Content-Length": str(len(body))} if length else {}
            wire.get(URL, body=body, status=status, content_type=kind, headers=length_header | named)
            return wire

        yield answer


def fetch_all(range_header="", *, at_most=100):
    """Fetch a recording; return the stream and its bytes."""
    stream = fetch(
        URL, requested_range=http_range.parse_range(range_header), at_most=at_most, is_theirs=lambda _url: True
    )
    read = b"".join(stream)
    stream.close()
    return stream, read


@pytest.mark.parametrize(
    ("range_header", "header", "part"),
    [
        ("bytes=0-", None, "bytes 0-99/200"),
        ("bytes=5-9", None, "bytes 5-9/200"),
        ("bytes=150-", None, "bytes 150-199/200"),
        ("bytes=-10", None, "bytes 190-199/200"),
        ("bytes=-150", None, "bytes 50-149/200"),
    ],
)
def test_range_is_cut_here_when_uis_sends_the_whole(answers, range_header, header, part):
    answers()
    stream, read = fetch_all(range_header)
    assert str(stream.part) == part
    assert read == BODY[stream.part.first : stream.part.last + 1]
    assert stream.length == len(read)


@pytest.mark.parametrize("range_header", ["bytes=0-", "bytes=0-99"])
def test_range_is_passed_on_when_uis_cuts_it(answers, range_header):
    wire = answers(206, BODY[:100], Content_Range="bytes 0-99/200")
    stream, read = fetch_all(range_header)
    assert (str(stream.part), stream.size, read) == ("bytes 0-99/200", 200, BODY[:100])
    assert wire.calls[0].request.headers["Range"] == "bytes=0-99"


def test_suffix_longer_than_the_limit_is_served_from_its_start(answers):
    answers(206, BODY[50:], Content_Range="bytes 50-199/200")
    stream, read = fetch_all("bytes=-150")
    assert (str(stream.part), read) == ("bytes 50-149/200", BODY[50:150])


@pytest.mark.parametrize("content_range", ["bytes 10-99/200", "bytes 0-99/*", "nonsense", ""])
def test_other_range_than_requested_is_an_unexpected_reply(answers, content_range):
    answers(206, BODY[:100], Content_Range=content_range)
    with pytest.raises(http_client.UnexpectedReply):
        fetch_all("bytes=0-99")


@pytest.mark.parametrize(("content_range", "size"), [("bytes */200", 200), ("", None)])
def test_range_beyond_the_end_is_empty(answers, content_range, size):
    answers(416, b"", Content_Range=content_range)
    stream = fetch(URL, requested_range=http_range.parse_range("bytes=900-"), at_most=100, is_theirs=lambda _url: True)
    assert (stream.is_empty, stream.size) == (True, size)
    stream.close()


def test_recording_of_unknown_size_is_returned_whole(answers):
    answers(length=False)
    stream, read = fetch_all("bytes=0-")
    assert (stream.part, stream.length, read) == (None, None, BODY)


@pytest.mark.parametrize(
    ("status", "kind", "error", "code"),
    [
        (404, "text/html", http_client.RemoteRejected, recordings.GONE),
        (410, "text/html", http_client.RemoteRejected, recordings.GONE),
        (401, "text/html", http_client.RemoteRejected, recordings.REFUSED),
        (403, "audio/mpeg", http_client.RemoteRejected, recordings.REFUSED),
        (200, "text/html; charset=utf-8", http_client.RemoteRejected, recordings.REFUSED),
        (200, "image/svg+xml", http_client.RemoteRejected, recordings.REFUSED),
        (429, "text/html", http_client.RemoteUnavailable, ""),
        (500, "text/html", http_client.RemoteUnavailable, ""),
        (503, "audio/mpeg", http_client.RemoteUnavailable, ""),
    ],
)
def test_answer_without_a_recording_raises_the_matching_error(answers, status, kind, error, code):
    answers(status, kind=kind)
    with pytest.raises(error) as raised:
        fetch_all()
    assert (type(raised.value), raised.value.code) == (error, code)
    assert "http" not in str(raised.value)


def test_empty_recording_is_reported_as_gone(answers):
    answers(200, b"")
    with pytest.raises(http_client.RemoteRejected) as raised:
        fetch_all()
    assert raised.value.code == recordings.GONE


def test_compressed_recording_is_rejected(answers):
    answers(Content_Encoding="br")
    with pytest.raises(http_client.RemoteRejected):
        fetch_all()


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "binary/octet-stream"])
def test_recording_without_a_known_content_type_is_mp3(answers, kind):
    answers(kind=kind)
    assert fetch_all()[0].kind == "audio/mpeg"


def test_truncated_recording_raises_remote_unavailable(answers):
    answers(206, BODY[:50], length=False, Content_Range="bytes 0-99/200")
    with pytest.raises(http_client.RemoteUnavailable):
        fetch_all("bytes=0-99")


def test_skip_may_span_several_reads():
    class Source:
        reads = [b"ab", b"cd", b"ef", b""]

        def read(self):
            return self.reads.pop(0)

    stream = recordings.RecordingStream(Source(), kind="audio/mpeg", size=2, skipped=3)
    assert [*stream] == [b"d", b"e"]


def test_close_callback_runs_once():
    closed = []

    class Source:
        def close(self):
            closed.append("source")

    stream = recordings.RecordingStream(Source(), kind="audio/mpeg", size=1)
    stream.on_close = lambda: closed.append("callback")
    stream.close()
    stream.close()
    assert closed.count("callback") == 1
