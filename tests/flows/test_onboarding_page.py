"""The client's page: from two keys to the first pop-up with forms only, as in a browser without scripts."""

import copy
import html
import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone, translation

from connector_project.core import check_results
from connector_project.core.admin.edit_forms import OPENED
from connector_project.core.secret_tokens import digest
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, page_context, steps
from connector_project.operations.onboarding.forms import KeysForm
from crm import integration_module, key_verification, user_linking
from crm.retailcrm.client import RetailCrmClient
from telephony import checks
from tenants import onboarding
from tenants.models import (
    AuditLogEntry,
    CheckRun,
    CrmConnection,
    CrmUser,
    Employee,
    Tenant,
    UisConnection,
    VirtualNumber,
)
from tests import html_text, needs, task_queue, tenant_factory
from tests.conftest import ANNA, CRM_HOST, IVAN, NUMBER, PETR
from tests.flows.templates import send_every_event
from tests.flows.test_crm_address_gate import PATHS
from tests.users import create_user

KEYS = {
    "brand": "uis",
    "access_token": "uis-token",
    "address": f"https://{CRM_HOST}",
    "key": "fakeApiKey00000000000000000000ab",
}


@pytest.fixture
def new_tenant(db, pbx, crm):
    """A new tenant that has only a name."""
    return onboarding.create_tenant(onboarding.NewTenant(name="Василёк"), now=timezone.now())


@pytest.fixture
def twin(new_tenant, twin_pbx, twin_crm):
    """Another client: no two clients have the same accounts."""
    return tenant_factory.activated("Чужой", "stranger", pbx=twin_pbx, crm=twin_crm, default_number=NUMBER)


class Page:
    """The client's page: its HTML, its text without tags, and its context."""

    def __init__(self, answer):
        self.status, self.html = answer.status_code, answer.content.decode()
        self.text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", self.html)))
        self.context = answer.context["page"]
        self.messages = [str(message) for message in answer.context["messages"]]
        self.levels = re.findall(r'<p class="message (\w+)" role=', self.html)
        self.indicators = re.findall(r'data-live="event-\w+">\s*<span class="indicator (\w+)"', self.html)
        self.faults = re.findall(r'<p class="fault">([^<]*)</p>', self.html)
        self.steps = re.findall(r'<li class="(\w+)"><span class="mark"', self.html)
        self.buttons = set(re.findall(r'<button name="do" value="(\w+)"', self.html))
        self.is_checking = 'class="busy"' in self.html

    @property
    def failed_check(self):
        """Return the code of the failed check that stopped the activation, if the page shows it."""
        failure = self.context.failure
        return failure.check.code if failure and failure.check.code in self.text else None

    @property
    def event_states(self):
        return [webhook.state for webhook in self.context.webhooks]


@pytest.fixture
def visit(client, new_tenant):
    """Open the page, or send one of its forms and follow the redirect."""

    def request(do="", tenant=new_tenant, language="en", **form):
        tenant = Tenant.objects.get(pk=tenant.pk)
        url, headers = f"/activate/{tenant.activation_token}/", {"Accept-Language": language}
        if do == "keys":
            form = {OPENED: KeysForm(tenant).opened} | form
        answer = client.post(url, {"do": do, **form}, headers=headers) if do else client.get(url, headers=headers)
        if answer.status_code == 303:
            answer = client.get(answer["Location"], headers=headers)
        return Page(answer)

    return request


def test_keys_and_one_button_activate_telephony(visit, new_tenant, run_queue, crm, pbx):
    page = visit()
    assert (page.status, page.html.count('class="indicator off"')) == (200, 2)
    assert re.findall(r'id="hint-(\w+)"', page.html) == ["access_token", "address", "key"]
    assert 'id="webhooks-title"' not in page.html
    visit("keys", **KEYS)
    assert run_queue() > 5
    page = visit()
    assert (page.context.is_on, 'id="webhooks-title"' in page.html) == (True, True)
    assert "…00ab" in page.text
    assert crm.modules[integration_module.code(new_tenant)]["active"] is True
    assert Tenant.objects.get(pk=new_tenant.pk).is_live
    assert '"event": "waiting", "notification_time": {{notification_time}}' in page.text


