"""Click-to-call: the employee's phone rings, then the customer's; no click is dialled twice."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.utils import timezone, translation

from crm import tasks as crm_tasks
from crm.models import Command
from tenants.models import Employee, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER


@pytest.fixture
def click(client, tenant, run_queue):
    """Send a click as the CRM's server does."""

    def send(*, method="get", works=True, **params):
        form = {"clientId": tenant.crm.client_id, "code": "101", "phone": f"+{CONTACT}", "userId": "27"} | params
        form = {name: value for name, value in form.items() if value is not None}
        answer = getattr(client, method)(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form)
        if works:
            run_queue()
        return answer

    return send


def test_click_rings_the_employee_first_and_then_the_customer(click, pbx, tenant, stranger):
    answer = click()
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    command = Command.objects.get()
    sent = {name: value for name, value in pbx.dialled[0].items() if name != "access_token"}
    assert sent == {
        "first_call": "employee",
        "switch_at_once": True,
        "early_switching": True,
        "show_virtual_phone_number": False,
        "virtual_phone_number": NUMBER,
        "external_id": f"click-{command.pk}",
        "direction": "out",
        "contact": CONTACT,
        "employee": {"id": IVAN},
    }
    assert (command.state, command.session_id) == (Command.State.DONE, max(pbx.sessions))


def test_click_is_answered_before_the_request_to_uis(click, pbx, tenant):
    assert click(works=False).status_code == 200
    assert pbx.dialled == []


@pytest.mark.parametrize(
    "phone", ["+79990000001", " 79990000001", "79990000001", "89990000001", "+7 (999) 000-00-01", "9990000001"]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_phone_number_is_accepted_in_any_form(click, pbx, tenant, phone, method):
    click(method=method, phone=phone)
    assert [call["contact"] for call in pbx.dialled] == [CONTACT]


def test_phone_number_with_its_plus_decoded_as_a_space_is_accepted(client, tenant, run_queue, pbx):
    query = f"clientId={quote(tenant.crm.client_id)}&code=101&phone=+79990000001"
    client.get(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/?{query}")
    run_queue()
    assert [call["contact"] for call in pbx.dialled] == [CONTACT]


@pytest.mark.parametrize("params", [{"code": None}, {"userId": None}, {"code": "999"}, {"code": "102"}])
def test_employee_is_found_by_user_or_by_extension(click, pbx, tenant, params):
    click(**params)
    assert [call["employee"]["id"] for call in pbx.dialled] == [IVAN]


def test_caller_id_is_the_stores_then_the_employees_then_the_default_number(click, pbx, tenant):
    other = VirtualNumber.objects.get(number="74950000002")
    click(phone="+79990000101")
    Employee.objects.filter(uis_id=IVAN).update(caller_id_number=other)
    click(phone="+79990000102")
    click(phone="+79990000103", externalPhone=f"+{NUMBER}")
    click(phone="+79990000104", externalPhone="+74959999999")
    assert [call["virtual_phone_number"] for call in pbx.dialled] == [NUMBER, "74950000002", NUMBER, "74950000002"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"code": "999", "userId": "999"}, "UNKNOWN_USER"),
        ({"code": None, "userId": None}, "UNKNOWN_USER"),
        ({"phone": ""}, "BAD_PHONE"),
        ({"phone": "101"}, "BAD_PHONE"),
        ({"phone": "hello"}, "BAD_PHONE"),
        ({"phone": f"+{NUMBER}"}, "OWN_NUMBER"),
    ],
)
def test_click_that_cannot_be_dialled_is_rejected_with_the_reason(click, pbx, tenant, params, reason):
    answer = click(**params)
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert answer.json()["errorMsg"]
    assert (Command.objects.get().reason, pbx.dialled) == (reason, [])


def test_second_click_within_five_seconds_is_rejected(click, pbx, tenant):
    assert click().status_code == 200
    assert click().status_code == 400
    assert click(phone="8 999 000 00 01").status_code == 400
    assert click(phone="+79990000002").status_code == 200
    assert len(pbx.dialled) == 2


