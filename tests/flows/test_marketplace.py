"""Connecting from the CRM's marketplace: a new tenant, or a known one with a new key."""

import json
import re
import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.core.check_results import CHECKS
from connector_project.core.secret_tokens import digest
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Incident, MarketplaceRegistration
from connector_project.operations.onboarding import offboarding, steps
from connector_project.operations.onboarding.forms import KeysForm
from crm import api_scopes, integration_module
from crm.checks import account as account_checks
from crm.retailcrm import errors
from crm.retailcrm.client import RetailCrmClient
from telephony import tasks
from tenants import onboarding
from tenants.models import ACTIVATION_LINK_LIFETIME, AuditLogEntry, CrmConnection, Tenant, UisConnection
from tests import html_text, needs
from tests.conftest import CONTACT, CRM_HOST, IVAN, NUMBER
from tests.crm.retailcrm.samples import load
from tests.fakes.retailcrm_marketplace import PartnerAccount
from tests.users import create_user

pytestmark = pytest.mark.sampled(1)

SAMPLE = load("simple_connection_register.json")
CONFIGURATION, REGISTER = "/connect/retailcrm/", "/connect/retailcrm/register/"
PAGE = "https://connector.example.com/activate/"


@pytest.fixture(autouse=True)
def cabinet(settings):
    """Our module in the partner account, with the secret of the sample."""
    settings.RETAILCRM_MODULE_SECRET = SAMPLE["secret_used_for_this_sample"]
    return PartnerAccount(secret=settings.RETAILCRM_MODULE_SECRET)


@pytest.fixture
def travel():
    """Let time pass, without the sweep."""
    travellers = []

    def wait(passed):
        travellers.append(time_machine.travel(timezone.now() + passed))
        travellers[-1].start()

    yield wait
    for traveller in reversed(travellers):
        traveller.stop()


@pytest.fixture
def connect_account(client, cabinet):
    """Connect an account as its owner and the CRM do after a click on "Connect"."""

    def connect(account, **options):
        configuration = client.get(CONFIGURATION).json()
        return client.post(REGISTER, cabinet.connect(account, configuration, **options))

    return connect


def stored_data():
    """Return all rows that a connection could change."""
    tenants = Tenant.objects.order_by("pk").values()
    return [*tenants, *CrmConnection.objects.order_by("pk").values(), *AuditLogEntry.objects.order_by("pk").values()]


def one_time_token(answer):
    """Return the one-time token of an answer."""
    data = answer.json()
    assert (answer.status_code, set(data), data["success"]) == (201, {"success", "accountUrl"}, True)
    assert data["accountUrl"].startswith(PAGE)
    return data["accountUrl"].removeprefix(PAGE).removesuffix("/")


def error_message(answer, status=400):
    """Return the message of a rejected request."""
    data = answer.json()
    assert (answer.status_code, set(data), data["success"]) == (status, {"success", "errorMsg"}, False)
    return data["errorMsg"]


def is_message_of(check, message):
    """Return whether a message is that of a failed check, with any values, in either language."""
    for language in ("ru", "en"):
        with translation.override(language):
            parts = re.split(r"%\(\w+\)s", str(check.failed))
        if all(part in message for part in parts):
            return True
    return False


def test_configuration_requests_the_checked_scopes(client):
    answer = client.get(CONFIGURATION)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "scopes": list(api_scopes.SCOPES),
            "registerUrl": "https://connector.example.com/connect/retailcrm/register/",
        },
    )


def test_endpoints_need_a_marketplace_module(client, settings, db):
    settings.RETAILCRM_MODULE_SECRET = ""
    for answer in (client.get(CONFIGURATION), client.get(REGISTER), client.post(REGISTER, {"register": "{}"})):
        assert (answer.status_code, answer.content) == (404, client.get("/nothing/here/").content)


@pytest.mark.parametrize(("method", "address"), [("post", CONFIGURATION), ("get", REGISTER), ("put", REGISTER)])
def test_other_methods_are_rejected(client, method, address):
    assert getattr(client, method)(address).status_code == 405


def test_sample_request_of_the_vendor_is_accepted(client, crm, db):
    raw = SAMPLE["request"]["raw_body"]
    answer = client.post(REGISTER, raw, content_type="application/x-www-form-urlencoded")
    tenant = Tenant.objects.get()
    assert digest(one_time_token(answer)) == tenant.one_time_token_digest
    assert tenant.crm.key == SAMPLE["request"]["form_decoded"]["register"]["apiKey"]


