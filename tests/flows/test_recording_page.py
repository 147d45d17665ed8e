"""The recording on a call's page: a player for each part, or the reason why there is none; its links."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone, translation

from telephony.models import AccessLogEntry, Call, RecordingLink
from telephony.recordings.unavailable import UnavailableReason
from tenants.models import AccessError, AuditLogEntry, Employee, Tenant, TransferRules, UisConnection, User
from tenants.transfer_rules import SkipReason
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import uis_recordings
from tests.users import enlist

ENGLISH = {"accept-language": "en"}


@pytest.fixture
def person(db):
    """Make a user of one of the two groups."""

    def make(group):
        return enlist(group.lower(), group)

    return make


@pytest.fixture
def desk(client, person):
    """A browser in which a user of Support is logged in."""
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
    """Return the address of each player of a page, by its label."""
    found = re.findall(r'<audio controls preload="none" src="([^"]+)" aria-label="([^"]+)"', answer.content.decode())
    return {label: src for src, label in found}


def acts(answer):
    return re.findall(r"/recording/([a-z]+)/", answer.content.decode())


def do(desk, session, name):
    """Press a button of the page: open the confirmation, then confirm; return the last message."""
    pk = Call.objects.get(session_id=session.session_id).pk
    where = reverse("admin:telephony_call_recording", args=[pk, name])
    confirmation = desk.get(where, headers=ENGLISH)
    if confirmation.status_code == 200:
        assert confirmation.context["action"].name == name
    done = desk.post(where, follow=True, headers=ENGLISH)
    return list(done.context["messages"])[-1]


def english(text):
    with translation.override("en"):
        return str(text)


def read(answer):
    heard = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return heard


# --- the player


def test_one_talk_has_one_player(desk, notify, crm, call, stranger):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    answer = page(desk, talk)
    (title,) = players(answer)
    at = talk.talk_legs[0].connected_at.astimezone(Tenant.objects.get(slug="romashka").zone)
    assert title.startswith(f"Иванов Иван (101), {at:%-H:%M}, 20")
    assert (panel(answer).reason, panel(answer).link) == (None, None)
    assert panel(answer).link_says in html_text.words(answer)
    assert crm.calls[0]["recordUrl"] == talk.link(talk.records[0])
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
    assert re.search(r"<li>[^<]+ · support</li>", page(desk, talk).content.decode())
    assert not stranger.access_log.exists()


def test_every_part_of_a_transfer_is_heard(desk, notify, call):
    transfer = call((IVAN, 12), (PETR, 9))
    notify(transfer.notification("call_end"))
    tracks = players(page(desk, transfer))
    assert [title.split(",")[0] for title in tracks][1:] == ["1. Иванов Иван (101)", "2. Петров Пётр (102)"]
    assert [where.split("/")[-2] for where in tracks.values()] == ["0", "1", "2"]
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
    assert answer.content.decode() == english(UnavailableReason.UNAVAILABLE.label)
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
    assert (len(panel(answer).tracks), 'data-reason="NO_PERMISSION"' in answer.content.decode()) == (1, True)
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
    works = panel(page(client, talk))
    assert (works.link.is_withdrawn, bool(re.search(r"\d", works.link_says))) == (False, True)  # it ends at a moment
    assert do(client, talk, "give").level_tag == "warning"
    assert do(client, talk, "withdraw").level_tag == "success"
    assert client.get(path).status_code == 410
    withdrawn = panel(page(client, talk))
    assert (withdrawn.link.is_withdrawn, bool(re.search(r"\d", withdrawn.link_says))) == (True, False)
    assert len(players(page(client, talk))) == 1
    assert acts(page(client, talk)) == ["give"]
    assert do(client, talk, "give").level_tag == "success"
    assert panel(page(client, talk)).link_says == works.link_says
    assert read(client.get(path)) == uis_recordings.audio(talk.records[0], 20)
    told = AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "object_repr")
    expected = [(verb, "operator", f"call {talk.session_id}") for verb in ("WITHDRAWN", "RECORDING_LINK_RESTORED")]
    assert list(told) == expected
    journal = client.get(reverse("admin:tenants_auditlogentry_changelist"), headers={"accept-language": "ru"})
    assert str(talk.session_id) in html_text.words(journal)
    assert f"call {talk.session_id}" not in html_text.words(journal)


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
    assert panel(page(client, talk)).link.is_withdrawn
    press("withdraw")
    press("give")
    assert read(client.get(path)) == uis_recordings.audio(talk.records[0], 20)
    assert list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "tenant")) == [
        ("WITHDRAWN", "operator", tenant.pk),
        ("RECORDING_LINK_RESTORED", "operator", tenant.pk),
    ]
    assert Tenant.objects.get(pk=stranger.pk).recording_links_revoked_at is None


def test_expired_link_is_shown_as_such(desk, notify, call, later):
    TransferRules.objects.update(recording_link="OURS", recording_days=3)
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    works = panel(page(desk, talk))
    later(timedelta(days=4))
    expired = panel(page(desk, talk))
    assert (expired.link, expired.link.is_withdrawn) == (works.link, False)
    assert [bool(re.search(r"\d", one.link_says)) for one in (works, expired)] == [True, False]


def test_call_on_its_way_has_no_link_yet(desk, notify, call, run_queue):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"), works=False)
    waiting = panel(page(desk, talk))
    run_queue()
    uploaded = panel(page(desk, talk))
    assert (waiting.link, uploaded.link) == (None, None)
    assert uploaded.link_says != waiting.link_says


# --- the reasons, one by one


def why(answer):
    """Return the reason a page gives, and what it adds to the reason's text; where there is one there is no player."""
    assert players(answer) == {}
    reason, label = panel(answer).reason, english(panel(answer).reason.label)
    assert f'data-reason="{reason}"' in answer.content.decode()
    assert panel(answer).says.startswith(label)
    return reason, panel(answer).says.removeprefix(label).strip()


