"""The recording on the page of a call: a player for each part, or the reason why there is none; its links."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from telephony.models import AccessLogEntry, Call, RecordingLink
from tenants.models import AuditLogEntry, Employee, Tenant, TransferRules, UisConnection, User
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import uis_recordings
from tests.users import enlist

ENGLISH = {"accept-language": "en"}


@pytest.fixture
def person(db):
    """Somebody at the desk, of one of the two groups."""

    def make(group):
        return enlist(group.lower(), group)

    return make


@pytest.fixture
def desk(client, person):
    """A browser of somebody of Support."""
    client.force_login(person("Support"))
    return client


@pytest.fixture
def call(pbx, tenant):
    """Make a call that ended half a minute ago."""

    def make(*talks, **facts):
        lasted = sum(seconds for _person, seconds in talks) + 5
        began = timezone.now() - timedelta(seconds=lasted + 30)
        return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=talks, **facts)

    return make


def page(desk, session, **headers):
    pk = Call.objects.get(session_id=session.session_id).pk
    answer = desk.get(reverse("admin:telephony_call_change", args=[pk]), headers=headers or ENGLISH)
    assert answer.status_code == 200
    return answer


def panel(answer):
    return answer.context["recording"]


def players(answer):
    """Return what each player of a page is of, and where it plays."""
    found = re.findall(r'<audio controls preload="none" src="([^"]+)" aria-label="([^"]+)"', answer.content.decode())
    return {label: src for src, label in found}


def acts(answer):
    return re.findall(r"/recording/([a-z]+)/", answer.content.decode())


def do(desk, session, name):
    """Press a button of the page: ask, then do; return what is said."""
    pk = Call.objects.get(session_id=session.session_id).pk
    where = reverse("admin:telephony_call_recording", args=[pk, name])
    asked = desk.get(where, headers=ENGLISH)
    if asked.status_code == 200:
        assert "No, back" in html_text.words(asked)
    done = desk.post(where, follow=True, headers=ENGLISH)
    return str(list(done.context["messages"])[-1])


def read(answer):
    heard = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return heard


# --- the player


def test_one_talk_has_one_player(desk, notify, call, stranger):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(desk, talk)
    (title,) = players(answer)
    at = talk.talk_legs[0].connected_at.astimezone(Tenant.objects.get(slug="romashka").zone)
    assert title == f"Иванов Иван (101), {at:%-H:%M}, 20 seconds"
    assert panel(answer).reason is None
    assert "UIS&#x27;s own link, which we cannot withdraw" in answer.content.decode()
    assert acts(answer) == []


def test_player_plays_and_the_listener_is_written_down(desk, notify, call, stranger):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (where,) = players(page(desk, talk)).values()
    answer = desk.get(where, headers={"Range": "bytes=0-"})
    body = uis_recordings.audio(talk.records[0], 20)
    assert (answer.status_code, read(answer)) == (206, body)
    assert "Access-Control-Allow-Origin" not in answer
    look = AccessLogEntry.objects.get()
    assert (look.user.username, look.username, look.call.session_id) == ("support", "support", talk.session_id)
    assert "support" in html_text.words(page(desk, talk)).partition("Who listened")[2]
    assert not stranger.access_log.exists()


def test_every_part_of_a_transfer_is_heard(desk, notify, call):
    transfer = call((IVAN, 12), (PETR, 9))
    notify(transfer.notification("call_end"))
    tracks = players(page(desk, transfer))
    assert [title.split(",")[0] for title in tracks] == [
        "The whole call",
        "1. Иванов Иван (101)",
        "2. Петров Пётр (102)",
    ]
    first, second = (
        uis_recordings.audio(record, uis_recordings.talked(transfer, record)) for record in transfer.records
    )
    assert [read(desk.get(where)) for where in tracks.values()] == [uis_recordings.whole(transfer), first, second]


def test_page_holds_no_address_of_uis_and_no_link(desk, notify, crm, call):
    TransferRules.objects.update(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    text = page(desk, talk).content.decode()
    assert RecordingLink.objects.get().token not in text
    assert talk.records[0] not in text
    assert "/system/media/" not in text


def test_page_costs_the_same_however_many_parts_and_listeners(desk, notify, call, django_assert_num_queries):
    counts = []
    for talks in ([(IVAN, 9)], [(IVAN, 9), (PETR, 9), (IVAN, 9), (PETR, 9)]):
        transfer = call(*talks)
        notify(transfer.notification("call_end"))
        for where in players(page(desk, transfer)).values():
            desk.get(where).close()
        with django_assert_num_queries(counts[0] if counts else 16) as seen:
            page(desk, transfer)
        counts.append(len(seen))


def test_recording_that_cannot_be_played_now_says_so(desk, notify, call, uis_world):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (where,) = players(page(desk, talk)).values()
    uis_world.break_down("503", method="media", times=1)
    answer = desk.get(where, headers=ENGLISH)
    assert (answer.status_code, answer["Content-Type"]) == (503, "text/plain")
    assert "does not answer" in answer.content.decode()
    assert not AccessLogEntry.objects.exists()
    for number in (0, 2, 9):
        assert desk.get(f"{where.removesuffix('1/')}{number}/").status_code == 410


# --- who may


def test_who_is_not_logged_in_is_sent_to_the_login(client, notify, call):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = client.get(reverse("admin:telephony_call_play", args=[Call.objects.get().pk, 1]))
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]
    assert not AccessLogEntry.objects.exists()


def test_who_may_not_listen_sees_no_player(client, notify, call, db):
    user = User.objects.create_user("looker", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_call"))
    client.force_login(user)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(client, talk)
    assert players(answer) == {}
    assert "your account lacks the right to listen" in html_text.words(answer)
    pk = Call.objects.get().pk
    assert client.get(reverse("admin:telephony_call_play", args=[pk, 1])).status_code == 403
    assert client.post(reverse("admin:telephony_call_recording", args=[pk, "ask"])).status_code == 403


def test_support_listens_and_withdraws_nothing(desk, notify, call):
    TransferRules.objects.update(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(desk, talk)
    assert (len(players(answer)), acts(answer)) == (1, [])
    where = reverse("admin:telephony_call_recording", args=[Call.objects.get().pk, "withdraw"])
    assert desk.post(where).status_code == 403
    assert RecordingLink.objects.get().revoked_at is None


def test_unknown_call_part_and_act_are_not_found(desk, notify, call):
    notify(call((IVAN, 20)).notification("call_end"))
    pk = Call.objects.get().pk
    for address in (f"{pk + 1}/recording/1/", f"{pk + 1}/recording/ask/", f"{pk}/recording/eat/"):
        assert desk.get(f"/admin/telephony/call/{address}").status_code == 404


# --- the link


def test_link_is_withdrawn_and_given_again_on_the_page(client, person, notify, crm, call):
    client.force_login(person("Operator"))
    TransferRules.objects.update(recording_link="OURS", recording_days=30)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    assert acts(page(client, talk)) == ["withdraw"]
    assert "a link of ours, and that works until" in panel(page(client, talk)).link_says
    assert do(client, talk, "give") == "That makes no sense for this call now."
    assert do(client, talk, "withdraw") == "The link is withdrawn."
    assert client.get(path).status_code == 410
    assert "that is withdrawn" in panel(page(client, talk)).link_says
    assert len(players(page(client, talk))) == 1
    assert acts(page(client, talk)) == ["give"]
    assert do(client, talk, "give") == "The link works again."
    assert read(client.get(path)) == uis_recordings.audio(talk.records[0], 20)
    told = AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "object_repr")
    expected = [(verb, "operator", f"call {talk.session_id}") for verb in ("WITHDRAWN", "RECORDING_LINK_RESTORED")]
    assert list(told) == expected
    journal = client.get(reverse("admin:tenants_auditlogentry_changelist"), headers={"accept-language": "ru"})
    assert f"Звонок {talk.session_id}" in html_text.words(journal)


def test_links_of_a_client_are_withdrawn_and_given_again_by_buttons(
    client, person, notify, crm, call, tenant, stranger
):
    client.force_login(person("Operator"))
    TransferRules.objects.update(recording_link="OURS")
    press = lambda name: client.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, name]))  # noqa: E731
    press("withdraw")
    assert Tenant.objects.get(pk=tenant.pk).recording_links_revoked_at is None  # There was none.
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    press("give")
    press("withdraw")
    assert client.get(path).status_code == 410
    assert "that is withdrawn" in panel(page(client, talk)).link_says
    press("withdraw")
    press("give")
    assert read(client.get(path)) == uis_recordings.audio(talk.records[0], 20)
    assert list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "tenant")) == [
        ("WITHDRAWN", "operator", tenant.pk),
        ("RECORDING_LINK_RESTORED", "operator", tenant.pk),
    ]
    assert Tenant.objects.get(pk=stranger.pk).recording_links_revoked_at is None


def test_term_of_a_link_that_is_over_is_told(desk, notify, call, later):
    TransferRules.objects.update(recording_link="OURS", recording_days=3)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    later(timedelta(days=4))
    assert "its term is over" in panel(page(desk, talk)).link_says


def test_call_on_its_way_has_no_link_yet(desk, notify, call):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"), works=False)
    assert panel(page(desk, talk)).link_says == "The CRM has no link to it yet."


# --- the reasons, one by one


def why(answer):
    """Return the reason a page gives, and its sentence; where there is one there is no player."""
    assert players(answer) == {}
    return panel(answer).reason, panel(answer).says


def test_reason_left(desk, notify, call, tenant):
    from connector_project.operations.onboarding import offboarding

    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (where,) = players(page(desk, talk)).values()
    offboarding.offboard(tenant, now=timezone.now())
    reason, says = why(page(desk, talk))
    assert (reason, "not connected any more" in says) == ("LEFT", True)
    assert desk.get(where).status_code == 410


def test_reason_switched_off_by_rule(desk, notify, call):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    TransferRules.objects.update(send_recording=False)
    reason, says = why(page(desk, talk))
    assert (reason, "switched off by the company's own rule" in says) == ("OFF", True)


def test_reason_recording_of_the_employee_is_off(desk, notify, call):
    Employee.objects.filter(uis_id=IVAN).update(recording_mode="out")
    talk = call((IVAN, 20), recorded=False)
    notify(talk.notification("call_end"))
    reason, says = why(page(desk, talk))
    assert (reason, says) == ("NOT_RECORDED", "UIS does not record the talks of this employee. Иванов Иван (101)")


def test_reason_not_answered(desk, notify, pbx, tenant):
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(missed.notification("lost_call"))
    assert why(page(desk, missed))[0] == "NOT_ANSWERED"


def test_reason_not_ready_until(desk, notify, call):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(hours=1)
    notify(talk.notification("call_end"))
    reason, says = why(page(desk, talk))
    assert reason == "NOT_READY"
    assert re.search(r"It is waited for until .*\d", says)


def test_reason_not_told(desk, notify, call, uis_world):
    uis_world.break_down("503")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    assert why(page(desk, talk))[0] == "NOT_TOLD"


def test_reason_denied(desk, notify, call, pbx):
    talk = call((IVAN, 20))
    pbx.token_state = "expired"
    notify(talk.notification("call_end"))
    reason, says = why(page(desk, talk))
    assert (reason, "The UIS key has expired" in says) == ("DENIED", True)


def test_reason_not_asked(desk, notify, call):
    internal = call((IVAN, 20), is_internal=True)
    said = internal.notification("call_end") | {"is_internal": True, "contact_phone_number": "102"}
    notify(said)
    assert Call.objects.get().state == Call.State.SKIPPED
    reason, says = why(page(desk, internal))
    assert (reason, "internal calls are not uploaded" in says) == ("NOT_FETCHED", True)


def test_reason_none_came_and_one_that_came_late_is_heard(desk, notify, call, later):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(hours=1)
    notify(talk.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    answer = page(desk, talk)
    assert why(answer)[0] == "NEVER_CAME"
    assert acts(answer) == ["ask"]
    assert do(desk, talk, "ask") == "UIS has no recording of this call."
    later(timedelta(hours=1))
    assert do(desk, talk, "ask") == "UIS has a recording of this call."
    (where,) = players(page(desk, talk)).values()
    assert read(desk.get(where)) == uis_recordings.audio(talk.records[0], 20)


def test_reason_gone(desk, notify, call, uis_world, client, person):
    TransferRules.objects.update(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    talk.talk_legs[0].records = talk.legs[0].records = []
    assert desk.get(f"/records/{RecordingLink.objects.get().token}/").status_code == 410
    reason, says = why(page(desk, talk))
    assert reason == "GONE"
    assert re.search(r"does not keep this recording any more\. UIS was asked at \d", says)
    assert acts(page(desk, talk)) == ["ask"]


def test_uis_that_cannot_be_asked_is_told_of(desk, notify, call, later, uis_world):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(days=1)
    notify(talk.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    uis_world.break_down("503", times=1)
    assert "does not answer at the moment" in do(desk, talk, "ask")
    UisConnection.objects.update(denied_at=timezone.now(), denied_code="forbidden")
    assert acts(page(desk, talk)) == []


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_reason_is_said_in_both_languages(language):
    from django.utils import translation

    from telephony.recordings.unavailable import UnavailableReason

    with translation.override(language):
        said = [str(reason.label) for reason in UnavailableReason]
    assert len(set(said)) == len(said)
    is_russian = [bool(re.search("[а-яё]", sentence)) for sentence in said]
    assert is_russian == [language == "ru"] * len(said)
