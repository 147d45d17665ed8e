"""A click that starts no call is told to the person who clicked: once, with the reason, and not as a call."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from crm import click_refusals
from crm.models import Command
from crm.retailcrm.client import V4
from telephony.models import OutgoingRequest
from tenants.models import Employee, Tenant, VirtualNumber
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = pytest.mark.one_database

Reason = Command.Reason


@pytest.fixture
def click(client, tenant, run_queue):
    """Send a click as the CRM's server does."""

    def send(*, works=True, **params):
        form = {"clientId": tenant.crm.client_id, "code": "101", "phone": f"+{CONTACT}", "userId": "27"} | params
        form = {name: value for name, value in form.items() if value is not None}
        answer = client.get(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form)
        if works:
            run_queue()
        return answer

    return send


@pytest.fixture(autouse=True)
def _no_call_is_shown(crm):
    """No message may look like a call that somebody must handle."""
    yield
    assert crm.events == []
    assert crm.popups() == {}


def unlink_number(**_params):
    VirtualNumber.objects.update(is_active=False)


REFUSED_BY_US = {
    "no employee": ({"code": "999", "userId": "28"}, 28, Reason.UNKNOWN_USER),
    "user without employee": ({"code": None, "userId": "28"}, 28, Reason.UNKNOWN_USER),
    "no phone": ({"phone": ""}, 27, Reason.BAD_PHONE),
    "extension": ({"phone": "101"}, 27, Reason.BAD_PHONE),
    "words": ({"phone": "Anna"}, 27, Reason.BAD_PHONE),
    "found by extension": ({"phone": "101", "userId": None}, 27, Reason.BAD_PHONE),
    "own number": ({"phone": f"+{NUMBER}"}, 27, Reason.OWN_NUMBER),
}


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("kind", REFUSED_BY_US)
def test_refusal_by_us_is_told_with_its_reason(click, crm, pbx, tenant, stranger, twin_crm, kind, language):
    params, user, reason = REFUSED_BY_US[kind]
    Employee.objects.filter(crm_user_id=28).update(crm_user_id=None)
    Tenant.objects.update(language=language)
    answer = click(**params)
    assert answer.status_code == 400
    ((told, severity, text),) = crm.messages
    assert (told, severity) == (user, "api.error")
    with translation.override(language):
        assert str(reason.label) in text
        assert answer.json()["errorMsg"] in text
    assert (pbx.dialled, twin_crm.messages) == ([], [])


REFUSED_BY_UIS = {
    "blocklist": ({"blacklist": {CONTACT}}, "contact_in_blacklist"),
    "direction": ({"forbidden_contacts": {CONTACT}}, "direction_forbidden"),
}


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("kind", REFUSED_BY_UIS)
def test_refusal_by_uis_is_told_in_the_clients_language(click, crm, pbx, tenant, kind, language):
    setting, code = REFUSED_BY_UIS[kind]
    for name, value in setting.items():
        setattr(pbx, name, value)
    Tenant.objects.update(language=language)
    click()
    ((user, _severity, text),) = crm.messages
    with translation.override(language):
        assert str(click_refusals._VENDOR_REASONS[code]) in text
    assert (user, f"+{CONTACT}" in text) == (27, True)
    assert Command.objects.get().vendor_code == code


@pytest.mark.parametrize("code", click_refusals._VENDOR_REASONS)
def test_each_known_refusal_has_a_text_in_both_languages(code):
    command = Command(contact=CONTACT, reason=Reason.UIS_REFUSED, vendor_code=code, detail="vendor's words")
    texts = set()
    for language in ("ru", "en"):
        with translation.override(language):
            texts.add(click_refusals.message(command))
    assert len(texts) == 2
    assert not any("vendor's words" in text for text in texts)


def test_unknown_refusal_is_told_in_the_vendors_words(tenant):
    command = Command(contact=CONTACT, reason=Reason.UIS_REFUSED, vendor_code="new_one", detail="Something new")
    assert "Something new" in click_refusals.message(command)
    assert len(click_refusals.message(Command(detail="x" * 1000, reason=Reason.UIS_REFUSED))) <= 250


@pytest.mark.parametrize("kind", ["timeout", "503", "refused", "html", "internal_error"])
def test_click_with_an_unclear_outcome_is_told_once(click, crm, uis_world, tenant, later, kind):
    uis_world.break_down(kind)
    click()
    uis_world.repair()
    later(timedelta(minutes=1))
    later(timedelta(minutes=2))
    ((user, _severity, text),) = crm.messages
    with translation.override("ru"):
        assert str(Reason.NOT_REPEATED.label) in text
    assert user == 27


def test_missing_uis_component_is_told(click, crm, pbx, tenant):
    pbx.components.clear()
    click()
    ((_user, _severity, text),) = crm.messages
    with translation.override("ru"):
        assert str(Reason.UIS_DENIED.label) in text


def test_expired_click_is_told(click, crm, later, run_queue, tenant):
    click(works=False)
    later(timedelta(seconds=11))
    run_queue()
    assert Command.objects.get().reason == "STALE"
    assert len(crm.messages) == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_claimed", [True, False])