def test_reason_left(desk, notify, call, tenant):
    from connector_project.operations.onboarding import offboarding

    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    (where,) = players(page(desk, talk)).values()
    offboarding.offboard(tenant, now=timezone.now())
    assert why(page(desk, talk)) == ("LEFT", "")
    assert desk.get(where).status_code == 410


def test_reason_switched_off_by_rule(desk, notify, call):
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    TransferRules.objects.update(send_recording=False)
    assert why(page(desk, talk)) == ("OFF", "")


def test_reason_recording_of_the_employee_is_off(desk, notify, call):
    Employee.objects.filter(uis_id=IVAN).update(recording_mode="out")
    talk = call((IVAN, 20), recorded=False)
    notify(talk.notification("call_end"))
    assert why(page(desk, talk)) == ("NOT_RECORDED", "Иванов Иван (101)")


def test_reason_not_answered(desk, notify, pbx, tenant):
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(missed.notification("lost_call"))
    assert why(page(desk, missed))[0] == "NOT_ANSWERED"


def test_reason_not_ready_until(desk, notify, call):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(hours=1)
    notify(talk.notification("call_end"))
    reason, more = why(page(desk, talk))
    assert (reason, bool(re.search(r"\d", more))) == ("NOT_READY", True)


def test_reason_not_told(desk, notify, call, uis_world):
    uis_world.break_down("503")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    assert why(page(desk, talk))[0] == "NOT_TOLD"


def test_reason_denied(desk, notify, call, pbx):
    talk = call((IVAN, 20))
    pbx.token_state = "expired"
    notify(talk.notification("call_end"))
    assert why(page(desk, talk)) == ("DENIED", english(AccessError.TOKEN_EXPIRED.label))


def test_reason_not_asked(desk, notify, call):
    internal = call((IVAN, 20), is_internal=True)
    notify(internal.notification("call_end") | {"is_internal": True, "contact_phone_number": "102"})
    assert Call.objects.get().state == Call.State.SKIPPED
    assert why(page(desk, internal)) == ("NOT_FETCHED", english(SkipReason.INTERNAL_OFF.label))


def test_reason_none_came_and_one_that_came_late_is_heard(desk, notify, call, later):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(hours=1)
    notify(talk.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    answer = page(desk, talk)
    assert why(answer)[0] == "NEVER_CAME"
    assert acts(answer) == ["ask"]
    assert do(desk, talk, "ask").level_tag == "success"
    assert why(page(desk, talk))[0] == "NEVER_CAME"
    later(timedelta(hours=1))
    assert do(desk, talk, "ask").level_tag == "success"
    (where,) = players(page(desk, talk)).values()
    assert read(desk.get(where)) == uis_recordings.audio(talk.records[0], 20)


def test_reason_gone(desk, notify, call, uis_world, client, person):
    TransferRules.objects.update(recording_link="OURS")
    talk = call((IVAN, 20))
    notify(talk.notification("call_end"))
    talk.talk_legs[0].records = talk.legs[0].records = []
    assert desk.get(f"/records/{RecordingLink.objects.get().token}/").status_code == 410
    reason, more = why(page(desk, talk))
    assert (reason, bool(re.search(r"\d", more))) == ("GONE", True)
    assert acts(page(desk, talk)) == ["ask"]


def test_unavailable_uis_is_the_reason_shown(desk, notify, call, later, uis_world):
    talk = call((IVAN, 20))
    talk.records_at = timezone.now() + timedelta(days=1)
    notify(talk.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    uis_world.break_down("503", times=1)
    assert str(do(desk, talk, "ask")) == english(UnavailableReason.UNAVAILABLE.label)
    UisConnection.objects.update(denied_at=timezone.now(), denied_code="forbidden")
    assert acts(page(desk, talk)) == []