def test_each_event_has_its_own_url(visit, new_tenant, run_queue, client):
    visit("keys", **KEYS)
    run_queue()
    page = client.get(f"/activate/{Tenant.objects.get().activation_token}/").content.decode()
    url_prefix = integration_module.addresses(Tenant.objects.get())["notifications"]
    for event in ("waiting", "outgoing", "talk_started", "call_end", "lost_call", "recorded"):
        assert f'readonly value="{url_prefix}{event}/"' in page


def test_running_step_is_shown(visit, new_tenant):
    visit("keys", **KEYS)
    shown = []
    for _turn in range(len(activation.STEPS)):
        shown.append(visit().steps)
        _run_one_step()
    assert shown == [["done"] * number + ["running"] + ["waiting"] * (4 - number) for number in range(5)]
    assert visit().context.is_on


def _run_one_step():
    from django_q.models import OrmQ
    from django_q.signing import SignedPackage

    row = next(
        row for row in OrmQ.objects.order_by("pk") if SignedPackage.loads(row.payload)["func"] == activation.TASK
    )
    row.delete()
    operations_tasks.run_activation_step(*SignedPackage.loads(row.payload)["args"])


def test_second_activation_changes_nothing(visit, new_tenant, run_queue, crm_world):
    visit("keys", **KEYS)
    visit("activate")
    visit("activate")
    run_queue()
    first = Tenant.objects.get(pk=new_tenant.pk).activated_at
    crm_world.requests.clear()
    visit("activate")
    run_queue()
    assert Tenant.objects.get(pk=new_tenant.pk).activated_at == first
    assert crm_world.requests == []
    assert AuditLogEntry.objects.filter(tenant=new_tenant, action=AuditLogEntry.Action.ACTIVATED).count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"access_token": "no-such-key"}, "UIS_KEY"),
        ({"key": "no-such-key"}, "CRM_KEY"),
        ({"address": "https://unknown.retailcrm.ru"}, "CRM_ACCOUNT"),
    ],
)
def test_wrong_key_is_reported_and_can_be_corrected(visit, new_tenant, run_queue, wrong, code):
    visit("keys", **KEYS | wrong)
    run_queue()
    page = visit()
    assert (page.failed_check, page.context.failure.check.responsible) == (code, "client")
    assert page.levels == []
    assert 'class="message error"' in page.html
    assert wrong.get("address", "") in page.text
    assert not Tenant.objects.get(pk=new_tenant.pk).is_live
    visit("keys", **KEYS)
    run_queue()
    assert Tenant.objects.get(pk=new_tenant.pk).is_live
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
def test_malformed_key_is_rejected_without_a_request(visit, new_tenant, typed, crm_world, uis_world):
    page = visit("keys", **KEYS | typed)
    assert (page.status, re.findall(r'role="alert" id="error-(\w+)"', page.html)) == (422, list(typed))
    assert (crm_world.requests, uis_world.requests) == ([], [])
    assert UisConnection.objects.get(tenant=new_tenant).access_token == ""


def test_url_of_any_crm_page_is_accepted_as_the_address(visit, new_tenant, run_queue):
    visit("keys", **KEYS | {"address": f" {CRM_HOST.upper()}/orders/1/edit?x=1#top "})
    run_queue()
    assert Tenant.objects.get(pk=new_tenant.pk).crm.address == f"https://{CRM_HOST}"


def test_keys_can_be_entered_one_after_the_other(visit, new_tenant, run_queue):
    page = visit("keys", brand="uis", access_token="uis-token", address="", key="")
    saved = Tenant.objects.select_related("uis", "crm").get(pk=new_tenant.pk)
    with translation.override("en"):
        still_missing = page_context.missing(saved)
    assert (saved.uis.access_token, len(still_missing), page.levels) == ("uis-token", 2, ["warning"])
    assert ", ".join(still_missing) in page.messages[0]
    assert run_queue() == 0
    visit("keys", brand="uis", access_token="", address=KEYS["address"], key=KEYS["key"])
    run_queue()
    assert Tenant.objects.get(pk=new_tenant.pk).is_live


def test_activation_survives_a_lost_queue(visit, new_tenant, later):
    visit("keys", **KEYS)
    task_queue.lose()
    later(timedelta(minutes=3))
    assert Tenant.objects.get(pk=new_tenant.pk).is_live


