"""The client's page: from two keys to the first card, by forms alone, the way a browser without scripts goes."""

import html
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.core import check_results
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, steps
from connector_project.operations.onboarding.forms import KeysForm
from crm import integration_module, user_linking
from crm.retailcrm.client import RetailCrmClient
from telephony import checks
from tenants import onboarding
from tenants.models import AuditLogEntry, CheckRun, CrmConnection, Employee, Tenant, UisConnection, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CRM_HOST, IVAN, PETR
from tests.flows.templates import send_every_event

KEYS = {
    "brand": "uis",
    "access_token": "uis-token",
    "address": f"https://{CRM_HOST}",
    "key": "fakeApiKey00000000000000000000ab",
}


@pytest.fixture
def newcomer(db, pbx, crm):
    """A client of whom the operator knows the name."""
    return onboarding.create_tenant(onboarding.NewTenant(name="Василёк"), now=timezone.now())


@pytest.fixture
def visit(client, newcomer):
    """Open the page, or send one of its forms and follow it back; return status and text."""

    def go(do="", tenant=newcomer, language="en", **form):
        url = f"/activate/{Tenant.objects.get(pk=tenant.pk).activation_token}/"
        headers = {"Accept-Language": language}
        answer = client.post(url, {"do": do, **form}, headers=headers) if do else client.get(url, headers=headers)
        if answer.status_code == 303:
            answer = client.get(answer["Location"], headers=headers)
        text = html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode()))
        return answer.status_code, re.sub(r"\s+", " ", text)

    return go


def test_three_acts_lead_to_telephony(visit, newcomer, run_queue, crm, pbx):
    status, text = visit()
    assert status == 200
    assert "missing UIS access key" in text
    assert "Settings → Integration → API keys" in text
    assert "Notifications in UIS" not in text
    visit("keys", **KEYS)
    assert run_queue() > 5
    status, text = visit()
    assert "Telephony is on since" in text
    assert "ends in …00ab" in text
    assert crm.modules[integration_module.code(newcomer)]["active"] is True
    assert Tenant.objects.get(pk=newcomer.pk).is_live
    assert '"event": "waiting", "notification_time": {{notification_time}}' in text


def test_each_notification_has_an_address_of_its_own(visit, newcomer, run_queue, client):
    visit("keys", **KEYS)
    run_queue()
    page = client.get(f"/activate/{Tenant.objects.get().activation_token}/").content.decode()
    where = integration_module.addresses(Tenant.objects.get())["notifications"]
    for event in ("waiting", "outgoing", "talk_started", "call_end", "lost_call", "recorded"):
        assert f'readonly value="{where}{event}/"' in page


def test_each_step_is_shown_as_it_goes(visit, newcomer):
    visit("keys", **KEYS)
    seen = []
    for _turn in range(len(activation.STEPS)):
        seen.append(re.search(r"Step (\d) of 5", visit()[1])[1])
        _run_one()
    assert seen == ["1", "2", "3", "4", "5"]
    assert "Telephony is on." in visit()[1]


def _run_one():
    from django_q.models import OrmQ
    from django_q.signing import SignedPackage

    row = next(
        row for row in OrmQ.objects.order_by("pk") if SignedPackage.loads(row.payload)["func"] == activation.TASK
    )
    row.delete()
    operations_tasks.run_activation_step(*SignedPackage.loads(row.payload)["args"])


