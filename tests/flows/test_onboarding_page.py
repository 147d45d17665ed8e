"""The client's page: from two keys to the first pop-up, by forms alone, as in a browser without scripts."""

import copy
import html
import re
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from connector_project.core import check_results
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, page_context, steps
from connector_project.operations.onboarding.forms import KeysForm
from crm import integration_module, user_linking
from crm.retailcrm.client import RetailCrmClient
from telephony import checks
from tenants import onboarding
from tenants.models import AuditLogEntry, CheckRun, CrmConnection, Employee, Tenant, UisConnection, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CRM_HOST, IVAN, NUMBER, PETR
from tests.flows.templates import send_every_event

KEYS = {
    "brand": "uis",
    "access_token": "uis-token",
    "address": f"https://{CRM_HOST}",
    "key": "fakeApiKey00000000000000000000ab",
}


@pytest.fixture
def newcomer(db, pbx, crm):
    """A client of whom only the name is known."""
    return onboarding.create_tenant(onboarding.NewTenant(name="Василёк"), now=timezone.now())


class Page:
    """The page as the client gets it: its HTML, its text without the tags, and the values it was made from."""

    def __init__(self, answer):
        self.status, self.html = answer.status_code, answer.content.decode()
        self.text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", self.html)))
        self.journey = answer.context["journey"]
        self.messages = [str(message) for message in answer.context["messages"]]
        self.levels = re.findall(r'<p class="message (\w+)" role=', self.html)
        self.lamps = re.findall(r'data-live="lamp-\w+">\s*<span class="lamp (\w+)"', self.html)
        self.faults = re.findall(r'<p class="fault">([^<]*)</p>', self.html)
        self.steps = re.findall(r'<li class="(\w+)"><span class="mark"', self.html)
        self.buttons = set(re.findall(r'<button name="do" value="(\w+)"', self.html))
        self.is_checking = 'class="busy"' in self.html

    @property
    def failed_check(self):
        """Return the code of what stopped the activation, if the page shows it."""
        cause = self.journey.cause
        return cause.check.code if cause and cause.check.code in self.text else None

    @property
    def event_states(self):
        return [notice.state for notice in self.journey.notices]


@pytest.fixture
def visit(client, newcomer):
    """Open the page, or send one of its forms and follow it back."""

    def go(do="", tenant=newcomer, language="en", **form):
        url = f"/activate/{Tenant.objects.get(pk=tenant.pk).activation_token}/"
        headers = {"Accept-Language": language}
        answer = client.post(url, {"do": do, **form}, headers=headers) if do else client.get(url, headers=headers)
        if answer.status_code == 303:
            answer = client.get(answer["Location"], headers=headers)
        return Page(answer)

    return go


def test_three_acts_lead_to_telephony(visit, newcomer, run_queue, crm, pbx):
    page = visit()
    assert (page.status, page.html.count('class="lamp off"')) == (200, 2)
    assert re.findall(r'id="hint-(\w+)"', page.html) == ["access_token", "address", "key"]
    assert 'id="notices-title"' not in page.html
    visit("keys", **KEYS)
    assert run_queue() > 5
    page = visit()
    assert (page.journey.is_on, 'id="notices-title"' in page.html) == (True, True)
    assert "…00ab" in page.text
    assert crm.modules[integration_module.code(newcomer)]["active"] is True
    assert Tenant.objects.get(pk=newcomer.pk).is_live
    assert '"event": "waiting", "notification_time": {{notification_time}}' in page.text


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
        seen.append(visit().steps)
        _run_one()
    assert seen == [["done"] * number + ["running"] + ["waiting"] * (4 - number) for number in range(5)]
    assert visit().journey.is_on


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
    ("wrong", "code"),
    [
        ({"access_token": "no-such-key"}, "UIS_KEY"),
        ({"key": "no-such-key"}, "CRM_KEY"),
        ({"address": "https://nobody.retailcrm.ru"}, "CRM_ACCOUNT"),
    ],
)
def test_wrong_key_is_named_and_can_be_corrected(visit, newcomer, run_queue, wrong, code):
    visit("keys", **KEYS | wrong)
    run_queue()
    page = visit()
    assert (page.failed_check, page.journey.cause.check.who) == (code, "client")
    assert page.levels == []
    assert 'class="message error"' in page.html
    assert wrong.get("address", "") in page.text
    assert not Tenant.objects.get(pk=newcomer.pk).is_live
    visit("keys", **KEYS)
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live
    assert visit().failed_check is None