def test_unavailable_vendor_fails_the_activation_and_it_can_be_retried(visit, new_tenant, run_queue, uis_world):
    uis_world.break_down("503")
    visit("keys", **KEYS)
    run_queue()
    assert visit().failed_check == "UIS_ANSWERS"
    uis_world.repair()
    visit("activate")
    run_queue()
    assert Tenant.objects.get(pk=new_tenant.pk).is_live


def test_unknown_link_is_not_found(client, db):
    answer = client.get("/activate/no-such-token/", headers={"Accept-Language": "en"})
    assert (answer.status_code, b'id="main"' in answer.content) == (404, True)
    other = client.get("/hooks/uis/no-such-hook/", headers={"Accept-Language": "en"})
    assert (other.status_code, other.content) == (404, answer.content)
    assert client.post("/activate/no-such-token/", {"do": "activate"}).status_code == 404


def test_expired_link_returns_410(client, new_tenant):
    Tenant.objects.filter(pk=new_tenant.pk).update(activation_expires_at=timezone.now())
    url = f"/activate/{new_tenant.activation_token}/"
    for answer in (client.get(url), client.post(url, {"do": "keys", **KEYS}), client.post(url, {"clientId": "wrong"})):
        assert answer.status_code == 410
        assert new_tenant.name not in answer.content.decode()
    assert UisConnection.objects.get(tenant=new_tenant).access_token == ""


def test_post_from_the_crm_renews_an_expired_link(client, new_tenant):
    url = f"/activate/{new_tenant.activation_token}/"
    assert client.post(url, {"clientId": new_tenant.crm.client_id}).status_code == 200
    Tenant.objects.filter(pk=new_tenant.pk).update(activation_expires_at=timezone.now())
    answer = client.post(url, {"clientId": new_tenant.crm.client_id})
    renewed = Tenant.objects.get(pk=new_tenant.pk).activation_token
    assert (answer.status_code, answer["Location"]) == (303, f"/activate/{renewed}/")
    assert client.get(url).status_code == 404
    assert client.get(answer["Location"]).status_code == 200


def test_post_from_the_crm_does_not_renew_a_revoked_link(client, new_tenant, run_queue):
    """The CRM still opens our page by the last URL that it got."""
    Tenant.objects.get(pk=new_tenant.pk).revoke_activation_link(now=timezone.now())
    token = Tenant.objects.get(pk=new_tenant.pk).activation_token
    for _time in range(2):
        answer = client.post(f"/activate/{token}/", {"clientId": new_tenant.crm.client_id})
        assert answer.status_code == 410
    row = Tenant.objects.get(pk=new_tenant.pk)
    assert (row.activation_token, row.approval_asked_at is not None) == (token, True)
    assert run_queue() == 0
    assert AuditLogEntry.objects.filter(action="RECONNECTION_ASKED").count() == 1
    row.approve()
    assert client.post(f"/activate/{token}/", {"clientId": new_tenant.crm.client_id}).status_code == 303


def test_marketplace_link_works_once(client, new_tenant):
    Tenant.objects.filter(pk=new_tenant.pk).update(one_time_token_digest=digest("only-once"))
    answer = client.get("/activate/only-once/")
    assert (answer.status_code, answer["Location"]) == (302, f"/activate/{new_tenant.activation_token}/")
    assert client.get("/activate/only-once/").status_code == 404


@pytest.mark.slow
def test_attempts_are_rate_limited(visit, new_tenant, run_queue, later):
    for _attempt in range(activation.MAX_ACTIONS):
        visit("keys", **KEYS | {"key": "guessed"})
    page = visit("keys", **KEYS | {"key": "guessed-again"})
    assert (page.status, page.levels) == (429, ["error"])
    assert Tenant.objects.get(pk=new_tenant.pk).crm.key == "guessed"
    later(timedelta(minutes=11))
    visit("keys", **KEYS)
    run_queue()
    assert Tenant.objects.get(pk=new_tenant.pk).is_live


@pytest.mark.slow
def test_indicators_turn_green_with_the_first_notification(visit, new_tenant, run_queue, client, pbx):
    visit("keys", **KEYS)
    run_queue()
    assert visit().indicators == ["off"] * 6
    hook = f"/hooks/uis/{UisConnection.objects.get(tenant=new_tenant).hook}/"
    send_every_event(client, hook, pbx)
    page = visit()
    assert (page.indicators, page.html.count('<span class="when">')) == (["good"] * 6, 6)
    assert [webhook.is_new for webhook in page.context.webhooks] == [True] * 6
    send_every_event(
        client, hook, pbx, only="waiting", change_body=lambda body: body.replace('"employee_id"', '"employee"')
    )
    [fault] = visit().faults
    assert "employee_id" in fault
    send_every_event(client, hook, pbx, only="waiting")
    assert visit().faults == []