def test_new_account_becomes_a_pending_tenant(connect_account, crm, crm_world, db):
    crm.timezone = "Asia/Tomsk"
    before = timezone.now()
    token = one_time_token(connect_account(crm))
    tenant = Tenant.objects.select_related("uis", "crm", "rule_version").get()
    assert (tenant.name, tenant.slug, tenant.language) == ("acct-example", "acct-example", "ru")
    assert (tenant.time_zone, tenant.crm.time_zone, tenant.crm.stores) == ("Asia/Tomsk", "Asia/Tomsk", ["shop-one"])
    assert (tenant.crm.address, tenant.crm.key) == (f"https://{CRM_HOST}", crm.key)
    assert (tenant.activated_at, tenant.is_live, tenant.uis.access_token) == (None, False, "")
    assert tenant.one_time_token_digest == digest(token)
    assert token not in {tenant.activation_token, tenant.uis.hook, tenant.crm.client_id, tenant.crm.key}
    assert (
        before + ACTIVATION_LINK_LIFETIME <= tenant.activation_expires_at <= timezone.now() + ACTIVATION_LINK_LIFETIME
    )
    assert AuditLogEntry.objects.get().action == AuditLogEntry.Action.CONNECTED


def test_module_is_registered_at_once_without_extensions(connect_account, crm, settings, db):
    connect_account(crm)
    tenant = Tenant.objects.select_related("uis", "crm").get()
    stored = crm.modules[integration_module.code(tenant)]
    assert (stored["active"], stored["integrationCode"]) == (True, settings.RETAILCRM_MODULE_CODE)
    assert stored["code"].startswith(settings.RETAILCRM_MODULE_CODE)
    assert stored["clientId"] == tenant.crm.client_id
    assert stored["accountUrl"] == f"{PAGE}{tenant.activation_token}/"
    assert stored["integrations"]["telephony"]["additionalCodes"] == []


def test_registered_tenant_activates_with_a_uis_key(connect_account, crm, pbx, client, run_queue, db):
    connect_account(crm)
    tenant = Tenant.objects.select_related("uis", "crm", "rule_version").get()
    tenant.uis.access_token = pbx.token
    tenant.uis.save()
    steps.activate(tenant, now=timezone.now())
    codes = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"]
    assert sorted(row["code"] for row in codes) == ["101", "102"]
    body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    client.post(f"/hooks/uis/{tenant.uis.hook}/", body, content_type="application/json")
    run_queue()
    assert len(crm.calls) == 1


@pytest.mark.parametrize(
    ("host", "language"),
    [("a.retailcrm.ru", "ru"), ("a.retailcrm.pro", "ru"), ("a.simla.com", "en"), ("a.retailcrm.es", "en")],
)
def test_language_follows_the_account_domain(connect_account, crm_world, host, language, db):
    connect_account(crm_world.add_account(host))
    assert Tenant.objects.get().language == language


def test_accounts_with_one_name_get_different_slugs(connect_account, crm_world, db):
    for host in ("shop.retailcrm.ru", "shop.simla.com"):
        one_time_token(connect_account(crm_world.add_account(host)))
    assert set(Tenant.objects.values_list("slug", flat=True)) == {"shop", "shop-2"}


def test_unreadable_time_zone_falls_back_to_the_default(connect_account, crm, db):
    crm.settings_scope = "order_read"
    one_time_token(connect_account(crm))
    tenant = Tenant.objects.get()
    assert (tenant.time_zone, tenant.crm.time_zone) == ("Europe/Moscow", "")


def test_technical_host_is_resolved_to_the_public_name(connect_account, crm, crm_world, db):
    one_time_token(connect_account(crm, system_url=f"https://{crm.technical_host}/"))
    tenant = Tenant.objects.get()
    assert (tenant.name, tenant.language, tenant.crm.address) == ("acct-example", "ru", f"https://{CRM_HOST}")
    requested = [(request.host, request.path) for request in crm_world.requests]
    assert requested[0] == (crm.technical_host, "/api/system-info")
    assert {host for host, _path in requested[1:]} == {CRM_HOST}
    assert crm_world.requests[0].key_in_header is False


