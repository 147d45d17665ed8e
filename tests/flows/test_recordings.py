"""Recordings by our own link: from the upload to the CRM's player, and every reason why nothing is played."""

import re
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone, translation
from django.utils.html import escape

from connector_project.core import logging as core_logging
from telephony.models import AccessLogEntry, Call, RecordingLink
from telephony.recordings import links, stream
from telephony.recordings.unavailable import UnavailableReason
from tenants.models import AuditLogEntry, Tenant, UisConnection
from tenants.rules import RecordingKind
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import uis_recordings
from tests.flows.conftest import SLOTS
from tests.rules import publish_rules, publish_rules_for_all

pytestmark = [pytest.mark.one_database, pytest.mark.usefixtures("slots")]

OURS = RecordingKind.OURS


@pytest.fixture
def wire(request):
    """All outgoing requests."""
    return request.getfixturevalue("_wire")


@pytest.fixture
def own_links(tenant):
    """Set the client's rule to send our own links."""
    publish_rules(tenant, recording_link=OURS)


@pytest.fixture
def talk(pbx):
    """A talk of 20 seconds with Ivan that has just ended."""
    return pbx.call(
        contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=timezone.now() - timedelta(seconds=40)
    )


@pytest.fixture
def transfer(pbx):
    """12 seconds with Ivan, then 9 with Petr."""
    began = timezone.now() - timedelta(seconds=60)
    return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 12), (PETR, 9)])


@pytest.fixture
def link(own_links, crm, notify, talk):
    """The path of the link in the CRM."""
    notify(talk.notification("call_end"))
    return path_of(crm.calls[0])


@pytest.fixture
def play(client):
    """Request as a player does, read to the end, and return the response with all its bytes."""
    return lambda path, **headers: read(client.get(path, headers=headers))


def path_of(call):
    return urlsplit(call["recordUrl"]).path


def read(answer):
    answer.body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return answer


def audio_of(session, number=0):
    """Return the audio that UIS recorded of a talk."""
    return uis_recordings.audio(session.records[number], uis_recordings.talked(session, session.records[number]))


def replace_recordings(session, *, is_gone=False):
    """Change the id of a call's recording at UIS, or remove it."""
    for leg in session.talk_legs:
        leg.records = [] if is_gone else [uuid.uuid4().hex]
    session.legs[0].records = session.records


# --- which link the CRM gets


def test_crm_gets_the_uis_link_by_default(notify, crm, tenant, talk):
    notify(talk.notification("call_end"))
    assert crm.calls[0]["recordUrl"] == talk.link(talk.records[0])
    assert not RecordingLink.objects.exists()


def test_crm_gets_our_link_when_the_rule_says_so(link, crm, talk, stranger):
    url = crm.calls[0]["recordUrl"]
    assert url.startswith(f"{settings.PUBLIC_URL}/records/")
    assert url.endswith("/")
    assert len(url) < 255
    token = link.removeprefix("/records/").rstrip("/")
    assert len(token) * 6 >= 160
    assert str(talk.session_id) not in url
    assert talk.records[0] not in url


def test_token_is_not_stored_in_the_database(link):
    token = link.removeprefix("/records/").rstrip("/")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM telephony_recordinglink")
        (row,) = cursor.fetchall()
    assert not any(token in str(value) for value in row)


def test_call_without_a_recording_gets_no_link(own_links, notify, crm, pbx):
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert "recordUrl" not in crm.calls[0]
    assert not RecordingLink.objects.exists()


def test_call_gets_no_link_when_recordings_are_off(own_links, notify, crm, talk):
    publish_rules_for_all(send_recording=False)
    notify(talk.notification("call_end"))
    assert "recordUrl" not in crm.calls[0]
    assert not RecordingLink.objects.exists()


@pytest.mark.parametrize("kind", ["cut", "503"])
def test_repeated_upload_sends_the_same_link(own_links, notify, crm, crm_world, talk, later, play, kind):
    """The first answer was lost, or the upload was rejected: the link that the CRM has works."""
    crm_world.break_down(kind, times=2)
    notify(talk.notification("call_end"))
    for _minute in range(3):
        later(timedelta(minutes=1))
    assert Call.objects.get().state == Call.State.UPLOADED
    (stored,) = RecordingLink.objects.all()
    assert [path_of(call) for call in crm.calls] == [f"/records/{stored.token}/"]
    assert play(path_of(crm.calls[0])).body == audio_of(talk)