@pytest.mark.parametrize(
    "typed",
    [
        {"address": "https://shop.example.com"},
        {"address": "http://[broken"},
        {"access_token": "ключ"},
        {"key": "two words"},
        {"brand": "another"},
    ],
)
def test_malformed_key_is_rejected_without_a_request(visit, newcomer, typed, crm_world, uis_world):
    page = visit("keys", **KEYS | typed)
    assert (page.status, re.findall(r'role="alert" id="error-(\w+)"', page.html)) == (422, list(typed))
    assert (crm_world.requests, uis_world.requests) == ([], [])
    assert UisConnection.objects.get(tenant=newcomer).access_token == ""


def test_any_page_of_the_crm_will_do_for_its_address(visit, newcomer, run_queue):
    visit("keys", **KEYS | {"address": f" {CRM_HOST.upper()}/orders/1/edit?x=1#top "})
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).crm.address == f"https://{CRM_HOST}"


def test_one_key_first_the_other_later(visit, newcomer, run_queue):
    page = visit("keys", brand="uis", access_token="uis-token", address="", key="")
    saved = Tenant.objects.select_related("uis", "crm").get(pk=newcomer.pk)
    with translation.override("en"):
        still_missing = page_context.missing(saved)
    assert (saved.uis.access_token, len(still_missing), page.levels) == ("uis-token", 2, ["warning"])
    assert ", ".join(still_missing) in page.messages[0]
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
    assert visit().failed_check == "UIS_ANSWERS"
    uis_world.repair()
    visit("activate")
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live


def test_link_that_is_none_is_a_page_like_any_other_wrong_one(client, db):
    answer = client.get("/activate/no-such-token/", headers={"Accept-Language": "en"})
    assert (answer.status_code, b'id="main"' in answer.content) == (404, True)
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
    page = visit("keys", **KEYS | {"key": "guessed-again"})
    assert (page.status, page.levels) == (429, ["error"])
    assert Tenant.objects.get(pk=newcomer.pk).crm.key == "guessed"
    later(timedelta(minutes=11))
    visit("keys", **KEYS)
    run_queue()
    assert Tenant.objects.get(pk=newcomer.pk).is_live


def test_lamps_turn_green_with_the_first_real_notification(visit, newcomer, run_queue, client, pbx):
    visit("keys", **KEYS)
    run_queue()
    assert visit().lamps == ["off"] * 6
    hook = f"/hooks/uis/{UisConnection.objects.get(tenant=newcomer).hook}/"
    send_every_event(client, hook, pbx)
    page = visit()
    assert (page.lamps, page.html.count('<span class="when">')) == (["good"] * 6, 6)
    assert [notice.is_new for notice in page.journey.notices] == [True] * 6
    send_every_event(client, hook, pbx, only="waiting", spoil=lambda body: body.replace('"employee_id"', '"employee"'))
    [fault] = visit().faults
    assert "employee_id" in fault
    send_every_event(client, hook, pbx, only="waiting")
    assert visit().faults == []


def test_empty_keys_are_a_warning(visit, newcomer, run_queue):
    page = visit("keys", brand="uis", address="", key="")
    with translation.override("en"):
        missing = page_context.missing(newcomer)
    assert (page.levels, len(missing), ", ".join(missing) in page.messages[0]) == (["warning"], 3, True)
    assert run_queue() == 0


def test_changed_address_is_old_until_it_is_typed_anew(visit, newcomer, run_queue, client, pbx):
    visit("keys", **KEYS)
    run_queue()
    uis = UisConnection.objects.get(tenant=newcomer)
    old = f"/hooks/uis/{uis.hook}/"
    send_every_event(client, old, pbx)
    uis.rotate_hook(now=timezone.now())
    send_every_event(client, old, pbx)
    page = visit()
    assert (page.event_states, page.lamps) == (["OLD"] * 6, ["warn"] * 6)
    assert (page.html.count('class="message warning"'), "(Europe/Moscow)" in page.text) == (1, True)
    send_every_event(client, f"/hooks/uis/{UisConnection.objects.get(tenant=newcomer).hook}/", pbx, only="waiting")
    assert sorted(visit().event_states) == ["OK"] + ["OLD"] * 5


def test_number_for_outgoing_calls_is_chosen(visit, newcomer, run_queue, stranger):
    visit("keys", **KEYS)
    run_queue()
    assert "DEFAULT_NUMBER" in visit().text
    foreign = VirtualNumber.objects.get(tenant=stranger, number=NUMBER)
    assert visit("number", number=foreign.pk).levels == ["error"]
    VirtualNumber.objects.filter(pk=foreign.pk).update(is_default=True)
    own = VirtualNumber.objects.get(tenant=newcomer, number="74950000002")
    page = visit("number", number=own.pk)
    assert (page.levels, "+74950000002" in page.messages[0]) == (["success"], True)
    run_queue()
    assert "DEFAULT_NUMBER" not in visit().text
    assert VirtualNumber.objects.get(tenant=newcomer, is_default=True) == own
    assert VirtualNumber.objects.get(tenant=stranger, is_default=True) == foreign