@pytest.mark.parametrize(
    "public_name", ["https://evil.example.com", "http://acct-example.retailcrm.ru", "", "nonsense"]
)
def test_invalid_public_name_is_ignored(connect_account, crm, crm_world, monkeypatch, public_name, db):
    monkeypatch.setattr(RetailCrmClient, "public_address", lambda _self: public_name)
    one_time_token(connect_account(crm, system_url=f"https://{crm.technical_host}"))
    assert Tenant.objects.get().crm.address == f"https://{crm.technical_host}"
    assert {request.host for request in crm_world.requests} == {crm.technical_host}


# --- rejected requests


@pytest.mark.parametrize(
    "token", ["", "0" * 64, "ж" * 64, "\ud800", "x", "EA287D48D5F8EA75AD44FC4DC705CF4447334FBC32E294604AAA86C7B444EE2E"]
)
@pytest.mark.parametrize("address", [f"https://{CRM_HOST}", "https://evil.example.com/\nERROR", "\ud800"])
def test_wrong_token_is_rejected_without_a_request(client, crm, crm_world, caplog, token, address, db):
    data = {"token": token, "apiKey": crm.key, "systemUrl": address}
    answer = client.post(REGISTER, {"register": json.dumps(data)})
    if token:
        error_message(answer, 401)
        assert caplog.records[0].name == "connector.security"
    else:
        assert "token" in error_message(answer)
    assert (Tenant.objects.count(), crm_world.requests) == (0, [])
    assert crm.key not in caplog.text
    assert "evil" not in caplog.text
    assert not token or token[:64] not in caplog.text or len(token) < 2


def test_token_of_another_secret_or_key_is_rejected(client, crm, cabinet, db):
    other = PartnerAccount(secret="another").form(crm.key, f"https://{CRM_HOST}")
    error_message(client.post(REGISTER, other), 401)
    stolen = json.loads(cabinet.form("anotherKey", f"https://{CRM_HOST}")["register"]) | {"apiKey": crm.key}
    error_message(client.post(REGISTER, {"register": json.dumps(stolen)}), 401)
    assert Tenant.objects.count() == 0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, "data"),
        ("", "data"),
        ("{", "JSON"),
        ("[]", "JSON"),
        ("null", "JSON"),
        ("[" * 20_000, "JSON"),
        ("{}", "token"),
        ('{"token": "x", "systemUrl": "https://a.retailcrm.ru"}', "apiKey"),
        ('{"token": "x", "apiKey": "k"}', "systemUrl"),
        ('{"token": "x", "apiKey": ["k"], "systemUrl": "https://a.retailcrm.ru"}', "apiKey"),
        ('{"token": 5, "apiKey": "k", "systemUrl": "https://a.retailcrm.ru"}', "token"),
    ],
)
def test_wrong_register_field_is_rejected_with_its_name(client, text, names, db):
    assert names in error_message(client.post(REGISTER, {} if text is None else {"register": text}))
    assert Tenant.objects.count() == 0


def test_field_in_the_query_string_is_ignored(client, cabinet, crm, db):
    form = cabinet.form(crm.key, f"https://{CRM_HOST}")
    assert error_message(client.post(REGISTER, query_params=form)) == error_message(client.post(REGISTER))


def test_oversized_body_is_rejected(client, db):
    assert client.post(REGISTER, {"register": "x" * (64 * 1024 + 1)}).status_code == 413


@pytest.mark.parametrize(
    "address",
    [
        "http://acct-example.retailcrm.ru",
        "https://acct-example.retailcrm.ru:8443",
        "https://acct-example.retailcrm.ru/path",
        "https://acct-example.retailcrm.ru?x=1",
        "https://user@acct-example.retailcrm.ru",
        "https://acct-example.retailcrm.ru.evil.com",
        "https://evilretailcrm.ru",
        "https://retailcrm.ru",
        "https://127.0.0.1",
        "https://10.0.0.1",
        "https://[::1]",
        "https://[::1",
        "https://acct-example.retailcrm.ru\\@evil.com",
        "acct-example.retailcrm.ru",
        "\ud800",
        "nonsense",
    ],
)
def test_key_is_not_sent_to_foreign_addresses(client, cabinet, crm, crm_world, address, db):
    assert is_message_of(account_checks.ADDRESS, error_message(client.post(REGISTER, cabinet.form(crm.key, address))))
    assert (Tenant.objects.count(), crm_world.requests) == (0, [])