def test_click_that_the_sweep_ends_is_told(click, crm, later, run_queue, tenant, is_claimed):
    click(works=False)
    if is_claimed:
        assert Command.objects.claim_one(Command.objects.get().pk, now=timezone.now(), state=Command.State.RUNNING)
    task_queue.lose()
    for _minute in range(6):
        later(timedelta(minutes=1))
        run_queue()
    assert Command.objects.get().state == Command.State.FAILED
    assert len(crm.messages) == 1


def test_successful_and_double_clicks_are_not_told(click, crm, pbx, tenant, later):
    assert click().status_code == 200
    assert click().status_code == 400
    later(timedelta(minutes=2))
    assert (len(pbx.dialled), crm.messages) == (1, [])


def test_task_that_runs_twice_tells_once(click, crm, tenant):
    click(phone="")
    click_refusals.tell(Command.objects.get().pk, now=timezone.now())
    assert len(crm.messages) == 1


@pytest.mark.parametrize("kind", ["503", "timeout", "html", "refused", "cut"])
def test_message_that_fails_is_not_repeated_and_harms_nothing(click, crm, crm_world, tenant, later, kind):
    crm_world.break_down(kind, path_part="/notifications/send", times=1)
    assert click(phone="").status_code == 400
    later(timedelta(minutes=1))
    assert len(crm.messages) <= 1
    assert sum("/notifications/send" in request.path for request in crm_world.requests) <= 1
    assert click().status_code == 200


def test_key_that_may_not_send_messages_is_no_denial(click, crm, tenant):
    crm.takes_messages = False
    click(phone="")
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denials, tenant.crm.denied_at, crm.messages) == ({}, None, [])
    assert OutgoingRequest.objects.get(command_id=Command.objects.get().pk).status == 403


@pytest.mark.parametrize(
    "silence",
    [
        lambda: Tenant.objects.update(is_paused=True),
        lambda: Tenant.objects.update(activated_at=None),
        lambda: Tenant.objects.get(slug="romashka").crm.__class__.objects.update(version=V4),
    ],
)
def test_nothing_is_told_where_it_cannot_be(click, crm, tenant, silence):
    silence()
    click(phone="")
    assert crm.messages == []


def test_lost_message_is_sent_by_the_sweep_but_not_late(click, crm, tenant, later, run_queue):
    click(works=False, phone="")
    task_queue.lose()
    later(timedelta(minutes=1))
    run_queue()
    assert len(crm.messages) == 1
    click(works=False, phone="")
    task_queue.lose()
    later(timedelta(minutes=6))
    run_queue()
    assert len(crm.messages) == 1


def test_nobody_is_told_if_nobody_is_named(click, crm, tenant):
    click(code=None, userId=None)
    assert crm.messages == []
    Employee.objects.filter(uis_id=IVAN).update(crm_user_id=None)
    click(phone="", userId=None)
    assert crm.messages == []


def test_page_of_the_click_shows_what_was_sent_with_masked_numbers(click, client, crm, pbx, tenant):
    pbx.blacklist = {CONTACT}
    click()
    command = Command.objects.get()
    assert OutgoingRequest.objects.filter(command_id=command.pk).count() == 2
    client.force_login(create_user("support", "Support"))
    html = client.get(reverse("admin:crm_command_change", args=[command.pk])).content.decode()
    assert "start.employee_call" in html
    assert "/notifications/send 200" in html
    assert CONTACT not in html
    assert pbx.token not in html


@pytest.fixture
def end_call(click, pbx, notify):
    """Click, and let UIS end the call; return the command."""

    def play(**how):
        click()
        command = Command.objects.get()
        session = pbx.finish_started(command.session_id, **how)
        notify(session.notification("call_end"))
        return command

    return play


NOT_RUNG = {
    "operator_busy": "employee_busy",
    "employee_busy_after_call": "employee_busy",
    "sip_offline": "employee_offline",
    "employee_phone_inactive": "employee_offline",
    "employee_status_do_not_disturb": "employee_status",
    "no_money": "not_enough_money",
    "call_not_allowed_on_tp": "direction_forbidden",
}


@pytest.mark.parametrize("reason", NOT_RUNG)
def test_click_whose_call_did_not_ring_the_employee_is_told_with_the_reason(end_call, crm, tenant, later, reason):
    command = end_call(talk=0, not_rung=reason)
    ((user, _severity, text),) = crm.messages
    with translation.override("ru"):
        assert str(click_refusals._VENDOR_REASONS[NOT_RUNG[reason]]) in text
    assert user == 27
    command.refresh_from_db()
    assert (command.state, command.vendor_code, command.detail) == ("FAILED", NOT_RUNG[reason], reason)
    later(timedelta(minutes=1))
    assert len(crm.messages) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"talk": 20},
        {"talk": 0},  # the contact did not answer
        *({"talk": 0, "not_rung": reason} for reason in ("operator_not_responsible", "timeout", "something_new")),
    ],
)
def test_click_whose_phone_rang_is_not_told(end_call, crm, tenant, how):
    end_call(**how)
    assert crm.messages == []
    assert Command.objects.get().state == Command.State.DONE
