"""The recording on a call's page: a player for each part or the reason why there is none, and its link."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone, translation

from telephony.models import AccessLogEntry, Call, RecordingLink
from telephony.recordings.unavailable import UnavailableReason
from tenants import rule_labels
from tenants.access_errors import AccessError
from tenants.models import AuditLogEntry, Employee, Tenant, UisConnection, User
from tenants.transfer_rules import SkipReason
from tests import html_text, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import uis_recordings
from tests.rules import publish_rules_for_all
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH = {"accept-language": "en"}


@pytest.fixture
def person(db):
    """Create a user of one of the two groups."""

    def create(group):
        return create_user(group.lower(), group)

    return create


@pytest.fixture
def support_client(client, person):
    """A test client logged in as a user of the Support group."""
    client.force_login(person("Support"))
    return client


@pytest.fixture
def call(pbx, tenant):
    """Create a call that ended half a minute ago."""

    def create(*talks, **fields):
        duration = sum(seconds for _person, seconds in talks) + 5
        began = timezone.now() - timedelta(seconds=duration + 30)
        return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=talks, **fields)

    return create


def page(support_client, session, **headers):
    pk = Call.objects.get(session_id=session.session_id).pk
    answer = support_client.get(reverse("admin:telephony_call_change", args=[pk]), headers=headers or ENGLISH)
    assert answer.status_code == 200
    return answer


def panel(answer):
    return answer.context["recording"]


def players(answer):
    """Return the URL of each player of a page, by its label."""
    found = re.findall(r'<audio controls preload="none" src="([^"]+)" aria-label="([^"]+)"', answer.content.decode())
    return {label: src for src, label in found}


def actions(answer):
    return re.findall(r"/recording/([a-z]+)/", answer.content.decode())


def run_action(support_client, session, name):
    """Run an action of the page: open the confirmation, then confirm; return the last message."""
    pk = Call.objects.get(session_id=session.session_id).pk
    url = reverse("admin:telephony_call_recording", args=[pk, name])
    confirmation = support_client.get(url, headers=ENGLISH)
    if confirmation.status_code == 200:
        assert confirmation.context["action"].name == name
    done = support_client.post(url, follow=True, headers=ENGLISH)
    return list(done.context["messages"])[-1]


def english(text):
    with translation.override("en"):
        return str(text)


def read(answer):
    data = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return data


# --- the player


def test_one_talk_has_one_player(support_client, notify, crm, call, stranger):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(support_client, talk)
    (title,) = players(answer)
    at = talk.talk_legs[0].connected_at.astimezone(Tenant.objects.get(slug="romashka").zone)
    assert title.startswith(f"Иванов Иван (101), {at:%-H:%M}, 20")
    assert (panel(answer).reason, panel(answer).link) == (None, None)
    assert panel(answer).link_message in html_text.text(answer)
    assert crm.calls[0]["recordUrl"] == talk.link(talk.records[0])
    assert actions(answer) == []


def test_player_plays_and_the_access_is_logged(support_client, notify, call, stranger):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (url,) = players(page(support_client, talk)).values()
    answer = support_client.get(url, headers={"Range": "bytes=0-"})
    body = uis_recordings.audio(talk.records[0], 20)
    assert (answer.status_code, read(answer)) == (206, body)
    assert "Access-Control-Allow-Origin" not in answer
    entry = AccessLogEntry.objects.get()
    assert (entry.user.username, entry.username, entry.call.session_id) == ("support", "support", talk.session_id)
    assert re.search(r"<li>[^<]+ · support</li>", page(support_client, talk).content.decode())
    assert not stranger.access_log.exists()


def test_every_part_of_a_transfer_has_a_player(support_client, notify, call):
    transfer = call((IVAN, 12), (PETR, 9))
    notify(transfer.notification("call_end"))
    tracks = players(page(support_client, transfer))
    assert [title.split(",")[0] for title in tracks][1:] == ["1. Иванов Иван (101)", "2. Петров Пётр (102)"]
    assert [url.split("/")[-2] for url in tracks.values()] == ["0", "1", "2"]
    first, second = (
        uis_recordings.audio(record, uis_recordings.talked(transfer, record)) for record in transfer.records
    )
    assert [read(support_client.get(url)) for url in tracks.values()] == [
        uis_recordings.whole(transfer),
        first,
        second,
    ]


def test_page_contains_no_uis_url_and_no_token(support_client, notify, crm, call):
    publish_rules_for_all(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    text = page(support_client, talk).content.decode()
    assert RecordingLink.objects.get().token not in text
    assert talk.records[0] not in text
    assert "/system/media/" not in text


@pytest.mark.slow
def test_page_has_a_fixed_query_count(support_client, notify, call, django_assert_num_queries):
    counts = []
    for talks in ([(IVAN, 9)], [(IVAN, 9), (PETR, 9), (IVAN, 9), (PETR, 9)]):
        transfer = call(*talks)
        notify(transfer.notification("call_end"))
        for url in players(page(support_client, transfer)).values():
            support_client.get(url).close()
        with django_assert_num_queries(counts[0] if counts else 18) as queries:
            page(support_client, transfer)
        counts.append(len(queries))


def test_unavailable_recording_answers_with_the_reason(support_client, notify, call, uis_world):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (url,) = players(page(support_client, talk)).values()
    uis_world.break_down("503", method="media", times=1)
    answer = support_client.get(url, headers=ENGLISH)
    assert (answer.status_code, answer["Content-Type"]) == (503, "text/plain")
    assert answer.content.decode() == english(UnavailableReason.UNAVAILABLE.label)
    assert not AccessLogEntry.objects.exists()
    for number in (0, 2, 9):
        assert support_client.get(f"{url.removesuffix('1/')}{number}/").status_code == 410


# --- permissions


def test_anonymous_user_is_redirected_to_login(client, notify, call):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = client.get(reverse("admin:telephony_call_play", args=[Call.objects.get().pk, 1]))
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]
    assert not AccessLogEntry.objects.exists()


def test_user_without_permission_sees_no_player(client, notify, call, db):
    user = User.objects.create_user("looker", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_call"))
    client.force_login(user)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(client, talk)
    assert players(answer) == {}
    assert (len(panel(answer).tracks), 'data-reason="NO_PERMISSION"' in answer.content.decode()) == (1, True)
    pk = Call.objects.get().pk
    assert client.get(reverse("admin:telephony_call_play", args=[pk, 1])).status_code == 403
    assert client.post(reverse("admin:telephony_call_recording", args=[pk, "refresh"])).status_code == 403


def test_support_can_play_but_not_revoke(support_client, notify, call):
    publish_rules_for_all(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(support_client, talk)
    assert (len(players(answer)), actions(answer)) == (1, [])
    url = reverse("admin:telephony_call_recording", args=[Call.objects.get().pk, "revoke"])
    assert support_client.post(url).status_code == 403
    assert RecordingLink.objects.get().revoked_at is None


def test_unknown_call_part_and_action_are_not_found(support_client, notify, call):
    notify(call((IVAN, 20)).notification("call_end"))
    pk = Call.objects.get().pk
    for address in (f"{pk + 1}/recording/1/", f"{pk + 1}/recording/refresh/", f"{pk}/recording/unknown/"):
        assert support_client.get(f"/admin/telephony/call/{address}").status_code == 404


# --- the link


@pytest.mark.slow
def test_link_is_revoked_and_restored_on_the_page(client, person, notify, crm, call):
    client.force_login(person("Operator"))
    publish_rules_for_all(recording_link="OURS", recording_days=30)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    assert actions(page(client, talk)) == ["revoke"]
    valid = panel(page(client, talk))
    assert (valid.link.is_revoked, bool(re.search(r"\d", valid.link_message))) == (False, True)  # it has an expiry date
    assert run_action(client, talk, "restore").level_tag == "warning"
    assert run_action(client, talk, "revoke").level_tag == "success"
    assert client.get(path).status_code == 410
    revoked = panel(page(client, talk))
    assert (revoked.link.is_revoked, bool(re.search(r"\d", revoked.link_message))) == (True, False)
    assert len(players(page(client, talk))) == 1
    assert actions(page(client, talk)) == ["restore"]
    assert run_action(client, talk, "restore").level_tag == "success"
    assert panel(page(client, talk)).link_message == valid.link_message
    assert read(client.get(path)) == uis_recordings.audio(talk.records[0], 20)
    entries = AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "object_repr")
    expected = [
        (action, "operator", f"call {talk.session_id}")
        for action in ("RECORDING_LINK_REVOKED", "RECORDING_LINK_RESTORED")
    ]
    assert list(entries) == expected
    audit_page = client.get(reverse("admin:tenants_auditlogentry_changelist"), headers={"accept-language": "ru"})
    assert str(talk.session_id) in html_text.text(audit_page)
    assert f"call {talk.session_id}" not in html_text.text(audit_page)


def test_all_links_are_revoked_and_restored_by_tenant_actions(client, person, notify, crm, call, tenant, stranger):
    client.force_login(person("Operator"))
    publish_rules_for_all(recording_link="OURS")
    run = lambda name: client.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, name]))  # noqa: E731
    run("revoke_recording_links")
    assert Tenant.objects.get(pk=tenant.pk).recording_links_revoked_at is None  # There was no link.
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    run("restore_recording_links")
    run("revoke_recording_links")
    assert client.get(path).status_code == 410
    assert panel(page(client, talk)).link.is_revoked
    run("revoke_recording_links")
    run("restore_recording_links")
    assert read(client.get(path)) == uis_recordings.audio(talk.records[0], 20)
    assert list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "tenant")) == [
        ("RECORDING_LINK_REVOKED", "operator", tenant.pk),
        ("RECORDING_LINK_RESTORED", "operator", tenant.pk),
    ]
    assert Tenant.objects.get(pk=stranger.pk).recording_links_revoked_at is None


def test_expired_link_is_shown_as_expired(support_client, notify, call, later):
    publish_rules_for_all(recording_link="OURS", recording_days=3)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    valid = panel(page(support_client, talk))
    later(timedelta(days=4))
    expired = panel(page(support_client, talk))
    assert (expired.link, expired.link.is_revoked) == (valid.link, False)
    assert [bool(re.search(r"\d", one.link_message)) for one in (valid, expired)] == [True, False]


def test_pending_call_has_no_link_yet(support_client, notify, call, run_queue):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"), works=False)
    task_queue.process_notifications()
    waiting = panel(page(support_client, talk))
    run_queue()
    uploaded = panel(page(support_client, talk))
    assert (waiting.link, uploaded.link) == (None, None)
    assert uploaded.link_message != waiting.link_message


# --- reasons for an unavailable recording


def unavailable_reason(answer):
    """Return the page's reason and the addition to its text, after checking that there is no player."""
    assert players(answer) == {}
    reason, label = panel(answer).reason, english(panel(answer).reason.label)
    assert f'data-reason="{reason}"' in answer.content.decode()
    assert panel(answer).message.startswith(label)
    return reason, panel(answer).message.removeprefix(label).strip()