def test_key_of_another_account_is_rejected_and_not_stored(client, cabinet, crm, crm_world, tenant, db):
    other = crm_world.add_account("other.retailcrm.ru", key="otherKey")
    before = stored_data()
    message = error_message(client.post(REGISTER, cabinet.form(other.key, f"https://{CRM_HOST}")))
    assert is_message_of(account_checks.DENIALS[errors.KEY], message)
    assert other.key not in message
    assert stored_data() == before
    assert other.modules == {}


def test_unknown_account_is_rejected(client, cabinet, crm_world, db):
    error_message(client.post(REGISTER, cabinet.form("k", "https://unknown.simla.com")))
    assert Tenant.objects.count() == 0


@pytest.mark.parametrize("scope", api_scopes.REQUIRED)
def test_key_without_a_required_scope_is_rejected(client, cabinet, crm, scope, db):
    crm.scopes.discard(scope)
    message = error_message(client.post(REGISTER, cabinet.form(crm.key, f"https://{CRM_HOST}")))
    assert is_message_of(CHECKS[f"CRM_SCOPE_{scope.upper()}"], message)
    assert (Tenant.objects.count(), crm.modules) == (0, {})


@pytest.mark.parametrize("scope", sorted(set(api_scopes.SCOPES) - set(api_scopes.REQUIRED)))
def test_key_without_an_optional_scope_is_accepted(client, cabinet, crm, scope, db):
    crm.scopes.discard(scope)
    one_time_token(client.post(REGISTER, cabinet.form(crm.key, f"https://{CRM_HOST}")))


# --- outages

KINDS_OF_OUTAGE = ("timeout", "refused", "500")


@pytest.mark.parametrize(
    "kind", ["503", *[pytest.param(kind, marks=pytest.mark.exhaustive) for kind in KINDS_OF_OUTAGE]]
)
@pytest.mark.parametrize("path", ["system-info", "credentials", "settings", "integration-modules"])
def test_unavailable_crm_returns_503_and_a_second_attempt_connects(
    connect_account, client, cabinet, crm, crm_world, kind, path, db
):
    crm_world.break_down(kind, path_part=path)
    error_message(connect_account(crm), 503)
    crm_world.repair()
    one_time_token(client.post(REGISTER, cabinet.form(crm.key, f"https://{CRM_HOST}")))
    tenant = Tenant.objects.get()
    assert crm.modules[integration_module.code(tenant)]["active"] is True
    assert AuditLogEntry.objects.count() == 1


def test_registration_can_be_retried_after_a_rejected_module(connect_account, client, cabinet, crm, settings, db):
    settings.RETAILCRM_MODULE_CODE = "no such code!"
    assert "integrationCode" in error_message(connect_account(crm))
    settings.RETAILCRM_MODULE_CODE = "uis"
    tenant = Tenant.objects.get()
    assert (tenant.one_time_token_digest, AuditLogEntry.objects.count()) == (None, 0)
    one_time_token(client.post(REGISTER, cabinet.form(crm.key, f"https://{CRM_HOST}")))
    assert Tenant.objects.get().pk == tenant.pk
    assert list(crm.modules) == ["uis-acct-example"]


# --- known accounts


def test_known_active_account_gets_only_the_new_key(connect_account, crm, tenant, stranger, notify, pbx):
    tenant.crm.suspend("key", "Wrong apiKey", now=timezone.now())
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 77, "code": "777"})
    before, others = Tenant.objects.filter(pk=tenant.pk).values()[0], CrmConnection.objects.get(tenant=stranger).key
    token = one_time_token(connect_account(crm))
    after = Tenant.objects.filter(pk=tenant.pk).values()[0]
    changed = {name for name in before if before[name] != after[name]}
    expected = {"one_time_token_digest", "activation_expires_at"}
    assert (changed, after["one_time_token_digest"]) == (expected, digest(token))
    tenant = Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)
    assert (tenant.crm.key, tenant.crm.denied_at, tenant.is_live) == (crm.key, None, True)
    assert CrmConnection.objects.get(tenant=stranger).key == others
    codes = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"]
    assert sorted(row["code"] for row in codes) == ["101", "102", "777"]
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert len(crm.calls) == 1


