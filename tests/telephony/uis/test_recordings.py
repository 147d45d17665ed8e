"""Recordings at UIS: whose hosts those are, and what its answers mean."""

import pytest
import responses

from connector_project.core import http_client, http_range
from telephony.uis import recordings
from telephony.uis.recordings import fetch, is_uis_url

URL = "https://app.uiscom.ru/system/media/talk/3960000001/0123456789abcdef0123456789abcdef/"
BODY = bytes(range(200))


def test_address_of_a_talk():
    found = recordings.talk_url("https://app.uiscom.ru", 3960000001, "0123456789abcdef0123456789abcdef")
    assert found == URL


@pytest.mark.parametrize(
    ("url", "is_theirs"),
    [
        (URL, True),
        ("https://media.comagic.ru/1/2", True),
        ("https://app.callgear.com/", True),
        ("https://a.b.novofon.ru/", True),
        ("https://APP.UISCOM.RU/", True),
        ("https://app.callgear.ae/x", True),  # named for the account
        ("http://127.0.0.1:8001/uis/media/x", True),  # named by the operator
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
        ("//app.uiscom.ru/", False),
        ("file:///etc/passwd", False),
        ("https://169.254.169.254/", False),
        ("", False),
    ],
)
def test_only_hosts_of_uis_are_its_own(url, is_theirs):
    own = {("https", "app.callgear.ae", 443), ("http", "127.0.0.1", 8001)}
    assert is_uis_url(url, own=own) is is_theirs


@pytest.fixture
def answers():
    """Have UIS answer with this."""
    with responses.RequestsMock() as wire:

        def answer(status=200, body=BODY, kind="audio/mpeg", length=True, **headers):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            told = {"Content-Length": str(len(body))} if length else {}
            wire.get(URL, body=body, status=status, content_type=kind, headers=told | named)
            return wire

        yield answer


def heard(asked="", *, at_most=100):
    sound = fetch(URL, requested_range=http_range.parse_range(asked), at_most=at_most, is_theirs=lambda _url: True)
    read = b"".join(sound)
    sound.close()
    return sound, read


@pytest.mark.parametrize(
    ("asked", "header", "part"),
    [
        ("bytes=0-", None, "bytes 0-99/200"),
        ("bytes=5-9", None, "bytes 5-9/200"),
        ("bytes=150-", None, "bytes 150-199/200"),
        ("bytes=-10", None, "bytes 190-199/200"),
        ("bytes=-150", None, "bytes 50-149/200"),
    ],
)
def test_part_is_cut_here_where_uis_sends_the_whole(answers, asked, header, part):
    answers()
    sound, read = heard(asked)
    assert str(sound.part) == part
    assert read == BODY[sound.part.first : sound.part.last + 1]
    assert sound.length == len(read)


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-99"])
def test_part_is_passed_on_where_uis_cuts(answers, asked):
    wire = answers(206, BODY[:100], Content_Range="bytes 0-99/200")
    sound, read = heard(asked)
    assert (str(sound.part), sound.size, read) == ("bytes 0-99/200", 200, BODY[:100])
    assert wire.calls[0].request.headers["Range"] == "bytes=0-99"


def test_end_of_a_file_that_is_too_much_is_begun(answers):
    answers(206, BODY[50:], Content_Range="bytes 50-199/200")
    sound, read = heard("bytes=-150")
    assert (str(sound.part), read) == ("bytes 50-149/200", BODY[50:150])


@pytest.mark.parametrize("told", ["bytes 10-99/200", "bytes 0-99/*", "nonsense", ""])
def test_other_part_than_was_asked_for_is_a_fault(answers, told):
    answers(206, BODY[:100], Content_Range=told)
    with pytest.raises(http_client.UnexpectedReply):
        heard("bytes=0-99")


@pytest.mark.parametrize(("told", "size"), [("bytes */200", 200), ("", None)])
def test_part_outside_is_empty(answers, told, size):
    answers(416, b"", Content_Range=told)
    sound = fetch(URL, requested_range=http_range.parse_range("bytes=900-"), at_most=100, is_theirs=lambda _url: True)
    assert (sound.is_empty, sound.size) == (True, size)
    sound.close()


def test_whole_of_unknown_size_comes_as_it_is(answers):
    answers(length=False)
    sound, read = heard("bytes=0-")
    assert (sound.part, sound.length, read) == (None, None, BODY)


@pytest.mark.parametrize(
    ("status", "kind", "fault", "code"),
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
def test_answer_without_a_recording_is_sorted(answers, status, kind, fault, code):
    answers(status, kind=kind)
    with pytest.raises(fault) as raised:
        heard()
    assert (type(raised.value), raised.value.code) == (fault, code)
    assert "http" not in str(raised.value)


def test_empty_recording_is_none(answers):
    answers(200, b"")
    with pytest.raises(http_client.RemoteRejected) as raised:
        heard()
    assert raised.value.code == recordings.GONE


def test_packed_recording_is_not_passed_on(answers):
    answers(Content_Encoding="br")
    with pytest.raises(http_client.RemoteRejected):
        heard()


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "binary/octet-stream"])
def test_recording_of_a_kind_not_told_is_an_mp3(answers, kind):
    answers(kind=kind)
    assert heard()[0].kind == "audio/mpeg"


def test_recording_that_ends_too_soon_is_no_whole_one(answers):
    answers(206, BODY[:50], length=False, Content_Range="bytes 0-99/200")
    with pytest.raises(http_client.RemoteUnavailable):
        heard("bytes=0-99")


def test_part_may_begin_several_reads_into_the_recording():
    class Source:
        reads = [b"ab", b"cd", b"ef", b""]

        def read(self):
            return self.reads.pop(0)

    sound = recordings.RecordingStream(Source(), kind="audio/mpeg", size=2).skip(3)
    assert [*sound] == [b"d", b"e"]


def test_closing_tells_once():
    closed = []

    class Source:
        def close(self):
            closed.append("source")

    sound = recordings.RecordingStream(Source(), kind="audio/mpeg", size=1)
    sound.on_close = lambda: closed.append("place")
    sound.close()
    sound.close()
    assert closed.count("place") == 1