def test_offboarded_tenant_has_the_reason_offboarded(support_client, notify, call, tenant):
    from connector_project.operations.onboarding import offboarding

    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (url,) = players(page(support_client, talk)).values()
    offboarding.offboard(tenant, now=timezone.now())
    assert unavailable_reason(page(support_client, talk)) == ("OFFBOARDED", "")
    assert support_client.get(url).status_code == 410


def test_recordings_turned_off_have_the_reason_off(support_client, notify, call):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    publish_rules_for_all(send_recording=False)
    assert unavailable_reason(page(support_client, talk)) == ("OFF", "")


def test_call_without_a_recording_has_the_reason_not_recorded(support_client, notify, call):
    Employee.objects.filter(uis_id=IVAN).update(recording_mode="out")
    talk = call((IVAN, 20), recorded=False)
    notify(talk.notification("call_end"))
    assert unavailable_reason(page(support_client, talk)) == ("NOT_RECORDED", "Иванов Иван (101)")


def test_unanswered_call_has_the_reason_not_answered(support_client, notify, pbx, tenant):
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(missed.notification("lost_call"))
    assert unavailable_reason(page(support_client, missed))[0] == "NOT_ANSWERED"


def test_recording_not_ready_has_the_reason_not_ready(support_client, notify, call):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(hours=1)
    notify(talk.notification("call_end"))
    reason, more = unavailable_reason(page(support_client, talk))
    assert (reason, bool(re.search(r"\d", more))) == ("NOT_READY", True)