def test_two_concurrent_workers_create_one_link(own_links, notify, crm, talk, monkeypatch):
    real = links._known

    def query_too_early(calls):
        """Query just before another worker creates the link."""
        found = real(calls)
        if not found:
            RecordingLink.for_call(calls[0], now=timezone.now()).save()
        return found

    monkeypatch.setattr(links, "_known", query_too_early)
    notify(talk.notification("call_end"))
    (stored,) = RecordingLink.objects.all()
    assert path_of(crm.calls[0]) == f"/records/{stored.token}/"


@pytest.mark.slow
def test_links_of_a_batch_have_a_fixed_query_count(
    own_links, notify, run_queue, pbx, tenant, django_assert_num_queries
):
    for count in (1, 12):
        began = timezone.now() - timedelta(seconds=60)
        new = [pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 5)], started_at=began) for _call in range(count)]
        notify(*(call.notification("call_end") for call in new), works=False)
        run_queue()
        RecordingLink.objects.all().delete()
        batch = list(Call.objects.with_related())
        with django_assert_num_queries(2):
            links.addresses(batch, longest=255, now=timezone.now())
        with django_assert_num_queries(1):
            again = links.addresses(batch, longest=255, now=timezone.now())
        assert len(set(again.values())) == len(batch)


# --- the CRM's player


def test_recording_is_played(play, link, talk, uis_world, stranger):
    answer = play(link)
    assert (answer.status_code, answer.body) == (200, audio_of(talk))
    assert answer["Content-Type"] == "audio/mpeg"
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Length"] == str(len(audio_of(talk)))
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert not answer.cookies
    assert [request.host for request in uis_world.media.requests] == ["app.uiscom.ru"]


def test_head_request_returns_the_size_and_is_not_in_the_access_log(client, link, talk):
    answer = client.head(link)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer["Content-Length"], answer["Content-Type"]) == (str(len(audio_of(talk))), "audio/mpeg")
    assert answer["Accept-Ranges"] == "bytes"
    assert not AccessLogEntry.objects.exists()