def test_module_of_a_known_account_is_switched_on_again(connect_account, client, crm, tenant):
    crm.modules[integration_module.code(tenant)]["active"] = False
    form = {"clientId": tenant.crm.client_id, "activity": '{"active": false, "freeze": false}'}
    client.post(f"/hooks/retailcrm/{tenant.crm.hook}/activity/", form)
    one_time_token(connect_account(crm))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_at, crm.modules[integration_module.code(tenant)]["active"]) == (None, True)


@pytest.mark.parametrize("address", [f"https://{CRM_HOST}/", f"https://{CRM_HOST.upper()}"])
def test_account_is_recognised_by_any_form_of_its_url(connect_account, crm, tenant, address):
    CrmConnection.objects.update(address=address)
    one_time_token(connect_account(crm, system_url=f"https://{crm.technical_host}"))
    assert Tenant.objects.count() == 1
    assert CrmConnection.objects.get().address == address


def test_account_is_recognised_by_its_technical_host(connect_account, crm, tenant):
    CrmConnection.objects.update(address=f"https://{crm.technical_host}")
    one_time_token(connect_account(crm, system_url=f"https://{crm.technical_host}"))
    assert Tenant.objects.count() == 1


def test_paused_tenant_stays_paused(connect_account, crm, tenant, notify, pbx):
    Tenant.objects.update(is_paused=True)
    one_time_token(connect_account(crm))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    tenant.refresh_from_db()
    assert (tenant.is_paused, crm.calls) == (True, [])


def test_pending_tenant_stays_pending(connect_account, crm, db):
    first, second = one_time_token(connect_account(crm)), one_time_token(connect_account(crm))
    tenant = Tenant.objects.get()
    assert (first != second, tenant.one_time_token_digest, tenant.activated_at) == (True, digest(second), None)
    assert len(crm.modules) == 1


def test_repeat_within_minutes_gets_the_same_answer_and_changes_nothing(
    client, cabinet, crm, crm_world, tenant, travel
):
    form = cabinet.form(crm.key, f"https://{CRM_HOST}")
    first, before, requests = client.post(REGISTER, form), stored_data(), len(crm_world.requests)
    travel(timedelta(minutes=4))
    assert client.post(REGISTER, form).content == first.content
    assert (stored_data(), len(crm_world.requests)) == (before, requests)
    assert client.get(f"/activate/{one_time_token(first)}/").status_code == 302
    # The page was opened: the repeat gets the same answer, and opens nothing.
    assert client.post(REGISTER, form).content == first.content
    assert client.get(f"/activate/{one_time_token(first)}/").status_code == 404


def test_recorded_request_is_refused_for_ever(client, cabinet, crm, crm_world, tenant, travel, caplog):
    form = cabinet.form(crm.key, f"https://{CRM_HOST}")
    one_time_token(client.post(REGISTER, form))
    before, requests = stored_data(), len(crm_world.requests)
    for passed in (timedelta(minutes=6), timedelta(days=400)):
        travel(passed)
        error_message(client.post(REGISTER, form))
    assert (stored_data(), len(crm_world.requests)) == (before, requests)
    assert [record.name for record in caplog.records].count("connector.security") == 2


@pytest.mark.parametrize("address", ["https://other.retailcrm.ru", f"https://{CRM_HOST}.evil.com"])
def test_repeat_with_another_address_is_refused(client, cabinet, crm, crm_world, twin_crm, tenant, address):
    """The signature covers the key only."""
    one_time_token(client.post(REGISTER, cabinet.form(crm.key, f"https://{CRM_HOST}")))
    before, requests = stored_data(), len(crm_world.requests)
    error_message(client.post(REGISTER, cabinet.form(crm.key, address)))
    assert (stored_data(), len(crm_world.requests)) == (before, requests)


def test_replay_of_a_revoked_key_is_rejected(connect_account, client, cabinet, crm, tenant):
    old = cabinet.form(crm.key, f"https://{CRM_HOST}")
    one_time_token(connect_account(crm))
    before = stored_data()
    error_message(client.post(REGISTER, old))
    assert stored_data() == before