def test_empty_keys_give_a_warning(visit, new_tenant, run_queue):
    page = visit("keys", brand="uis", address="", key="")
    with translation.override("en"):
        missing = page_context.missing(new_tenant)
    assert (page.levels, len(missing), ", ".join(missing) in page.messages[0]) == (["warning"], 3, True)
    assert run_queue() == 0


@pytest.mark.slow
def test_rotated_url_is_shown_as_old_until_replaced(visit, new_tenant, run_queue, client, pbx):
    visit("keys", **KEYS)
    run_queue()
    uis = UisConnection.objects.get(tenant=new_tenant)
    old = f"/hooks/uis/{uis.hook}/"
    send_every_event(client, old, pbx)
    uis.rotate_hook(now=timezone.now())
    send_every_event(client, old, pbx)
    page = visit()
    assert (page.event_states, page.indicators) == (["OLD_ADDRESS"] * 6, ["warn"] * 6)
    assert (page.html.count('class="message warning"'), "(Europe/Moscow)" in page.text) == (1, True)
    send_every_event(client, f"/hooks/uis/{UisConnection.objects.get(tenant=new_tenant).hook}/", pbx, only="waiting")
    assert sorted(visit().event_states) == ["OK"] + ["OLD_ADDRESS"] * 5


@pytest.mark.slow
def test_caller_id_can_be_chosen(visit, new_tenant, run_queue, stranger):
    visit("keys", **KEYS)
    run_queue()
    assert "DEFAULT_NUMBER" in visit().text
    foreign = VirtualNumber.objects.get(tenant=stranger, number=NUMBER)
    assert visit("number", number=foreign.pk).levels == ["error"]
    VirtualNumber.objects.filter(pk=foreign.pk).update(is_default=True)
    own = VirtualNumber.objects.get(tenant=new_tenant, number="74950000002")
    assert visit("number", number=own.pk, seen="1").levels == ["error"], "Somebody has changed it meanwhile."
    assert visit("number", number=own.pk).levels == ["error"], "The form does not say what it showed."
    page = visit("number", number=own.pk, seen="")
    assert (page.levels, "+74950000002" in page.messages[0]) == (["success"], True)
    run_queue()
    assert "DEFAULT_NUMBER" not in visit().text
    assert VirtualNumber.objects.get(tenant=new_tenant, is_default=True) == own
    assert VirtualNumber.objects.get(tenant=stranger, is_default=True) == foreign


def test_sample_popup_opens_and_closes_for_one_manager(visit, new_tenant, run_queue, crm, client):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    page = visit("card", person=ivan.pk, contact="8 (900) 000-00-00")
    assert page.levels == ["success"]
    assert [card["phone"] for card in crm.popups()[27]] == ["+79000000000"]
    assert list(crm.popups()) == [27]
    popup_id = crm.events[-1]["callExternalId"]
    assert ("close" in page.buttons, "card" in page.buttons) == (True, False)
    visit("close", person=ivan.pk, contact="79000000000", card=popup_id)
    assert crm.popups() == {}


@pytest.mark.parametrize(
    ("country", "typed", "phone"),
    [
        ("", "+7 900 000-00-00 доб. 101", "+79000000000"),
        ("", "900 000 00 00", "+79000000000"),
        ("", "85221234567", "+85221234567"),
        ("GB", "020 7946 0018", "+442079460018"),
        ("HK", "0079000000000", "+79000000000"),
    ],
)
def test_sample_popup_reads_the_number_as_typed(visit, new_tenant, run_queue, crm, country, typed, phone):
    visit("keys", **KEYS)
    run_queue()
    type(new_tenant).objects.filter(pk=new_tenant.pk).update(home_country=country)
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    page = visit("card", person=ivan.pk, contact=typed)
    assert (page.levels, [card["phone"] for card in crm.popups()[27]]) == (["success"], [phone])