def test_test_card_opens_and_closes_on_one_screen(visit, newcomer, run_queue, crm, client):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    page = visit("card", person=ivan.pk, contact="8 (900) 000-00-00")
    assert page.levels == ["success"]
    assert [card["phone"] for card in crm.cards()[27]] == ["+79000000000"]
    assert list(crm.cards()) == [27]
    card = crm.events[-1]["callExternalId"]
    assert ("close" in page.buttons, "card" in page.buttons) == (True, False)
    visit("close", person=ivan.pk, contact="79000000000", card=card)
    assert crm.cards() == {}


@pytest.mark.parametrize("form", [{"person": "x", "contact": "+79000000000"}, {"contact": "101"}, {"contact": ""}])
def test_test_card_needs_a_manager_and_a_number(visit, newcomer, run_queue, crm, form):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    page = visit("card", **{"person": ivan.pk} | form)
    assert (page.status, page.levels) == (422, ["error"])
    assert crm.events == []


def test_test_card_that_the_crm_refuses_says_why(visit, newcomer, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    crm.modules[integration_module.code(newcomer)]["active"] = False
    ivan = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    refused = visit("card", person=ivan.pk, contact="+79000000000")
    assert (refused.status, refused.levels) == (422, ["error"])
    assert "Telephony not enabled" in refused.messages[0]  # the CRM's own words
    crm.modules[integration_module.code(newcomer)]["active"] = True
    del crm.users[27]
    unknown = visit("card", person=ivan.pk, contact="+79000000000")
    assert (unknown.status, unknown.levels) == (422, ["error"])
    assert unknown.messages != refused.messages


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
        page = visit("card", person=person.pk, contact="+79000000000")
        assert (page.status, page.levels) == (422, ["error"])
    assert crm.events == []


def test_page_speaks_both_languages(visit):
    label = KeysForm.base_fields["key"].label
    for language in ("en", "ru"):
        page = visit(language=language)
        with translation.override(language):
            assert (f'<html lang="{language}">' in page.html, str(label) in page.text) == (True, True)


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
    assert UisConnection.objects.get(tenant=newcomer).hook not in visit().html


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


def test_extension_typed_in_another_account_counts_there_though_the_first_was_sent_the_same(
    visit, newcomer, run_queue, crm, crm_world
):
    visit("keys", **KEYS)
    run_queue()
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    typed = moved.modules[integration_module.code(newcomer)] = copy.deepcopy(
        crm.modules[integration_module.code(newcomer)]
    )
    typed["integrations"]["telephony"]["additionalCodes"] = [{"userId": 27, "code": "101"}]
    visit("keys", brand="uis", address=f"https://{moved.host}", key=moved.key)
    run_queue()
    person = Employee.objects.get(tenant=newcomer, uis_id=IVAN)
    assert (person.crm_user_id, person.linked_by) == (27, Employee.LinkedBy.EXTENSION)


def test_changed_key_of_a_live_client_is_tried(visit, newcomer, run_queue):
    visit("keys", **KEYS)
    run_queue()
    visit("keys", brand="uis", key="no-such-key")
    run_queue()
    assert visit().failed_check == "CRM_KEY"
    visit("keys", **KEYS)
    run_queue()
    assert visit().failed_check is None


def test_key_changed_while_the_steps_run_begins_them_anew(visit, newcomer, run_queue):
    visit("keys", **KEYS)
    _run_one()
    visit("keys", brand="uis", access_token="no-such-key")
    run_queue()
    assert visit().failed_check == "UIS_KEY"
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
    assert visit().failed_check == "UIS_ANSWERS"
    visit("activate")
    run_queue()
    assert visit().journey.is_on


def test_step_of_the_crm_that_kills_each_worker_names_the_crm(visit, newcomer):
    visit("keys", **KEYS)
    _run_one()
    task_queue.lose()
    activation.resume_left(now=timezone.now() + timedelta(minutes=11))
    assert visit().failed_check == "CRM_ANSWERS"


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
    page = visit()
    assert (page.journey.is_on, page.journey.cause, 'class="message error"' in page.html) == (True, None, False)


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
    assert "activate" not in visit().buttons
    crm.modules.clear()
    visit("check")
    run_queue()
    assert "activate" in visit().buttons
    visit("activate")
    run_queue()
    assert crm.modules[integration_module.code(newcomer)]["active"] is True
    assert "activate" not in visit().buttons


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
    assert visit().is_checking
    CheckRun.objects.update(requested_at=timezone.now() - timedelta(minutes=3))
    assert not visit().is_checking


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
    page = visit("close", person=ivan.pk, contact="79000000000", card=crm.events[-1]["callExternalId"])
    assert (crm.events[-1]["hangupStatus"], page.levels) == ("answered", ["success"])