def test_registered_tenant_of_an_account_is_preferred(connect_account, crm, tenant, db):
    new = onboarding.NewTenant(name="Второй", slug="second", crm_url=f"https://{CRM_HOST}", crm_key="k")
    second = onboarding.create_tenant(new, now=timezone.now())
    CrmConnection.objects.update(account_id="", holds_account=False)
    one_time_token(connect_account(crm))
    keys = dict(CrmConnection.objects.values_list("tenant__slug", "key"))
    assert keys == {"romashka": crm.key, "second": "k"}
    Tenant.objects.filter(pk=tenant.pk).update(offboarded_at=timezone.now(), activated_at=None)
    one_time_token(connect_account(crm))
    assert CrmConnection.objects.get(tenant=second).key == crm.key
    assert Tenant.objects.get(pk=tenant.pk).offboarded_at is not None


def test_account_held_by_another_client_is_refused_without_a_name(client, cabinet, crm, tenant):
    """Their stored address is another one of the account, so they are not found by it."""
    CrmConnection.objects.update(address="https://renamed.retailcrm.ru")
    message = error_message(client.post(REGISTER, cabinet.form(crm.key, f"https://{CRM_HOST}")))
    assert is_message_of(account_checks.ACCOUNT_USED, message)
    assert (tenant.name in message, Tenant.objects.count()) == (False, 1)


def test_manually_registered_tenant_gets_the_marketplace_code(connect_account, crm, tenant):
    CrmConnection.objects.update(module_code="old-name")
    one_time_token(connect_account(crm))
    assert CrmConnection.objects.get().module_code == "uis-romashka"


def test_manually_registered_tenant_is_synced_with_its_own_code(crm, tenant, run_queue):
    CrmConnection.objects.update(module_code="old-name", registered_module={})
    tasks.sync_all()
    run_queue()
    assert crm.modules["old-name"]["active"] is True


def test_second_tenant_is_unchanged(connect_account, crm, stranger):
    before = (Tenant.objects.filter(pk=stranger.pk).values()[0], CrmConnection.objects.get(tenant=stranger).key)
    one_time_token(connect_account(crm))
    after = (Tenant.objects.filter(pk=stranger.pk).values()[0], CrmConnection.objects.get(tenant=stranger).key)
    assert after == before
    assert Tenant.objects.count() == 2


# --- concurrent requests


def test_two_concurrent_registrations_create_one_tenant(client, cabinet, crm, crm_world, monkeypatch, db):
    """The second registration runs while the first still waits for the CRM."""
    form = cabinet.form(crm.key, f"https://{CRM_HOST}")
    real, answers = RetailCrmClient.time_zone, []

    def register_meanwhile(self):
        if not answers:
            answers.append(None)
            answers.append(client.post(REGISTER, form))
        return real(self)

    monkeypatch.setattr(RetailCrmClient, "time_zone", register_meanwhile)
    last = one_time_token(client.post(REGISTER, form))
    assert one_time_token(answers[1]) == last
    assert Tenant.objects.get().one_time_token_digest == digest(last)
    assert len(crm.modules) == 1


@needs.two_connections
def test_many_concurrent_registrations_create_one_tenant(client, cabinet, crm, transactional_db):
    form, answers = cabinet.form(crm.key, f"https://{CRM_HOST}"), []

    def connect_in_thread():
        answers.append(client.post(REGISTER, form).status_code)
        connection.close()

    threads = [threading.Thread(target=connect_in_thread) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, Tenant.objects.count(), len(crm.modules)) == ([201] * 6, 1, 1)


# --- secrets


def test_no_secret_is_in_logs_or_answers(connect_account, client, cabinet, crm, crm_world, caplog, settings, db):
    caplog.set_level("DEBUG")
    answer = connect_account(crm)
    token = one_time_token(answer)
    answers = [answer.content.decode()]
    tenant = Tenant.objects.select_related("uis", "crm").get()
    secrets = [
        crm.key,
        settings.RETAILCRM_MODULE_SECRET,
        tenant.crm.client_id,
        tenant.uis.hook,
        tenant.activation_token,
    ]
    crm_world.break_down("timeout", times=1)
    form = cabinet.form(crm.key, f"https://{CRM_HOST}")
    answers.append(client.post(REGISTER, form).content.decode())
    crm.key = "another"
    answers.append(client.post(REGISTER, form).content.decode())
    secrets.append(json.loads(form["register"])["token"])
    shown = " ".join([*answers, caplog.text])
    assert [secret for secret in secrets if secret in shown] == []
    assert token not in caplog.text


def test_key_is_encrypted_in_its_column(connect_account, crm, db):
    connect_account(crm)
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM tenants_crmconnection")
        assert crm.key not in cursor.fetchone()[0]