def test_unavailable_uis_has_the_reason_unknown(support_client, notify, call, uis_world):
    uis_world.break_down("503")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    assert unavailable_reason(page(support_client, talk))[0] == "UNKNOWN"


def test_denied_key_has_the_reason_denied(support_client, notify, call, pbx):
    talk = call((IVAN, 20))
    pbx.token_state = "expired"
    notify(talk.notification("call_end"))
    assert unavailable_reason(page(support_client, talk)) == ("DENIED", english(AccessError.TOKEN_EXPIRED.label))


def test_skipped_internal_call_has_the_reason_not_fetched(support_client, notify, call):
    internal = call((IVAN, 20), is_internal=True)
    notify(internal.notification("call_end") | {"is_internal": True, "contact_phone_number": "102"})
    assert Call.objects.get().state == Call.State.SKIPPED
    assert unavailable_reason(page(support_client, internal)) == (
        "NOT_FETCHED",
        english(rule_labels.label(SkipReason.INTERNAL_OFF)),
    )


@pytest.mark.slow
def test_recording_that_never_came_is_found_by_a_refresh(support_client, notify, call, later):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(hours=1)
    notify(talk.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    answer = page(support_client, talk)
    assert unavailable_reason(answer)[0] == "NOT_READY"
    assert actions(answer) == ["refresh"]
    assert run_action(support_client, talk, "refresh").level_tag == "success"
    assert unavailable_reason(page(support_client, talk))[0] == "NOT_READY"
    later(timedelta(hours=1))
    assert run_action(support_client, talk, "refresh").level_tag == "success"
    (url,) = players(page(support_client, talk)).values()
    assert read(support_client.get(url)) == uis_recordings.audio(talk.records[0], 20)


def test_recording_missing_at_uis_has_the_reason_missing(support_client, notify, call, uis_world, client, person):
    publish_rules_for_all(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    talk.talk_legs[0].records = talk.legs[0].records = []
    assert support_client.get(f"/records/{RecordingLink.objects.get().token}/").status_code == 410
    reason, more = unavailable_reason(page(support_client, talk))
    assert (reason, bool(re.search(r"\d", more))) == ("MISSING", True)
    assert actions(page(support_client, talk)) == ["refresh"]


@pytest.mark.slow
def test_refresh_shows_that_uis_is_unavailable(support_client, notify, call, later, uis_world):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(days=1)
    notify(talk.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    uis_world.break_down("503", times=1)
    assert str(run_action(support_client, talk, "refresh")) == english(UnavailableReason.UNAVAILABLE.label)
    UisConnection.objects.get().suspend("access_token_blocked", "no", now=timezone.now())
    assert actions(page(support_client, talk)) == []