@pytest.mark.parametrize(
    "form",
    [{"person": "x", "contact": "+79000000000"}]
    + [{"contact": text} for text in ("101", "", "7 900 000-00-0", "+790000000001", "нет", "123-45-67")],
)
def test_sample_popup_requires_a_manager_and_a_number(visit, new_tenant, run_queue, crm, form):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    page = visit("card", **{"person": ivan.pk} | form)
    assert (page.status, page.levels) == (422, ["error"])
    assert crm.events == []


def test_sample_popup_rejected_by_the_crm_shows_the_reason(visit, new_tenant, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    crm.modules[integration_module.code(new_tenant)]["active"] = False
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    rejected = visit("card", person=ivan.pk, contact="+79000000000")
    assert (rejected.status, rejected.levels) == (422, ["error"])
    assert "Telephony not enabled" in rejected.messages[0]  # the CRM's message
    crm.modules[integration_module.code(new_tenant)]["active"] = True
    del crm.users[27]
    unknown = visit("card", person=ivan.pk, contact="+79000000000")
    assert (unknown.status, unknown.levels) == (422, ["error"])
    assert unknown.messages != rejected.messages


def test_popup_of_a_call_cannot_be_closed(visit, new_tenant, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    visit("close", person=ivan.pk, contact="79000000000", card="uis-5139032004")
    assert crm.events == []


def test_sample_popup_is_rejected_for_foreign_or_unlinked_employees(visit, new_tenant, twin, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    other = Employee.objects.get(tenant=twin, uis_id=IVAN)
    unlinked = Employee.objects.get(tenant=new_tenant, uis_id=ANNA)
    for person in (other, unlinked):
        page = visit("card", person=person.pk, contact="+79000000000")
        assert (page.status, page.levels) == (422, ["error"])
    assert crm.events == []


def test_page_is_in_both_languages(visit):
    label = KeysForm.base_fields["key"].label
    for language in ("en", "ru"):
        page = visit(language=language)
        with translation.override(language):
            assert (f'<html lang="{language}">' in page.html, str(label) in page.text) == (True, True)


def test_page_shows_no_key_and_cannot_be_framed(client, new_tenant, visit, run_queue):
    visit("keys", **KEYS)
    run_queue()
    answer = client.get(f"/activate/{Tenant.objects.get().activation_token}/")
    text = answer.content.decode()
    assert KEYS["key"] not in text
    assert "uis-token" not in text
    assert new_tenant.crm.client_id not in text
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Robots-Tag"] == "noindex"


def test_hooks_are_hidden_until_activation(visit, new_tenant):
    assert UisConnection.objects.get(tenant=new_tenant).hook not in visit().html


def test_page_has_a_fixed_query_count(visit, new_tenant, run_queue, django_assert_num_queries, client, pbx):
    visit("keys", **KEYS)
    for number in range(40):
        pbx.add_employee(400 + number, f"Человек {number}", extension=str(400 + number))
    run_queue()
    url = f"/activate/{Tenant.objects.get().activation_token}/"
    with django_assert_num_queries(7):
        client.get(url)


@pytest.mark.slow
def test_changed_crm_account_resets_the_employee_links(visit, new_tenant, run_queue, client, crm_world):
    visit("keys", **KEYS)
    run_queue()
    before = CrmConnection.objects.get(tenant=new_tenant)
    assert Employee.objects.get(tenant=new_tenant, uis_id=IVAN).crm_user_id == 27
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    visit("keys", brand="uis", address=f"https://{moved.host}", key=moved.key)
    run_queue()
    assert not Employee.objects.filter(tenant=new_tenant, crm_user_id__isnull=False).exists()
    assert moved.modules[integration_module.code(new_tenant)]["clientId"] != before.client_id
    activity = {"clientId": before.client_id, "activity": '{"active": true}', "systemUrl": before.address}
    assert client.post(f"/hooks/retailcrm/{new_tenant.crm.hook}/activity/", activity).status_code == 403


@pytest.mark.slow
def test_manual_extension_in_another_account_links_the_employee(visit, new_tenant, run_queue, crm, crm_world):
    visit("keys", **KEYS)
    run_queue()
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    typed = moved.modules[integration_module.code(new_tenant)] = copy.deepcopy(
        crm.modules[integration_module.code(new_tenant)]
    )
    typed["integrations"]["telephony"]["additionalCodes"] = [{"userId": 27, "code": "101"}]
    visit("keys", brand="uis", address=f"https://{moved.host}", key=moved.key)
    run_queue()
    person = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    assert (person.crm_user_id, person.linked_by) == (27, Employee.LinkedBy.EXTENSION)


@pytest.mark.slow
def test_changed_key_of_an_active_tenant_is_verified(visit, new_tenant, run_queue):
    visit("keys", **KEYS)
    run_queue()
    visit("keys", brand="uis", key="no-such-key")
    run_queue()
    assert visit().failed_check == "CRM_KEY"
    visit("keys", **KEYS)
    run_queue()
    assert visit().failed_check is None


def test_key_changed_during_activation_restarts_it(visit, new_tenant, run_queue):
    visit("keys", **KEYS)
    _run_one_step()
    visit("keys", brand="uis", access_token="no-such-key")
    run_queue()
    assert visit().failed_check == "UIS_KEY"
    assert Tenant.objects.get(pk=new_tenant.pk).activated_at is None


def test_long_address_is_accepted(visit, new_tenant):
    visit("keys", brand="uis", address=f"https://{CRM_HOST}/admin/orders?" + "filter[status]=new&" * 100)
    assert CrmConnection.objects.get(tenant=new_tenant).address == f"https://{CRM_HOST}"


def test_activation_that_kills_each_worker_fails(visit, new_tenant, run_queue):
    visit("keys", **KEYS)
    for minutes in range(0, 16, 3):
        task_queue.lose()
        activation.resume_pending(now=timezone.now() + timedelta(minutes=minutes))
    task_queue.lose()
    assert visit().failed_check == "UIS_ANSWERS"
    visit("activate")
    run_queue()
    assert visit().context.is_on


def test_crm_step_that_kills_each_worker_names_the_crm(visit, new_tenant):
    visit("keys", **KEYS)
    _run_one_step()
    task_queue.lose()
    activation.resume_pending(now=timezone.now() + timedelta(minutes=11))
    assert visit().failed_check == "CRM_ANSWERS"


def test_activation_repairs_a_deleted_or_changed_module(tenant, crm):
    crm.modules.clear()
    steps.activate(tenant, now=timezone.now())
    telephony = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]
    ours = telephony["makeCallUrl"]
    telephony["makeCallUrl"] = "https://other.example.com/call"
    steps.activate(tenant, now=timezone.now())
    assert crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["makeCallUrl"] == ours


def test_failure_is_cleared_by_activation_from_the_command_line(visit, new_tenant, run_queue, pbx):
    visit("keys", **KEYS | {"access_token": "no-such-key"})
    run_queue()
    tenant = Tenant.objects.get(pk=new_tenant.pk)
    tenant.uis.access_token = pbx.token
    tenant.uis.save()
    steps.activate(tenant, now=timezone.now())
    page = visit()
    assert (page.context.is_on, page.context.failure, 'class="message error"' in page.html) == (True, None, False)


def test_crm_gets_the_renewed_link(visit, new_tenant, client, crm, run_queue):
    visit("keys", **KEYS)
    run_queue()
    Tenant.objects.filter(pk=new_tenant.pk).update(activation_expires_at=timezone.now())
    client_id = CrmConnection.objects.get(tenant=new_tenant).client_id
    for status in (303, 200):
        url = crm.modules[integration_module.code(new_tenant)]["accountUrl"].removeprefix(
            "https://connector.example.com"
        )
        assert client.post(url, {"clientId": client_id}).status_code == status
        run_queue()


def test_head_request_consumes_no_link(client, new_tenant):
    Tenant.objects.filter(pk=new_tenant.pk).update(one_time_token_digest=digest("only-once"))
    assert client.head("/activate/only-once/").status_code == 404
    assert client.get("/activate/only-once/").status_code == 302


@pytest.mark.slow
def test_deleted_module_can_be_registered_again(visit, new_tenant, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    assert "activate" not in visit().buttons
    crm.modules.clear()
    visit("check")
    run_queue()
    assert "activate" in visit().buttons
    visit("activate")
    run_queue()
    assert crm.modules[integration_module.code(new_tenant)]["active"] is True
    assert "activate" not in visit().buttons


def test_rejected_sample_popup_form_keeps_its_input(visit, new_tenant, run_queue, client):
    visit("keys", **KEYS)
    run_queue()
    person = Employee.objects.get(tenant=new_tenant, uis_id=PETR)
    form = {"do": "card", "person": person.pk, "contact": '7 900 "typo"'}
    answer = client.post(f"/activate/{Tenant.objects.get(pk=new_tenant.pk).activation_token}/", form)
    assert answer.status_code == 422
    assert 'value="7 900 &quot;typo&quot;"' in answer.content.decode()
    assert f'<option value="{person.pk}" selected>' in answer.content.decode()


@pytest.mark.parametrize("name", ["keys", "number"])
def test_client_disconnected_during_an_action_gets_nothing_stored(new_tenant, client, monkeypatch, run_queue, name):
    real = activation.count_action

    def act_meanwhile(tenant, *, now):
        offboarding.offboard(Tenant.objects.get(pk=new_tenant.pk), now=timezone.now())
        return real(tenant, now=now)

    number = VirtualNumber.objects.create(tenant=new_tenant, number=NUMBER)
    monkeypatch.setattr(activation, "count_action", act_meanwhile)
    typed = {"do": name, "number": number.pk, **KEYS}
    assert client.post(f"/activate/{new_tenant.activation_token}/", typed).status_code == 404
    run_queue()
    offboarded = Tenant.objects.select_related("uis", "crm").get(pk=new_tenant.pk)
    assert (offboarded.uis.access_token, offboarded.crm.key, offboarded.activated_at) == ("", "", None)
    assert offboarded.offboarded_at is not None
    assert not VirtualNumber.objects.filter(is_default=True).exists()


@needs.two_connections
def test_keys_sent_while_disconnecting_are_deleted(new_tenant, client, monkeypatch, transactional_db):
    real, threads = KeysForm.is_valid, []

    def offboard():
        offboarding.offboard(Tenant.objects.get(pk=new_tenant.pk), now=timezone.now())
        connection.close()

    def act_meanwhile(form):
        threads.append(threading.Thread(target=offboard))
        threads[-1].start()
        threads[-1].join(0.3)
        return real(form)

    monkeypatch.setattr(KeysForm, "is_valid", act_meanwhile)
    form = {"do": "keys", OPENED: KeysForm(new_tenant).opened, **KEYS}
    client.post(f"/activate/{new_tenant.activation_token}/", form)
    threads[0].join()
    offboarded = Tenant.objects.select_related("uis", "crm").get(pk=new_tenant.pk)
    assert (offboarded.uis.access_token, offboarded.crm.key, offboarded.uis.denied_at) == ("", "", None)


def test_old_page_does_not_bring_back_an_address_or_telephony(tenant, client, pbx):
    """An operator corrects both while the client has the page open, and the client only enters a new key."""
    url = f"/activate/{tenant.activation_token}/"
    opened = html_text.fields(client.get(url).content.decode())
    UisConnection.objects.update(brand="comagic")
    CrmConnection.objects.update(address="https://moved.retailcrm.ru", key="theirs")
    answer = client.post(url, opened | {"do": "keys", "access_token": "new-token"})
    now = Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)
    assert (answer.status_code, now.uis.access_token, now.uis.brand) == (303, "new-token", "comagic")
    assert (now.crm.address, now.crm.key) == ("https://moved.retailcrm.ru", "theirs")
    answer = client.post(url, opened | {"do": "keys", "key": "mine"})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["key"])
    again = html_text.fields(answer.content.decode()) | {"do": "keys", "key": "mine"}
    assert client.post(url, again).status_code == 303
    assert CrmConnection.objects.get(tenant=tenant).key == "mine"


def test_late_task_writes_no_links_of_the_previous_account(tenant, crm, monkeypatch):
    real = RetailCrmClient.users

    def reset_meanwhile(crm_client):
        users = real(crm_client)
        CrmConnection.objects.get(tenant=tenant).forget_account()
        return users

    monkeypatch.setattr(RetailCrmClient, "users", reset_meanwhile)
    user_linking.link(tenant, now=timezone.now())
    assert not Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).exists()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_to_another_account_resets_the_links_at_once(
    path, tenant, crm, crm_world, client, run_queue, tmp_path
):
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    client.force_login(create_user("olga", "Operator"))
    before = tenant.crm.client_id
    assert path(client, tenant, f"https://{CRM_HOST.upper()}/", "newKey", tmp_path)
    assert Employee.objects.get(tenant=tenant, uis_id=IVAN).crm_user_id == 27, "It is the same account."
    assert path(client, tenant, f"https://{moved.host}", moved.key, tmp_path)
    assert not Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).exists()
    assert not CrmUser.objects.filter(tenant=tenant).exists()
    assert CrmConnection.objects.get(tenant=tenant).client_id != before
    run_queue()
    assert moved.modules[integration_module.code(tenant)]["active"] is True
    assert CrmUser.objects.filter(tenant=tenant, name__startswith="Ольга").exists()


