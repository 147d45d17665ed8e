"""An extension is no identity: it says who it is only where the module in the CRM gives it to this very person."""

import random

import pytest
from django.utils import timezone

from connector_project.operations.onboarding import sample_popup
from crm import integration_module
from crm import tasks as crm_tasks
from crm.models import Command
from telephony import tasks as uis_tasks
from telephony.models import Call
from tenants.models import CrmConnection, Employee
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]


@pytest.fixture
def talk(pbx, notify):
    """Let an employee talk to a customer: the call is uploaded."""

    def add(uis_id, contact=CONTACT):
        notify(pbx.call(contact=contact, number=NUMBER, talks=[(uis_id, 20)]).notification("call_end"))

    return add


@pytest.fixture
def ring(pbx, notify):
    def add(uis_id):
        call = pbx.call(contact=CONTACT, number=NUMBER, rings=[uis_id])
        notify(call.notification("waiting", employee_id=uis_id, at=timezone.now()))

    return add


def set_extension(uis_id, extension, **values):
    Employee.objects.filter(uis_id=uis_id, tenant__slug="romashka").update(extension=extension, **values)


def dismiss_petr_and_give_102_to_anna(tenant, crm):
    """Petr is deleted in UIS, and Anna gets that extension, which the module in the CRM has."""
    crm.add_user(31, first_name="Анна")
    petr = Employee.objects.get(tenant=tenant, uis_id=PETR)
    petr.is_dismissed = True
    petr.save()
    petr.release()
    set_extension(ANNA, "102", crm_user_id=31, linked_by="MANUAL")
    crm_tasks.register_module(tenant.pk)
    assert crm.users_of("102") == [31]


def exchange_before_the_sync_reaches_the_crm(tenant, _crm):
    set_extension(PETR, "101")
    set_extension(IVAN, "102")
    assert CrmConnection.objects.get(tenant=tenant).registered_module["codes"] == [[27, "101"], [28, "102"]]


def people_gave_102_to_another_user(tenant, crm):
    crm.add_user(31, first_name="Ольга")
    block = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]
    block["additionalCodes"] = [{"userId": 27, "code": "101"}, {"userId": 31, "code": "102"}]
    crm_tasks.link_users(tenant.pk)


def answer_of_the_registration_was_lost(tenant, crm, crm_world):
    set_extension(PETR, "104")
    set_extension(IVAN, "102")
    crm_world.break_down("cut", path_part="/edit", times=1)
    crm_tasks.register_module(tenant.pk)
    assert crm.users_of("102") == [27]
    CrmConnection.objects.update(consecutive_failures=0, retry_at=None)


def two_share_102(tenant, crm):
    set_extension(ANNA, "102")
    crm_tasks.register_module(tenant.pk)
    assert crm.users_of("102") == []


def module_is_not_registered(tenant, _crm):
    CrmConnection.objects.filter(tenant=tenant).update(registered_module={})


CASES = [
    # who talks, the user that the record must name, whether it may name the extension
    (dismiss_petr_and_give_102_to_anna, PETR, None, None),
    (dismiss_petr_and_give_102_to_anna, ANNA, 31, "102"),
    (dismiss_petr_and_give_102_to_anna, IVAN, 27, "101"),
    (exchange_before_the_sync_reaches_the_crm, PETR, 28, None),
    (exchange_before_the_sync_reaches_the_crm, IVAN, 27, None),
    (people_gave_102_to_another_user, PETR, 28, None),
    (people_gave_102_to_another_user, IVAN, 27, "101"),
    (answer_of_the_registration_was_lost, PETR, 28, "104"),
    (answer_of_the_registration_was_lost, IVAN, 27, None),
    (two_share_102, PETR, 28, None),
    (two_share_102, ANNA, None, None),
    (module_is_not_registered, IVAN, 27, None),
]
NAMES = [f"{change.__name__}-{uis_id}" for change, uis_id, _user, _code in CASES]


def apply(change, tenant, crm, crm_world):
    change(tenant, crm, *([crm_world] if change is answer_of_the_registration_was_lost else []))


@pytest.mark.parametrize(("change", "uis_id", "user", "code"), CASES, ids=NAMES)
def test_record_names_the_extension_of_this_very_person_only(
    talk, tenant, stranger, crm, crm_world, change, uis_id, user, code
):
    apply(change, tenant, crm, crm_world)
    talk(uis_id)
    sent = crm.calls[0]
    assert (sent.get("userId"), sent.get("code"), sent["_manager"]) == (user, code, user)