@pytest.mark.parametrize("takes_ranges", [True, False], ids=["uis-serves-ranges", "we-cut"])
@pytest.mark.parametrize(
    ("requested", "first", "last"),
    [("0-1", 0, 1), ("500-", 500, None), ("-100", -100, None)],
)
def test_requested_range_is_played(play, link, talk, uis_world, takes_ranges, requested, first, last):
    uis_world.media.takes_ranges = takes_ranges
    answer = play(link, Range=f"bytes={requested}")
    body = audio_of(talk)
    first, last = first % len(body), len(body) - 1 if last is None else last
    assert (answer.status_code, answer.body) == (206, body[first : last + 1])
    assert answer["Content-Range"] == f"bytes {first}-{last}/{len(body)}"
    assert answer["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("takes_ranges", [True, False], ids=["uis-serves-ranges", "we-cut"])
def test_range_beyond_the_end_is_rejected_with_the_size(play, link, talk, uis_world, takes_ranges):
    uis_world.media.takes_ranges = takes_ranges
    answer = play(link, Range="bytes=9999999-")
    assert (answer.status_code, answer.body) == (416, b"")
    assert answer["Content-Range"] == f"bytes */{len(audio_of(talk))}"
    assert not AccessLogEntry.objects.exists()


@pytest.mark.parametrize("requested", ["bytes=0-1,5-9", "bytes=9-1"])
def test_invalid_or_multiple_range_returns_the_whole_recording(play, link, talk, requested):
    answer = play(link, Range=requested)
    assert (answer.status_code, answer.body) == (200, audio_of(talk))


@pytest.mark.slow
@pytest.mark.parametrize("takes_ranges", [True, False], ids=["uis-serves-ranges", "we-cut"])
def test_long_recording_is_served_in_consecutive_ranges(play, link, talk, uis_world, monkeypatch, takes_ranges):
    monkeypatch.setattr(stream, "MAX_PART_BYTES", 1000)
    uis_world.media.takes_ranges = takes_ranges
    received, size = b"", len(audio_of(talk))
    while len(received) < size:
        answer = play(link, Range=f"bytes={len(received)}-")
        assert answer["Content-Range"] == f"bytes {len(received)}-{min(len(received) + 999, size - 1)}/{size}"
        received += answer.body
    assert received == audio_of(talk)
    assert len(uis_world.media.requests) == -(-size // 1000)
    assert AccessLogEntry.objects.count() == 1


def test_recording_of_unknown_length_is_played_without_ranges(play, link, talk, uis_world):
    uis_world.media.takes_ranges = uis_world.media.sends_length = False
    answer = play(link, Range="bytes=0-")
    assert (answer.status_code, answer.body, answer["Accept-Ranges"]) == (200, audio_of(talk), "none")
    assert "Content-Length" not in answer


@pytest.mark.parametrize(
    ("received", "sent"), [("audio/x-wav", "audio/x-wav"), ("application/octet-stream", "audio/mpeg")]
)
def test_content_type_of_a_recording_is_passed_on(play, link, uis_world, received, sent):
    uis_world.media.content_type = received
    assert play(link)["Content-Type"] == sent


def test_transferred_call_is_played_as_one_recording(own_links, play, notify, crm, transfer, uis_world):
    notify(transfer.notification("call_end"))
    assert play(path_of(crm.calls[0])).body == uis_recordings.whole(transfer)
    assert [request.host for request in uis_world.media.requests] == ["media.uiscom.ru"]


def test_transferred_call_without_a_whole_recording_plays_its_owners_talk(
    own_links, play, notify, crm, transfer, uis_world
):
    notify(transfer.notification("call_end"))
    uis_world.media.deleted.add(transfer.records[0])  # the whole recording is found by its id, too
    assert play(path_of(crm.calls[0])).body == audio_of(transfer, 1)


def test_recording_of_a_paused_tenant_is_played(play, link, talk):
    Tenant.objects.update(is_paused=True)
    assert play(link).body == audio_of(talk)


@pytest.mark.parametrize("method", ["post", "put", "delete", "options"])
def test_other_methods_are_rejected(client, link, method):
    assert getattr(client, method)(link).status_code == 405


# --- links that play nothing


def assert_unavailable(answer, status, reason=None, *, language="en"):
    """Assert that nothing was played, and that the page shows the reason."""
    assert answer.status_code == status
    assert not answer.streaming
    text = answer.content.decode()
    assert "<h1>" in text
    if reason:
        with translation.override(language):
            assert escape(str(reason.label)) in text
    assert ("Retry-After" in answer) == (status == 503)


def test_unknown_token_is_not_found(client, link):
    unknown_page = client.get("/nothing/here/")
    for path in ("/records/x/", f"{link[:-2]}/", f"/records/{'A' * 43}/", f"/records/{'A' * 3000}/"):
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (404, unknown_page.content)


def test_revoked_link_plays_nothing_and_can_be_restored(client, play, link, talk, django_user_model):
    person = django_user_model.objects.create(username="anna")
    links.revoke(RecordingLink.objects.get(), by=person, now=timezone.now())
    assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 410, UnavailableReason.REVOKED)
    assert_unavailable(
        client.get(link, headers={"Accept-Language": "ru"}), 410, UnavailableReason.REVOKED, language="ru"
    )
    assert client.head(link).status_code == 410
    links.restore(RecordingLink.objects.select_related("tenant").get(), by=person, now=timezone.now())
    assert play(link).body == audio_of(talk)
    entries = AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "object_repr")
    assert list(entries) == [
        ("RECORDING_LINK_REVOKED", "anna", f"call {talk.session_id}"),
        ("RECORDING_LINK_RESTORED", "anna", f"call {talk.session_id}"),
    ]


def test_revoking_all_links_keeps_later_ones(client, play, link, crm, tenant, notify, pbx, stranger):
    links.revoke_all(tenant, now=timezone.now())
    assert client.get(link).status_code == 410
    newer = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 7)])
    notify(newer.notification("call_end"))
    assert play(path_of(crm.calls[1])).body == audio_of(newer)
    links.restore_all(tenant)
    assert play(link).status_code == 200