def test_second_press_changes_nothing(visit, newcomer, run_queue, crm_world):
    visit("keys", **KEYS)
    visit("activate")
    visit("activate")
    run_queue()
    first = Tenant.objects.get(pk=newcomer.pk).activated_at
    crm_world.requests.clear()
    visit("activate")
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).activated_at == first
    assert crm_world.requests == []
    assert AuditLogEntry.objects.filter(tenant=newcomer, action=AuditLogEntry.Action.ACTIVATED).count() == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"access_token": "no-such-key"}, "UIS does not know this key."),
        ({"key": "no-such-key"}, "The CRM does not know this API key."),
        ({"address": "https://nobody.retailcrm.ru"}, "There is no CRM account at https://nobody.retailcrm.ru."),
    ],
)
def test_wrong_key_is_named_with_its_place_and_can_be_put_right(visit, newcomer, run_queue, wrong, says):
    visit("keys", **KEYS | wrong)
    run_queue()
    text = visit()[1]
    assert says in text
    assert "You can put this right yourself." in text
    assert not Tenant.objects.get(pk=newcomer.pk).is_live
    visit("keys", **KEYS)
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live
    assert says not in visit()[1]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"address": "https://shop.example.com"}, "is no address of a CRM account"),
        ({"address": "http://[broken"}, "is no address of a CRM account"),
        ({"access_token": "ключ"}, "a letter that is not Latin in the key"),
        ({"key": "two words"}, "a letter that is not Latin in the key"),
        ({"brand": "another"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_a_key_is_refused_before_anything_is_asked(visit, newcomer, typed, says, crm_world, uis_world):
    status, text = visit("keys", **KEYS | typed)
    assert (status, says in text) == (422, True)
    assert (crm_world.requests, uis_world.requests) == ([], [])
    assert UisConnection.objects.get(tenant=newcomer).access_token == ""


def test_any_page_of_the_crm_will_do_for_its_address(visit, newcomer, run_queue):
    visit("keys", **KEYS | {"address": f" {CRM_HOST.upper()}/orders/1/edit?x=1#top "})
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).crm.address == f"https://{CRM_HOST}"


def test_one_key_first_the_other_later(visit, newcomer, run_queue):
    text = visit("keys", brand="uis", access_token="uis-token", address="", key="")[1]
    assert "Saved. Still missing: Address of the CRM, CRM API key." in text
    assert run_queue() == 0
    visit("keys", brand="uis", access_token="", address=KEYS["address"], key=KEYS["key"])
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live


def test_lost_queue_does_not_leave_the_page_waiting_for_ever(visit, newcomer, later):
    visit("keys", **KEYS)
    task_queue.lose()
    later(timedelta(minutes=3))
    assert Tenant.objects.get(pk=newcomer.pk).is_live


def test_vendor_that_is_away_stops_it_and_a_press_goes_on(visit, newcomer, run_queue, uis_world):
    uis_world.break_down("503")
    visit("keys", **KEYS)
    run_queue()
    assert "UIS does not answer" in visit()[1]
    uis_world.repair()
    visit("activate")
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live


def test_link_that_is_none_is_a_page_like_any_other_wrong_one(client, db):
    answer = client.get("/activate/no-such-token/", headers={"Accept-Language": "en"})
    assert answer.status_code == 404
    assert "it may have been replaced" in answer.content.decode()
    other = client.get("/hooks/uis/no-such-hook/", headers={"Accept-Language": "en"})
    assert (other.status_code, other.content) == (404, answer.content)
    assert client.post("/activate/no-such-token/", {"do": "activate"}).status_code == 404


def test_link_expires(client, newcomer):
    Tenant.objects.filter(pk=newcomer.pk).update(activation_expires_at=timezone.now())
    url = f"/activate/{newcomer.activation_token}/"
    for answer in (client.get(url), client.post(url, {"do": "keys", **KEYS}), client.post(url, {"clientId": "wrong"})):
        assert answer.status_code == 410
        assert newcomer.name not in answer.content.decode()
    assert UisConnection.objects.get(tenant=newcomer).access_token == ""


def test_crm_opens_the_page_by_post_and_renews_an_old_link(client, newcomer):
    url = f"/activate/{newcomer.activation_token}/"
    assert client.post(url, {"clientId": newcomer.crm.client_id}).status_code == 200
    Tenant.objects.filter(pk=newcomer.pk).update(activation_expires_at=timezone.now())
    answer = client.post(url, {"clientId": newcomer.crm.client_id})
    renewed = Tenant.objects.get(pk=newcomer.pk).activation_token
    assert (answer.status_code, answer["Location"]) == (303, f"/activate/{renewed}/")
    assert client.get(url).status_code == 404
    assert client.get(answer["Location"]).status_code == 200


def test_link_of_the_marketplace_opens_once(client, newcomer):
    Tenant.objects.filter(pk=newcomer.pk).update(one_time_token="only-once")
    answer = client.get("/activate/only-once/")
    assert (answer.status_code, answer["Location"]) == (302, f"/activate/{newcomer.activation_token}/")
    assert client.get("/activate/only-once/").status_code == 404


def test_who_tries_too_often_has_to_wait(visit, newcomer, run_queue, later):
    for _attempt in range(activation.ATTEMPTS):
        visit("keys", **KEYS | {"key": "guessed"})
    status, text = visit("keys", **KEYS | {"key": "guessed-again"})
    assert (status, "Too many attempts" in text) == (429, True)
    assert Tenant.objects.get(pk=newcomer.pk).crm.key == "guessed"
    later(timedelta(minutes=11))
    visit("keys", **KEYS)
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live


def test_lamps_turn_green_with_the_first_real_notification(visit, newcomer, run_queue, client, pbx):
    visit("keys", **KEYS)
    run_queue()
    assert visit()[1].count("waits for the first one") == 6
    hook = f"/hooks/uis/{UisConnection.objects.get(tenant=newcomer).hook}/"
    send_every_event(client, hook, pbx)
    text = visit()[1]
    assert (text.count("waits for the first one"), text.count("works just now")) == (0, 6)
    send_every_event(client, hook, pbx, only="waiting", spoil=lambda body: body.replace('"employee_id"', '"employee"'))
    assert "The body lacks these lines: employee_id." in visit()[1]
    send_every_event(client, hook, pbx, only="waiting")
    assert "The body lacks these lines" not in visit()[1]


def test_nothing_entered_is_said_so(visit, run_queue):
    assert "Nothing was entered. Missing: UIS access key" in visit("keys", brand="uis", address="", key="")[1]
    assert run_queue() == 0


def test_changed_address_is_old_until_it_is_typed_anew(visit, newcomer, run_queue, client, pbx):
    visit("keys", **KEYS)
    run_queue()
    uis = UisConnection.objects.get(tenant=newcomer)
    old = f"/hooks/uis/{uis.hook}/"
    send_every_event(client, old, pbx)
    uis.rotate_hook(now=timezone.now())
    send_every_event(client, old, pbx)
    text = visit()[1]
    assert text.count("old address: replace it") == 6
    assert "(Europe/Moscow): replace them in UIS." in text
    send_every_event(client, f"/hooks/uis/{UisConnection.objects.get(tenant=newcomer).hook}/", pbx, only="waiting")
    assert visit()[1].count("old address: replace it") == 5


def test_number_for_outgoing_calls_is_chosen(visit, newcomer, run_queue, stranger):
    visit("keys", **KEYS)
    run_queue()
    assert "DEFAULT_NUMBER" in visit()[1]
    foreign = VirtualNumber.objects.get(tenant=stranger)
    assert "Choose a number." in visit("number", number=foreign.pk)[1]
    VirtualNumber.objects.filter(pk=foreign.pk).update(is_default=True)
    own = VirtualNumber.objects.get(tenant=newcomer, number="74950000002")
    assert "Calls from the CRM now go out with +74950000002." in visit("number", number=own.pk)[1]
    run_queue()
    assert "DEFAULT_NUMBER" not in visit()[1].split("passed")[0]
    assert VirtualNumber.objects.get(tenant=newcomer, is_default=True) == own
    assert VirtualNumber.objects.get(tenant=stranger, is_default=True) == foreign


def test_test_card_opens_and_closes_on_one_screen(visit, newcomer, run_queue, crm, client):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    text = visit("card", person=ivan.pk, contact="8 (900) 000-00-00")[1]
    assert "The CRM took the card." in text
    assert [card["phone"] for card in crm.cards()[27]] == ["+79000000000"]
    assert list(crm.cards()) == [27]
    card = crm.events[-1]["callExternalId"]
    assert "Close the card" in text
    visit("close", person=ivan.pk, contact="79000000000", card=card)
    assert crm.cards() == {}


@pytest.mark.parametrize("form", [{"person": "x", "contact": "+79000000000"}, {"contact": "101"}, {"contact": ""}])
def test_test_card_needs_a_manager_and_a_number(visit, newcomer, run_queue, crm, form):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    assert "Choose a manager" in visit("card", **{"person": ivan.pk} | form)[1]
    assert crm.events == []


def test_test_card_that_the_crm_refuses_says_why(visit, newcomer, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    crm.modules[integration_module.code(newcomer)]["active"] = False
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    assert "Telephony not enabled" in visit("card", person=ivan.pk, contact="+79000000000")[1]
    crm.modules[integration_module.code(newcomer)]["active"] = True
    del crm.users[27]
    assert "The CRM does not know this employee" in visit("card", person=ivan.pk, contact="+79000000000")[1]


def test_nobody_closes_a_card_that_is_no_test(visit, newcomer, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    visit("close", person=ivan.pk, contact="79000000000", card="uis-5139032004")
    assert crm.events == []


def test_people_and_cards_of_others_are_out_of_reach(visit, newcomer, tenant, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    other = Employee.objects.get(tenant=tenant, uis_id=IVAN)
    unlinked = Employee.objects.get(tenant=newcomer, uis_id=ANNA)
    for person in (other, unlinked):
        assert "Choose a manager" in visit("card", person=person.pk, contact="+79000000000")[1]
    assert crm.events == []


def test_page_speaks_both_languages(visit):
    assert "Activate telephony" in visit(language="en")[1]
    assert "Включить телефонию" in visit(language="ru")[1]


def test_page_gives_no_key_away_and_can_be_framed_by_nobody(client, newcomer, visit, run_queue):
    visit("keys", **KEYS)
    run_queue()
    answer = client.get(f"/activate/{Tenant.objects.get().activation_token}/")
    text = answer.content.decode()
    assert KEYS["key"] not in text
    assert "uis-token" not in text
    assert newcomer.crm.client_id not in text
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Robots-Tag"] == "noindex"


def test_hooks_are_hidden_until_the_client_is_on(visit, newcomer):
    assert UisConnection.objects.get(tenant=newcomer).hook not in visit()[1]


def test_page_needs_a_fixed_number_of_queries(visit, newcomer, run_queue, django_assert_num_queries, client, pbx):
    visit("keys", **KEYS)
    for number in range(40):
        pbx.add_employee(400 + number, f"Человек {number}", extension=str(400 + number))
    run_queue()
    url = f"/activate/{Tenant.objects.get().activation_token}/"
    with django_assert_num_queries(7):
        client.get(url)


def test_another_account_forgets_who_is_whom(visit, newcomer, run_queue, client, crm_world):
    visit("keys", **KEYS)
    run_queue()
    before = CrmConnection.objects.get(tenant=newcomer)
    assert Employee.objects.get(tenant=newcomer, uis_id=IVAN).crm_user_id == 27
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    visit("keys", brand="uis", address=f"https://{moved.host}", key=moved.key)
    run_queue()
    assert not Employee.objects.filter(tenant=newcomer, crm_user_id__isnull=False).exists()
    assert moved.modules[integration_module.code(newcomer)]["clientId"] != before.client_id
    told = {"clientId": before.client_id, "activity": '{"active": true}', "systemUrl": before.address}
    assert client.post(f"/hooks/retailcrm/{newcomer.uis.hook}/activity/", told).status_code == 403


def test_changed_key_of_a_live_client_is_tried(visit, newcomer, run_queue):
    visit("keys", **KEYS)
    run_queue()
    visit("keys", brand="uis", key="no-such-key")
    run_queue()
    assert "The CRM does not know this API key" in visit()[1]
    visit("keys", **KEYS)
    run_queue()
    assert "The CRM does not know this API key" not in visit()[1]


def test_key_changed_while_the_steps_run_begins_them_anew(visit, newcomer, run_queue):
    visit("keys", **KEYS)
    _run_one()
    visit("keys", brand="uis", access_token="no-such-key")
    run_queue()
    assert "UIS does not know this key" in visit()[1]
    assert Tenant.objects.get(pk=newcomer.pk).activated_at is None


def test_page_with_a_long_address_will_do_too(visit, newcomer):
    visit("keys", brand="uis", address=f"https://{CRM_HOST}/admin/orders?" + "filter[status]=new&" * 100)
    assert CrmConnection.objects.get(tenant=newcomer).address == f"https://{CRM_HOST}"


def test_activation_that_kills_each_worker_comes_to_an_end(visit, newcomer, run_queue):
    visit("keys", **KEYS)
    for minutes in range(0, 16, 3):
        task_queue.lose()
        activation.resume_left(now=timezone.now() + timedelta(minutes=minutes))
    task_queue.lose()
    assert "UIS did not answer in time." in visit()[1]
    visit("activate")
    run_queue()
    assert "Telephony is on since" in visit()[1]


def test_step_of_the_crm_that_kills_each_worker_names_the_crm(visit, newcomer):
    visit("keys", **KEYS)
    _run_one()
    task_queue.lose()
    activation.resume_left(now=timezone.now() + timedelta(minutes=11))
    assert "retailCRM did not answer in time." in visit()[1]


def test_button_registers_a_module_that_is_gone_or_leads_elsewhere(tenant, crm):
    crm.modules.clear()
    steps.activate(tenant, now=timezone.now())
    telephony = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]
    ours = telephony["makeCallUrl"]
    telephony["makeCallUrl"] = "https://other.example.com/call"
    steps.activate(tenant, now=timezone.now())
    assert crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["makeCallUrl"] == ours


def test_cause_goes_when_the_command_switches_him_on(visit, newcomer, run_queue, pbx):
    visit("keys", **KEYS | {"access_token": "no-such-key"})
    run_queue()
    tenant = Tenant.objects.get(pk=newcomer.pk)
    tenant.uis.access_token = pbx.token
    tenant.uis.save()
    steps.activate(tenant, now=timezone.now())
    assert "Telephony is on. Notifications" in visit()[1]


def test_link_in_the_crm_is_the_renewed_one(visit, newcomer, client, crm, run_queue):
    visit("keys", **KEYS)
    run_queue()
    Tenant.objects.filter(pk=newcomer.pk).update(activation_expires_at=timezone.now())
    client_id = CrmConnection.objects.get(tenant=newcomer).client_id
    for status in (303, 200):
        url = crm.modules[integration_module.code(newcomer)]["accountUrl"].removeprefix("https://connector.example.com")
        assert client.post(url, {"clientId": client_id}).status_code == status
        run_queue()


def test_look_ahead_uses_up_no_link(client, newcomer):
    Tenant.objects.filter(pk=newcomer.pk).update(one_time_token="only-once")
    assert client.head("/activate/only-once/").status_code == 404
    assert client.get("/activate/only-once/").status_code == 302


def test_module_found_gone_can_be_registered_by_the_button(visit, newcomer, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    assert "Activate telephony" not in visit()[1]
    crm.modules.clear()
    visit("check")
    run_queue()
    assert "Activate telephony" in visit()[1]
    visit("activate")
    run_queue()
    assert crm.modules[integration_module.code(newcomer)]["active"] is True
    assert "Activate telephony" not in visit()[1]


def test_what_was_typed_for_a_card_is_not_lost(visit, newcomer, run_queue, client):
    visit("keys", **KEYS)
    run_queue()
    person = Employee.objects.get(tenant=newcomer, uis_id=PETR)
    form = {"do": "card", "person": person.pk, "contact": '7 900 "typo"'}
    answer = client.post(f"/activate/{Tenant.objects.get(pk=newcomer.pk).activation_token}/", form)
    assert answer.status_code == 422
    assert 'value="7 900 &quot;typo&quot;"' in answer.content.decode()
    assert f'<option value="{person.pk}" selected>' in answer.content.decode()


def test_keys_that_were_on_their_way_when_he_left_are_not_stored(newcomer, client, monkeypatch, run_queue):
    real = KeysForm.is_valid

    def meanwhile(form):
        offboarding.offboard(Tenant.objects.get(pk=newcomer.pk), now=timezone.now())
        return real(form)

    monkeypatch.setattr(KeysForm, "is_valid", meanwhile)
    client.post(f"/activate/{newcomer.activation_token}/", {"do": "keys", **KEYS})
    run_queue()
    left = Tenant.objects.select_related("uis", "crm").get(pk=newcomer.pk)
    assert (left.uis.access_token, left.crm.key, left.activated_at) == ("", "", None)
    assert left.offboarded_at is not None


def test_links_of_the_account_before_are_not_written_by_a_late_task(tenant, crm, monkeypatch):
    real = RetailCrmClient.users

    def meanwhile(asked):
        found = real(asked)
        user_linking.reset_links(Tenant.objects.select_related("crm").get(pk=tenant.pk))
        return found

    monkeypatch.setattr(RetailCrmClient, "users", meanwhile)
    user_linking.link(tenant, now=timezone.now())
    assert not Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).exists()


def test_account_that_an_operator_changed_is_another_too(tenant, crm, crm_world, run_queue):
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    tenant.crm.address, tenant.crm.key = f"https://{moved.host}", moved.key
    tenant.crm.save()
    user_linking.link(tenant, now=timezone.now())
    assert not Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).exists()
    assert moved.modules[integration_module.code(tenant)]["active"] is True


@pytest.mark.parametrize("fails", [False, True])
def test_step_that_was_at_work_when_keys_changed_counts_no_more(visit, newcomer, monkeypatch, fails):
    visit("keys", **KEYS)
    first = Activation.objects.get(tenant=newcomer).started_at

    def meanwhile(tenant, _step, *, now):
        activation.start(tenant, now=now + timedelta(seconds=1), is_forced=True)
        if fails:
            raise check_results.CheckFailed(checks.key_missing())

    monkeypatch.setattr(activation, "run_step", meanwhile)
    activation.run_next_step(Tenant.objects.get(pk=newcomer.pk), now=timezone.now())
    row = Activation.objects.get(tenant=newcomer)
    assert (row.state, row.step, row.started_at > first) == ("RUNNING", "UIS", True)


def test_sweep_leaves_an_activation_at_work_alone(visit, newcomer):
    visit("keys", **KEYS)
    assert activation.resume_left(now=timezone.now()) == 0
    assert activation.resume_left(now=timezone.now() + timedelta(minutes=3)) == 1


def test_press_opens_both_doors(tenant):
    now = timezone.now()
    tenant.uis.suspend("access_token_blocked", "", now=now)
    tenant.crm.suspend("key", "", now=now)
    again = Tenant.objects.select_related("uis", "crm", "rules").get(pk=tenant.pk)
    steps.activate(again, now=now)
    assert Tenant.objects.filter(pk=tenant.pk, uis__denied_at=None, crm__denied_at=None).exists()


def test_look_whose_worker_died_is_not_waited_for(visit, newcomer):
    visit("check")
    assert "Everything is being checked" in visit()[1]
    CheckRun.objects.update(requested_at=timezone.now() - timedelta(minutes=3))
    assert "Everything is being checked" not in visit()[1]


def test_page_of_a_client_who_left_is_gone_by_either_link(client, newcomer):
    Tenant.objects.filter(pk=newcomer.pk).update(offboarded_at=timezone.now(), one_time_token="only-once")
    assert client.get(f"/activate/{newcomer.activation_token}/").status_code == 404
    assert client.get("/activate/only-once/").status_code == 404


def test_card_of_another_client_is_not_closed(visit, newcomer, run_queue, crm, tenant):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    visit("close", person=ivan.pk, contact="79000000000", card=f"test-{tenant.pk}-1790000000")
    assert crm.events == []


def test_closed_test_card_is_no_missed_call(visit, newcomer, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    visit("card", person=ivan.pk, contact="+79000000000")
    text = visit("close", person=ivan.pk, contact="79000000000", card=crm.events[-1]["callExternalId"])[1]
    assert (crm.events[-1]["hangupStatus"], "The card is closed." in text) == ("answered", True)