def test_click_after_five_seconds_is_dialled_again(click, pbx, later, tenant):
    click()
    later(timedelta(seconds=6))
    assert click().status_code == 200
    assert len(pbx.dialled) == 2


def test_stale_click_is_not_dialled(click, pbx, later, run_queue, tenant):
    click(works=False)
    later(timedelta(seconds=11))
    run_queue()
    assert (Command.objects.get().reason, pbx.dialled) == ("STALE", [])


@pytest.mark.parametrize("kind", ["timeout", "cut", "503", "refused", "internal_error", "html"])
def test_click_with_an_unclear_outcome_is_not_dialled_again(click, uis_world, pbx, later, tenant, kind):
    uis_world.break_down(kind)
    click()
    uis_world.repair()
    dialled = len(pbx.dialled)
    later(timedelta(minutes=5))
    assert Command.objects.get().reason == "NOT_REPEATED"
    assert len(pbx.dialled) == dialled


def test_click_claimed_by_a_dead_worker_is_not_dialled_again(click, pbx, later, tenant):
    click(works=False)
    command = Command.objects.get()
    assert Command.objects.claim_one(command.pk, now=timezone.now(), state=Command.State.RUNNING)
    task_queue.drain()
    later(timedelta(minutes=5))
    command.refresh_from_db()
    assert (command.state, command.reason, pbx.dialled) == (Command.State.FAILED, "NOT_REPEATED", [])


def test_task_that_runs_twice_dials_once(click, pbx, tenant):
    click(works=False)
    crm_tasks.run_command(Command.objects.get().pk)
    task_queue.drain()
    assert len(pbx.dialled) == 1


@pytest.mark.slow
def test_click_from_a_lost_queue_is_not_dialled_late(click, pbx, later, tenant):
    click(works=False)
    task_queue.lose()
    later(timedelta(minutes=3))
    assert (Command.objects.get().reason, pbx.dialled) == ("STALE", [])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"blacklist": {CONTACT}}, "blacklist"),
        ({"forbidden_contacts": {CONTACT}}, ""),
    ],
)
def test_rejection_by_uis_is_stored_with_its_message(click, pbx, tenant, setting, message):
    for name, value in setting.items():
        setattr(pbx, name, value)
    click()
    command = Command.objects.get()
    assert (command.state, command.reason) == (Command.State.FAILED, "UIS_REFUSED")
    assert message in command.detail


def test_missing_uis_component_fails_the_click_but_not_the_connection(click, pbx, tenant):
    pbx.components.clear()
    click()
    assert Command.objects.get().reason == "UIS_DENIED"
    tenant.uis.refresh_from_db()
    assert tenant.uis.denied_at is None


def test_unknown_client_id_is_forbidden_and_logged(click, pbx, tenant, stranger, caplog):
    for client_id in ("", "wrong", stranger.crm.client_id):
        assert click(clientId=client_id).status_code == 403
    assert (pbx.dialled, Command.objects.count()) == ([], 0)
    assert caplog.records[0].msg["tenant"] == "romashka"
    assert stranger.crm.client_id not in caplog.text


def test_unknown_hook_is_not_found(client, db):
    assert client.get("/hooks/retailcrm/unknown/make-call/").status_code == 404


def test_click_of_a_paused_tenant_is_rejected(click, pbx, tenant):
    type(tenant).objects.update(is_paused=True)
    assert click().status_code == 400
    assert (Command.objects.get().reason, pbx.dialled) == ("NOT_ACTIVE", [])


@pytest.mark.parametrize("language", ["ru", "en"])
def test_error_message_is_in_the_tenants_language(click, tenant, language):
    type(tenant).objects.update(language=language)
    message = click(phone="").json()["errorMsg"]
    with translation.override(language):
        assert message == str(Command.Reason.BAD_PHONE.label)


def test_click_of_a_dismissed_employee_is_rejected(click, pbx, tenant):
    Employee.objects.filter(uis_id=IVAN).update(is_dismissed=True)
    assert click().status_code == 400
    assert pbx.dialled == []
    assert ANNA


def test_client_id_is_not_stored(click, tenant):
    click()
    assert tenant.crm.client_id not in str(Command.objects.get().params)