def test_restoring_all_links_keeps_single_revocations(client, link, tenant):
    links.revoke(RecordingLink.objects.get(), by=None, now=timezone.now())
    links.revoke_all(tenant, now=timezone.now())
    links.restore_all(tenant)
    assert client.get(link).status_code == 410


def test_one_of_all_revoked_links_can_be_restored(play, link, tenant, later, talk):
    links.revoke_all(tenant, now=timezone.now())
    later(timedelta(minutes=1))
    links.restore(RecordingLink.objects.select_related("tenant").get(), by=None, now=timezone.now())
    assert play(link).body == audio_of(talk)


def test_second_revocation_changes_nothing(link):
    for _attempt in range(2):
        links.revoke(RecordingLink.objects.get(), by=None, now=timezone.now())
    assert AuditLogEntry.objects.filter(action="RECORDING_LINK_REVOKED").count() == 1


def test_link_expires_after_its_lifetime(client, play, link, later):
    publish_rules_for_all(recording_days=3)
    later(timedelta(days=3) - timedelta(minutes=1))
    assert play(link).status_code == 200
    later(timedelta(minutes=1))
    assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 410, UnavailableReason.EXPIRED)
    publish_rules_for_all(recording_days=30)
    assert play(link).status_code == 200


def test_call_older_than_the_link_lifetime_gets_no_link(own_links, notify, crm, pbx):
    publish_rules_for_all(recording_days=3)
    began = timezone.now() - timedelta(days=4)
    notify(pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 5)], started_at=began).notification("call_end"))
    assert "recordUrl" not in crm.calls[0]


def test_links_of_an_offboarded_tenant_play_nothing_and_are_deleted(client, link, tenant, uis_world):
    from connector_project.operations.onboarding import offboarding

    offboarded = offboarding.offboard(tenant, now=timezone.now())
    uis_world.media.requests.clear()
    assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 410, UnavailableReason.OFFBOARDED)
    assert uis_world.media.requests == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE telephony_recordinglink SET token = 'not a token of ours'")
    offboarding.delete_expired(now=offboarded.offboarded_at + timedelta(days=31))
    assert (RecordingLink.objects.count(), AccessLogEntry.objects.count()) == (0, 0)
    assert client.get(link).status_code == 404


def test_access_log_is_deleted_with_the_tenant(play, link, tenant):
    from connector_project.operations.onboarding import offboarding

    play(link)
    offboarded = offboarding.offboard(tenant, now=timezone.now())
    assert AccessLogEntry.objects.count() == 1
    offboarding.delete_expired(now=offboarded.offboarded_at + timedelta(days=31))
    assert AccessLogEntry.objects.count() == 0


def test_links_play_nothing_after_recordings_are_turned_off(client, link):
    publish_rules_for_all(send_recording=False)
    assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 410, UnavailableReason.OFF)


# --- UIS


def test_changed_recording_ids_are_fetched_once(play, link, talk, uis_world):
    replace_recordings(talk)
    uis_world.requests.clear()
    assert play(link).body == audio_of(talk)
    assert [request.method for request in uis_world.requests] == ["get.call_legs_report"]
    assert play(link).body == audio_of(talk)
    assert len(uis_world.requests) == 1


def test_missing_recording_is_fetched_once_in_ten_minutes(client, play, link, talk, uis_world, later):
    replace_recordings(talk, is_gone=True)
    uis_world.requests.clear()
    for _click in range(3):
        assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 410, UnavailableReason.MISSING)
    assert [request.method for request in uis_world.requests] == ["get.call_legs_report", "get.calls_report"]
    later(timedelta(minutes=9))
    uis_world.requests.clear()
    assert client.get(link).status_code == 410
    assert uis_world.requests == []
    replace_recordings(talk)
    later(timedelta(minutes=2))
    assert play(link).body == audio_of(talk)
    assert Call.objects.get().recording_missing_since is None


def test_recording_is_played_with_a_denied_key_while_its_id_is_known(client, play, link, talk, pbx, uis_world):
    pbx.token_state = "blocked"
    UisConnection.objects.get().suspend("access_token_blocked", "no", now=timezone.now())
    assert play(link).body == audio_of(talk)
    replace_recordings(talk)
    uis_world.requests.clear()
    assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 503, UnavailableReason.DENIED)
    assert uis_world.requests == []