def test_offboarded_tenant_returns_with_its_data_once_an_operator_agrees(connect_account, crm, tenant):
    offboarding.offboard(tenant, now=timezone.now())
    Tenant.objects.get().approve()
    one_time_token(connect_account(crm))
    offboarding.delete_expired(now=timezone.now() + timedelta(days=400))
    back = Tenant.objects.select_related("crm").get()
    assert (back.pk, back.offboarded_at, back.activated_at, back.crm.key) == (tenant.pk, None, None, crm.key)
    assert crm.modules[integration_module.code(back)]["active"] is True


# --- whose access an operator has ended


@pytest.fixture
def run_action(tenant):
    """Run an action of the client's page as an operator does."""
    staff = Client()
    staff.force_login(create_user("olga", "Operator"))

    def run(name):
        url = reverse("admin:tenants_tenant_action", args=[tenant.pk, name])
        return staff.post(url, {"slug": tenant.slug}, headers={"accept-language": "en"})

    run.page = lambda: staff.get(
        reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers={"accept-language": "en"}
    ).content.decode()
    return run


def access_of(tenant):
    """Return what opens anything for this client."""
    row = Tenant.objects.select_related("crm").get(pk=tenant.pk)
    names = ("activation_token", "activation_expires_at", "one_time_token_digest", "offboarded_at", "activated_at")
    return [getattr(row, name) for name in names], row.crm.key, row.crm.client_id


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", ["disconnect", "revoke_link"])
def test_client_whose_access_was_ended_waits_for_an_operator(
    connect_account, client, cabinet, crm, tenant, stranger, run_action, run_queue, ended_by
):
    accepted = connect_account(crm)
    recorded = cabinet.form(crm.key, f"https://{CRM_HOST}")
    run_action(ended_by)
    run_queue()
    before, modules = access_of(tenant), json.dumps(crm.modules, sort_keys=True)
    # The recorded request within its minutes, one with a new key, and that one again.
    error_message(client.post(REGISTER, recorded))
    for _time in range(2):
        error_message(connect_account(crm))
    assert (access_of(tenant), json.dumps(crm.modules, sort_keys=True)) == (before, modules)
    assert Tenant.objects.count() == 2
    assert client.get(f"/activate/{one_time_token(accepted)}/").status_code == 404
    operations_tasks.evaluate_alerts()
    incident = Incident.objects.get(kind="RECONNECTION")
    assert (incident.tenant, incident.state) == (tenant, "OPEN")
    assert "data-asked" in run_action.page()
    assert "/action/allow_return/" in run_action.page()
    run_action("allow_return")
    assert "data-asked" not in run_action.page()
    token = one_time_token(connect_account(crm))
    assert client.get(f"/activate/{token}/").status_code == 302
    assert Tenant.objects.get(pk=tenant.pk).offboarded_at is None
    actions = list(AuditLogEntry.objects.filter(tenant=tenant).order_by("pk").values_list("action", flat=True))
    assert actions[-3:] == ["RECONNECTION_ASKED", "RECONNECTION_ALLOWED", "CONNECTED"]
    # The request that was recorded before opens nothing new, and a second end needs a second approval.
    assert one_time_token(client.post(REGISTER, recorded)) == one_time_token(accepted)
    assert client.get(f"/activate/{one_time_token(accepted)}/").status_code == 404
    run_action("disconnect")
    error_message(connect_account(crm))


def test_leaked_urls_of_a_pending_client_are_replaced_in_the_crm(connect_account, crm, db, run_queue):
    connect_account(crm)
    old, pending = crm.modules["uis-acct-example"], Tenant.objects.get()
    staff = Client()
    staff.force_login(create_user("olga", "Operator"))
    html_text.submit(staff, reverse("admin:tenants_tenant_action", args=[pending.pk, "revoke_hooks"]))
    run_queue()
    new, pending = crm.modules["uis-acct-example"], Tenant.objects.select_related("crm").get()
    assert (new["clientId"], pending.crm.module_outdated_since) == (pending.crm.client_id, None)
    assert new["clientId"] != old["clientId"]
    assert pending.crm.hook in new["baseUrl"]