def test_zone_entered_while_the_key_is_verified_is_kept(tenant, crm, monkeypatch):
    """The CRM states no zone; what the check loaded before must not be written back."""

    def enter_meanwhile(_crm_client):
        CrmConnection.objects.filter(tenant=tenant).update(time_zone="Asia/Omsk")
        return ""

    monkeypatch.setattr(RetailCrmClient, "time_zone", enter_meanwhile)
    key_verification.verify_crm_key(tenant.crm)
    assert CrmConnection.objects.get(tenant=tenant).time_zone == "Asia/Omsk"


def test_account_changed_by_an_operator_resets_the_links(tenant, crm, crm_world, run_queue):
    moved = crm_world.add_account("moved.retailcrm.ru", key="movedKey")
    moved.limits_on = False
    moved.add_user(27, first_name="Ольга", email="olga@example.com")
    tenant.crm.address, tenant.crm.key = f"https://{moved.host}", moved.key
    tenant.crm.save()
    user_linking.link(tenant, now=timezone.now())
    assert not Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).exists()
    assert moved.modules[integration_module.code(tenant)]["active"] is True


@pytest.mark.parametrize("fails", [False, True])
def test_result_of_a_step_with_old_keys_is_discarded(visit, new_tenant, monkeypatch, fails):
    visit("keys", **KEYS)
    first = Activation.objects.get(tenant=new_tenant).started_at

    def act_meanwhile(tenant, _step, *, now):
        activation.start(tenant, now=now + timedelta(seconds=1), is_forced=True)
        if fails:
            raise check_results.CheckFailed(checks.account.KEY_GIVEN.result(is_ok=False))

    monkeypatch.setattr(activation.steps, "run_step", act_meanwhile)
    activation.run_next_step(Tenant.objects.get(pk=new_tenant.pk), now=timezone.now())
    row = Activation.objects.get(tenant=new_tenant)
    assert (row.state, row.step, row.started_at > first) == ("RUNNING", "UIS", True)