def test_key_rejected_while_fetching_ids_suspends_the_connection(client, link, talk, pbx, run_queue):
    pbx.token_state = "expired"
    replace_recordings(talk)
    assert_unavailable(client.get(link), 503)
    run_queue()
    assert UisConnection.objects.get(tenant__slug="romashka").denied_code == "access_token_expired"


def test_uis_is_not_requested_while_the_circuit_breaker_is_open(client, link, talk, uis_world):
    replace_recordings(talk)
    UisConnection.objects.update(consecutive_failures=5, retry_at=timezone.now() + timedelta(minutes=3))
    uis_world.requests.clear()
    assert_unavailable(client.get(link), 503)
    assert uis_world.requests == []


def test_used_up_points_return_503(client, link, talk, pbx):
    replace_recordings(talk)
    pbx.day_limit = 0
    assert_unavailable(client.get(link), 503)
    assert Call.objects.get().recording_missing_since is None


@pytest.mark.parametrize("kind", ["500", "503", "timeout", "refused", "cut"])
def test_unavailable_media_host_returns_503_and_works_later(client, play, link, talk, uis_world, kind):
    uis_world.break_down(kind, method="media", times=1)
    answer = client.get(link, headers={"Accept-Language": "en"})
    assert_unavailable(answer, 503, UnavailableReason.UNAVAILABLE)
    assert answer["Retry-After"] == "60"
    assert not AccessLogEntry.objects.exists()
    assert play(link).body == audio_of(talk)