@pytest.mark.slow
@pytest.mark.parametrize(("ended_by", "agreed_by"), [("revoke_link", "renew_link"), ("disconnect", "activate")])
def test_operator_agrees_by_restoring_the_access(
    connect_account, crm, tenant, pbx, run_action, run_queue, ended_by, agreed_by
):
    run_action(ended_by)
    if ended_by == "disconnect":
        UisConnection.objects.filter(tenant=tenant).update(access_token=pbx.token)
        CrmConnection.objects.filter(tenant=tenant).update(key=crm.key)
    run_action(agreed_by)
    run_queue()
    one_time_token(connect_account(crm))


@pytest.mark.parametrize("ended_by", ["disconnect", "revoke_link"])
@pytest.mark.parametrize("method", ["time_zone", "edit_module"])
def test_access_that_is_ended_while_the_crm_answers_stays_ended(
    connect_account, client, cabinet, crm, tenant, run_action, monkeypatch, method, ended_by
):
    """Whether the request has found the client already, or has registered our module for them."""
    real, todo = getattr(RetailCrmClient, method), [ended_by]

    def answer(self, *args):
        found = real(self, *args)
        if todo:
            run_action(todo.pop())
        return found

    monkeypatch.setattr(RetailCrmClient, method, answer)
    error_message(connect_account(crm))
    row = Tenant.objects.select_related("crm").get(pk=tenant.pk)
    assert (row.needs_approval, row.approval_asked_at is not None, row.one_time_token_digest) == (True, True, None)
    assert (row.offboarded_at is not None, row.crm.key == "") == (ended_by == "disconnect",) * 2
    if method == "edit_module":
        assert crm.modules[integration_module.code(row)]["active"] is (ended_by == "revoke_link")
    assert not MarketplaceRegistration.objects.exists()


@needs.two_connections
def test_disconnect_and_connect_at_the_same_time(connect_account, crm, tenant, client, cabinet, transactional_db):
    """Whichever of the two comes last, the client is disconnected: an operator's decision is not undone."""
    connect_account(crm)
    form = cabinet.form(f"{crm.key}", f"https://{CRM_HOST}")
    MarketplaceRegistration.objects.all().delete()

    def disconnect():
        offboarding.offboard(tenant, now=timezone.now())
        connection.close()

    def connect():
        Client().post(REGISTER, form)
        connection.close()

    threads = [threading.Thread(target=run) for run in (connect, disconnect, connect)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = Tenant.objects.select_related("crm").get(pk=tenant.pk)
    assert (row.offboarded_at is not None, row.needs_approval, row.crm.key) == (True, True, "")
    assert not any(module["active"] for module in crm.modules.values())


def test_request_of_a_client_whose_data_is_deleted_opens_nothing(connect_account, client, cabinet, crm, tenant):
    connect_account(crm)
    recorded = cabinet.form(crm.key, f"https://{CRM_HOST}")
    offboarding.offboard(Tenant.objects.get(), now=timezone.now())
    offboarding.delete_expired(now=timezone.now() + timedelta(days=400))
    assert not Tenant.objects.exists()
    error_message(client.post(REGISTER, recorded))
    assert not Tenant.objects.exists()


def type_address(client, tenant, address):
    """Enter the URL of a CRM account on a tenant's page."""
    form = {"do": "keys", "_opened": KeysForm(tenant).opened, "brand": "uis", "address": address}
    assert client.post(f"/activate/{tenant.activation_token}/", form).status_code in {302, 303}


def test_tenant_that_claims_the_address_gets_no_key(connect_account, crm, crm_world, client, db):
    others = crm_world.add_account("thief.retailcrm.ru")
    one_time_token(connect_account(others))
    thief = Tenant.objects.get()
    type_address(client, thief, f"https://{CRM_HOST}")
    one_time_token(connect_account(crm))
    keys = dict(CrmConnection.objects.values_list("tenant_id", "key"))
    assert (keys.pop(thief.pk), list(keys.values())) == ("", [crm.key])  # a new host deletes the stored key


def test_active_tenant_is_preferred_to_one_that_claims_its_address(connect_account, crm, client, tenant):
    thief = onboarding.create_tenant(onboarding.NewTenant(name="Вор"), now=timezone.now())
    CrmConnection.objects.filter(tenant=thief).update(address=f"https://{CRM_HOST}", module_code=f"uis-{thief.slug}")
    one_time_token(connect_account(crm))
    keys = dict(CrmConnection.objects.values_list("tenant_id", "key"))
    assert keys == {thief.pk: "", tenant.pk: crm.key}