def test_sweep_ignores_a_claimed_activation(visit, new_tenant):
    visit("keys", **KEYS)
    assert activation.resume_pending(now=timezone.now()) == 0
    assert activation.resume_pending(now=timezone.now() + timedelta(minutes=3)) == 1


def test_activation_restores_both_connections(tenant):
    now = timezone.now()
    tenant.uis.suspend("access_token_blocked", "", now=now)
    tenant.crm.suspend("key", "", now=now)
    again = Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)
    steps.activate(again, now=now)
    assert Tenant.objects.filter(pk=tenant.pk, uis__denied_at=None, crm__denied_at=None).exists()


def test_check_of_a_dead_worker_is_not_shown_as_running(visit, new_tenant):
    visit("check")
    assert visit().is_checking
    CheckRun.objects.update(requested_at=timezone.now() - timedelta(minutes=3))
    assert not visit().is_checking


def test_page_of_an_offboarded_tenant_is_not_found(client, new_tenant):
    Tenant.objects.filter(pk=new_tenant.pk).update(
        offboarded_at=timezone.now(), one_time_token_digest=digest("only-once")
    )
    assert client.get(f"/activate/{new_tenant.activation_token}/").status_code == 404
    assert client.get("/activate/only-once/").status_code == 404


def test_popup_of_another_tenant_cannot_be_closed(visit, new_tenant, run_queue, crm, twin):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    visit("close", person=ivan.pk, contact="79000000000", card=f"test-{twin.pk}-1790000000")
    assert crm.events == []


def test_closed_sample_popup_is_not_a_missed_call(visit, new_tenant, run_queue, crm):
    visit("keys", **KEYS)
    run_queue()
    ivan = Employee.objects.get(tenant=new_tenant, uis_id=IVAN)
    visit("card", person=ivan.pk, contact="+79000000000")
    page = visit("close", person=ivan.pk, contact="79000000000", card=crm.events[-1]["callExternalId"])
    assert (crm.events[-1]["hangupStatus"], page.levels) == ("answered", ["success"])