@pytest.mark.parametrize(
    "address", ["https://evil.example.com/a.mp3", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"]
)
def test_redirect_to_a_foreign_host_is_never_followed(client, link, uis_world, wire, address):
    uis_world.media.redirects_to = address
    before = len(wire.calls)
    assert_unavailable(client.get(link, headers={"Accept-Language": "en"}), 503, UnavailableReason.REFUSED)
    requested = {urlsplit(str(call.request.url)).hostname for call in wire.calls[before:]}
    assert requested == {"app.uiscom.ru", "dataapi.uiscom.ru"}


def test_redirect_within_uis_is_followed(play, link, talk, uis_world, monkeypatch):
    real = uis_world.media._answer
    moved = talk.link(talk.records[0]).replace("app.uiscom.ru", "app.comagic.ru")

    def answer(method, host, path, headers):
        if host == "app.uiscom.ru":
            return uis_recordings.Answer(302, {"Location": moved}, "")
        return real(method, "app.uiscom.ru", path, headers)

    monkeypatch.setattr(uis_world.media, "_answer", answer)
    assert play(link, Range="bytes=0-9").body == audio_of(talk)[:10]
    assert [request.range for request in uis_world.media.requests] == ["bytes=0-9"] * 2


def test_endless_redirects_are_aborted(client, link, talk, uis_world):
    uis_world.media.redirects_to = talk.link(talk.records[0])
    assert_unavailable(client.get(link), 503)
    assert len(uis_world.media.requests) == 4


def test_login_page_of_uis_is_never_passed_on(client, link, uis_world):
    uis_world.media.requires_login = True
    answer = client.get(link, headers={"Accept-Language": "en"})
    assert_unavailable(answer, 503, UnavailableReason.REFUSED)
    assert "личный кабинет" not in answer.content.decode()


def test_recording_known_only_from_its_notification_is_played(own_links, play, notify, crm, talk, later):
    talk.records_at = timezone.now() + timedelta(minutes=5)
    notify(talk.notification("recorded"), talk.notification("call_end"))
    later(timedelta(minutes=6))
    assert play(path_of(crm.calls[0])).body == audio_of(talk)


def test_media_host_of_the_account_is_requested(own_links, play, notify, crm, talk, uis_world, wire):
    UisConnection.objects.filter(tenant__slug="romashka").update(media_host="app.callgear.ae")
    notify(talk.notification("call_end"))
    wire.get(
        f"https://app.callgear.ae/system/media/talk/{talk.session_id}/{talk.records[0]}/",
        body=b"other host",
        content_type="audio/mpeg",
    )
    assert play(path_of(crm.calls[0])).body == b"other host"


# --- concurrent playback


def test_playing_more_at_once_than_there_are_slots_returns_503(client, play, link, slots):
    open_responses = [client.get(link) for _slot in range(SLOTS)]
    answer = client.get(link, headers={"Accept-Language": "en"})
    assert_unavailable(answer, 503, UnavailableReason.BUSY)
    assert answer["Retry-After"] == "5"
    read(open_responses.pop())
    assert play(link).status_code == 200
    for answer in open_responses:
        answer.close()  # The listener disconnected.
    assert slots._value == SLOTS


class FakeSocket:
    """The listener's socket, as gunicorn passes it."""

    def __init__(self, error=None):
        self.calls, self.error = [], error

    def settimeout(self, seconds):
        self.calls.append(f"timeout {seconds}")

    def shutdown(self, _how):
        self.calls.append("shutdown")
        if self.error:
            raise self.error


def test_slow_reader_is_disconnected(client, link, slots):
    """A slow reader occupies a thread, and gunicorn must not wait for a broken connection."""
    fake_socket = FakeSocket()
    read(client.get(link, **{"gunicorn.socket": fake_socket}))
    assert fake_socket.calls == ["timeout 30.0"]
    for fake_socket in (FakeSocket(), FakeSocket(error=OSError("closed"))):
        answer = client.get(link, **{"gunicorn.socket": fake_socket})
        next(answer.streaming_content)
        answer.close()
        assert fake_socket.calls[:2] == ["timeout 30.0", "shutdown"]
    fake_socket = FakeSocket()
    client.head(link, **{"gunicorn.socket": fake_socket})
    assert fake_socket.calls == []


# --- access log


def test_requests_of_one_play_are_one_access_log_entry(client, play, link, later, stranger):
    for requested in ("bytes=0-1", "bytes=0-", "bytes=500-"):
        play(link, Range=requested)
    (entry,) = AccessLogEntry.objects.all()
    assert (entry.tenant.slug, entry.call.tenant.slug, entry.user, entry.address) == (
        "romashka",
        "romashka",
        None,
        "127.0.0.x",
    )
    later(timedelta(minutes=9))
    play(link)
    later(timedelta(minutes=9))
    play(link)
    assert AccessLogEntry.objects.count() == 1
    later(timedelta(minutes=11))
    play(link)
    client.get(link, REMOTE_ADDR="2001:db8:1:2::3").close()
    assert list(AccessLogEntry.objects.order_by("pk").values_list("address", flat=True)) == ["127.0.0.x"] * 2 + [
        "2001:db8:1::/48"
    ]
    assert not stranger.access_log.exists()


def test_playing_has_a_fixed_query_count(play, link, django_assert_num_queries):
    with django_assert_num_queries(
        7
    ):  # link, notifications; a transaction with the call's lock, the last entry, a new one
        play(link)
    with django_assert_num_queries(6):
        play(link)


def test_log_contains_no_link(client, play, link, talk, uis_world, caplog):
    """Neither in our log records nor in the output: Django logs the path of a rejected request."""
    import io
    import logging

    output, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(output)
    formatter = dict(core_logging.logging_config(level="INFO", style="text")["formatters"]["redacted"])
    handler.setFormatter(formatter.pop("()")(**formatter))
    root.addHandler(handler)
    caplog.set_level(logging.DEBUG)
    try:
        play(link)
        for kind in ("500", "timeout"):
            uis_world.break_down(kind, method="media", times=1)
            client.get(link)
        replace_recordings(talk, is_gone=True)
        client.get(link)
        links.revoke(RecordingLink.objects.get(), by=None, now=timezone.now())
        client.get(link)
        client.get(f"{link}x/")
    finally:
        root.removeHandler(handler)
    token = link.removeprefix("/records/").rstrip("/")
    assert re.search(rf"recording unavailable call={talk.session_id} .*tenant=romashka", output.getvalue())
    for secret in (token, "/system/media/"):
        assert secret not in output.getvalue()
        ours = [record for record in caplog.records if not record.name.startswith(("django.", "urllib3"))]
        assert not any(secret in record.getMessage() for record in ours)