@pytest.mark.parametrize(("change", "uis_id", "user", "code"), CASES, ids=NAMES)
def test_popup_names_the_extension_of_this_very_person_only(
    ring, tenant, stranger, crm, crm_world, change, uis_id, user, code
):
    apply(change, tenant, crm, crm_world)
    ring(uis_id)
    sent = [(event.get("userIds"), event.get("codes")) for event in crm.events]
    assert sent == ([([user], [code] if code else None)] if user else [])
    assert list(crm.popups()) == ([user] if user else [])


@pytest.mark.parametrize(("change", "uis_id", "user", "code"), CASES, ids=NAMES)
def test_sample_popup_names_the_extension_of_this_very_person_only(tenant, crm, crm_world, change, uis_id, user, code):
    apply(change, tenant, crm, crm_world)
    employee = Employee.objects.select_related("tenant__crm").get(tenant=tenant, uis_id=uis_id)
    if user is None:
        with pytest.raises(sample_popup.NotShown):
            sample_popup.send(employee, contact=CONTACT, now=timezone.now())
    else:
        sample_popup.send(employee, contact=CONTACT, now=timezone.now())
    assert list(crm.popups()) == ([user] if user else [])


@pytest.mark.parametrize("seed", range(4))
def test_no_record_ever_stands_at_a_colleague(talk, tenant, crm, seed):
    """Extensions are given at random, with the module registered or not: each record stands at the talker or nobody."""
    rng, users = random.Random(seed), {IVAN: 27, PETR: 28, ANNA: 31}
    crm.add_user(31, first_name="Анна")
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=31, linked_by="MANUAL")
    for number in range(5):
        for uis_id in users:
            set_extension(uis_id, rng.choice(["101", "102", "103", ""]))
        if rng.random() < 0.5:
            crm_tasks.register_module(tenant.pk)
        uis_id = rng.choice(list(users))
        talk(uis_id, f"7999000{number:04d}")
        sent = crm.calls[-1]
        assert sent["_manager"] == users[uis_id]
        assert crm.users_of(sent.get("code", "")) in ([], [users[uis_id]])


# --- clicks


@pytest.fixture
def click(client, tenant, run_queue):
    def send(**params):
        form = {"clientId": tenant.crm.client_id, "phone": CONTACT} | params
        client.post(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form)
        run_queue()
        return Command.objects.latest("pk").reason

    return send


CLICKS = [
    # The parameters, and whose phone must ring.
    (exchange_before_the_sync_reaches_the_crm, {"code": "102"}, PETR),
    (exchange_before_the_sync_reaches_the_crm, {"code": "101"}, IVAN),
    (exchange_before_the_sync_reaches_the_crm, {"code": "102", "userId": "28"}, PETR),
    (dismiss_petr_and_give_102_to_anna, {"code": "102"}, ANNA),
    (dismiss_petr_and_give_102_to_anna, {"code": "102", "userId": "28"}, None),
    (dismiss_petr_and_give_102_to_anna, {"code": "101", "userId": "28"}, None),
    (module_is_not_registered, {"code": "103"}, ANNA),
    (module_is_not_registered, {"code": "103", "userId": "99"}, ANNA),
    (module_is_not_registered, {"code": "101", "userId": "99"}, None),
]


@pytest.mark.parametrize(("change", "params", "rung"), CLICKS)
def test_click_rings_whose_extension_it_is_in_the_crm(click, tenant, crm, pbx, crm_world, change, params, rung):
    apply(change, tenant, crm, crm_world)
    reason = click(**params)
    assert [sent["employee"]["id"] for sent in pbx.dialled] == ([rung] if rung else [])
    assert reason == ("" if rung else "UNKNOWN_USER")


# --- ids of users


def test_manager_named_by_another_account_is_not_sent(tenant, crm, run_queue, talk, pbx):
    """The same ids are other users in the account that the client has now."""
    now = timezone.now()
    times = {"started_at": now, "ended_at": now, "retry_window_started_at": now}
    call = Call.objects.create(tenant=tenant, session_id=7, state="READY", crm_user_id=27, contact=CONTACT, **times)
    tenant.crm.forget_account()
    uis_tasks.sync_all()
    run_queue()
    call.refresh_from_db()
    assert call.crm_user_id is None


def test_dismissed_employees_user_is_not_sent(talk, tenant, crm, run_queue):
    petr = Employee.objects.get(tenant=tenant, uis_id=PETR)
    petr.is_dismissed = True
    petr.save()
    petr.release()
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=28, linked_by="MANUAL")
    talk(PETR)
    assert (crm.calls[0].get("userId"), crm.calls[0].get("code")) == (None, None)
