"""Activating a tenant with the command, and the CRM's callbacks afterwards."""

import json
from datetime import datetime
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import OrmQ

from connector_project.operations.onboarding import steps
from crm import integration_module
from crm.client_factory import crm_client
from telephony.models import Call
from tenants import onboarding
from tenants.models import Employee, Tenant, VirtualNumber
from tests import tenant_factory
from tests.conftest import CRM_HOST, NUMBER


@pytest.fixture
def add_tenant(db, tmp_path):
    """Run the command with the keys in files; return its exit code, message and stdout."""

    def run(*extra, name="Ромашка", **changed):
        values = {
            "uis_token": "uis-token",
            "crm_url": f"https://{CRM_HOST}",
            "crm_key": "fakeApiKey00000000000000000000ab",
        } | changed
        out = StringIO()
        options = [f"--crm-url={values['crm_url']}"]
        for key in ("uis_token", "crm_key"):
            file = tmp_path / key
            file.write_text(f"{values[key]}\n")
            options += [f"--{key.replace('_', '-')}-file={file}"] if values[key] else []
        try:
            call_command("add_tenant", name, *options, *extra, stdout=out)
        except CommandError as exc:
            return exc.returncode, str(exc), out.getvalue()
        return 0, "", out.getvalue()

    return run


@pytest.mark.slow
def test_add_tenant_prints_the_documented_json(add_tenant):
    code, _message, out = add_tenant("--slug=romashka", f"--virtual-number=+{NUMBER}", "--timezone=Asia/Omsk")
    printed = json.loads(out)
    hook, crm_hook = Tenant.objects.get().uis.hook, Tenant.objects.get().crm.hook
    assert code == 0
    assert (printed["tenant"], printed["active"]) == ("romashka", False)
    assert printed["activation_url"].startswith("https://connector.example.com/activate/")
    assert printed["hooks"] == {
        "notifications": f"https://connector.example.com/hooks/uis/{hook}/",
        "make_call": f"https://connector.example.com/hooks/retailcrm/{crm_hook}/make-call/",
        "change_user_status": f"https://connector.example.com/hooks/retailcrm/{crm_hook}/change-user-status/",
        "activity": f"https://connector.example.com/hooks/retailcrm/{crm_hook}/activity/",
    }
    assert VirtualNumber.objects.get().number == NUMBER
    assert hook != crm_hook
    assert min(len(hook), len(crm_hook)) * 6 >= 160


def test_activation_sets_up_everything(add_tenant, pbx, crm):
    code, _message, out = add_tenant("--activate")
    tenant = Tenant.objects.get()
    assert (code, json.loads(out)["active"]) == (0, True)
    stored = crm.modules[integration_module.code(tenant)]
    assert stored["active"] is True
    assert stored["clientId"] == tenant.crm.client_id
    assert stored["integrations"]["telephony"]["makeCallUrl"].endswith("/make-call/")
    assert Employee.objects.count() == 3
    assert VirtualNumber.objects.count() == 2
    assert (tenant.uis.time_zone, tenant.crm.time_zone) == ("Europe/Moscow", "Europe/Moscow")
    assert tenant.crm.served_version == "v5"


def test_tenant_of_the_fixture_equals_an_activated_one(db, pbx, crm):
    """Most tests use a tenant built by tests/tenant_factory.py; it must equal an activated one."""
    built = tenant_factory.activated("Ромашка", "romashka", pbx=pbx, crm=crm, default_number=NUMBER)
    expected = stored_data(built, pbx, crm)
    assert (
        integration_module.register(built, crm_client(built.crm), now=timezone.now()) is False
    )  # The CRM already has all of it.
    built.delete()
    crm.modules.clear()
    new = onboarding.NewTenant(
        name="Ромашка",
        slug="romashka",
        uis_token=pbx.token,
        crm_url=f"https://{crm.host}",
        crm_key=crm.key,
        default_number=NUMBER,
    )
    tenant = onboarding.create_tenant(new, now=timezone.now())
    steps.activate(tenant, now=timezone.now())
    assert stored_data(Tenant.objects.get(pk=tenant.pk), pbx, crm) == expected


def stored_data(tenant, pbx, crm):
    """Return all rows and both accounts, without keys, times and rate-limit state."""
    secrets = {
        tenant.activation_token_digest: "digest of the token",
        tenant.uis.hook_digest: "digest of the hook",
        tenant.crm.hook_digest: "digest of the hook of the CRM",
        tenant.activation_token: "token",
        tenant.uis.hook: "hook",
        tenant.crm.hook: "hook of the CRM",
        tenant.crm.client_id: "client id",
        tenant.crm.registered_module["where"]: "digest",
    }

    def normalise(value):
        if isinstance(value, datetime):
            return "time"
        if isinstance(value, dict):
            return {name: normalise(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [normalise(inner) for inner in value]
        for secret, name in secrets.items():
            value = value.replace(secret, name) if isinstance(value, str) else value
        return value

    found = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label in {"tenants", "telephony", "crm"} or model is OrmQ:
            rows = [normalise(row) for row in model._base_manager.order_by("pk").values()]
            found[model.__name__] = [
                drop(row, "id", "tenant_id", "rule_version_id", "based_on_id", "data_limits") for row in rows
            ]
    return found, normalise(drop(vars(crm), "recent")), normalise(drop(vars(pbx), "spent"))


def drop(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def test_activating_twice_changes_nothing(add_tenant, crm_world, pbx, crm):
    add_tenant("--activate")
    tenant = Tenant.objects.get()
    before = (json.dumps(crm.modules, sort_keys=True), list(Employee.objects.values()), tenant.activated_at)
    crm_world.requests.clear()
    steps.activate(tenant, now=timezone.now())
    assert (
        json.dumps(crm.modules, sort_keys=True),
        list(Employee.objects.values()),
        Tenant.objects.get().activated_at,
    ) == before
    assert [request for request in crm_world.requests if request.method == "POST"] == []


def test_account_with_version_4_only_uses_version_4(add_tenant, pbx, crm, client, run_queue):
    crm.serves_v5 = False
    crm.limits_on = False
    code, message, _out = add_tenant("--activate")
    assert (code, message) == (0, "")
    tenant = Tenant.objects.get()
    assert tenant.crm.served_version == "v4"
    assert crm.settings_v4[integration_module.code(tenant)]["additionalCodes"]
    call = pbx.call(contact="79990000001", number=NUMBER)
    client.post(f"/hooks/uis/{tenant.uis.hook}/", call.notification("lost_call"), content_type="application/json")
    run_queue()
    assert (len(crm.calls), Call.objects.get().state) == (1, "UPLOADED")


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (lambda pbx, crm: setattr(pbx, "token_state", "expired"), "UIS_KEY_TERM"),
        (lambda pbx, crm: setattr(pbx, "is_whitelisted", False), "UIS_ADDRESS_LIST"),
        (lambda pbx, crm: setattr(pbx, "is_active", False), "UIS_ACCOUNT"),
        (lambda pbx, crm: pbx.permissions.discard("employees: select"), "UIS_RIGHT_EMPLOYEES"),
        (lambda pbx, crm: setattr(crm, "key", "another"), "CRM_KEY"),
        (lambda pbx, crm: crm.scopes.discard("integration_write"), "CRM_SCOPE_INTEGRATION_WRITE"),
        (lambda pbx, crm: crm.scopes.discard("telephony_write"), "CRM_SCOPE_TELEPHONY_WRITE"),
        (lambda pbx, crm: (setattr(crm, "serves_v5", False), setattr(crm, "serves_v4", False)), "CRM_VERSION"),
    ],
)
def test_failed_check_is_reported_and_nothing_is_activated(add_tenant, pbx, crm, cause, code):
    cause(pbx, crm)
    returncode, message, out = add_tenant("--activate")
    assert returncode == 1
    assert message.startswith(f"{code}: ")
    assert json.loads(out)["active"] is False
    assert crm.modules == {}


@pytest.mark.parametrize(
    "address",
    [
        "http://acct.retailcrm.ru",
        "https://127.0.0.1",
        "https://retailcrm.ru.evil.com",
        "https://evilretailcrm.ru",
        "https://a.retailcrm.ru:8443",
    ],
)
def test_key_is_not_sent_to_a_foreign_address(add_tenant, pbx, crm, crm_world, address):
    returncode, message, _out = add_tenant("--activate", crm_url=address)
    assert (returncode, message.split(":")[0]) == (1, "CRM_ADDRESS")
    assert crm_world.requests == []


def test_unavailable_vendor_is_reported(add_tenant, pbx, crm, uis_world):
    uis_world.break_down("timeout")
    returncode, message, _out = add_tenant("--activate")
    assert (returncode, message.split(":")[0]) == (1, "UIS_ANSWERS")


@pytest.mark.parametrize("extra", [["--slug=Не подходит"], ["--timezone=Mars/Olympus"]])
def test_invalid_option_exits_with_code_2_and_names_the_field(add_tenant, extra):
    returncode, message, out = add_tenant(*extra)
    assert (returncode, out, Tenant.objects.count()) == (2, "", 0)
    assert message.startswith(extra[0].split("=")[0].strip("-").replace("timezone", "time_zone"))


def test_second_tenant_with_the_same_name_gets_its_own_slug(add_tenant):
    assert json.loads(add_tenant()[2])["tenant"] == "romashka"
    others = {"uis_token": "other-token", "crm_url": "https://other.retailcrm.ru"}
    assert json.loads(add_tenant(**others)[2])["tenant"] == "romashka-2"
    assert add_tenant("--slug=romashka", name="Другая")[0] == 2


def test_second_run_for_the_same_tenant_changes_nothing(add_tenant, crm_world, pbx, crm):
    first = json.loads(add_tenant("--slug=romashka", "--activate")[2])
    crm_world.requests.clear()
    assert json.loads(add_tenant("--slug=romashka", "--activate")[2]) == first
    assert Tenant.objects.count() == 1
    assert [request for request in crm_world.requests if request.method == "POST"] == []


def test_second_run_corrects_a_wrong_key(add_tenant, pbx, crm):
    code, _message, out = add_tenant("--slug=romashka", "--activate", crm_key="wrong")
    assert (code, json.loads(out)["active"]) == (1, False)
    code, _message, out = add_tenant("--slug=romashka", "--activate")
    assert (code, json.loads(out)["active"]) == (0, True)
    assert json.loads(out)["hooks"]["notifications"].endswith(f"/{Tenant.objects.get().uis.hook}/")


def test_sync_employees_prints_the_counts(tenant):
    out = StringIO()
    call_command("sync_employees", "--tenant=romashka", stdout=out)
    assert json.loads(out.getvalue()) == {
        "tenant": "romashka",
        "employees": 3,
        "crm_users": 2,
        "linked": 2,
        "unlinked": 1,
    }


def test_sync_employees_of_an_unknown_tenant_exits_with_code_2(db):
    with pytest.raises(CommandError) as error:
        call_command("sync_employees", "--tenant=unknown")
    assert error.value.returncode == 2


def test_sync_employees_reports_the_failed_tenant_and_syncs_the_others(tenant, stranger, uis_world, pbx):
    pbx.token_state = "expired"
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("sync_employees", stdout=out)
    assert error.value.returncode == 1
    assert "romashka" in str(error.value)
    assert json.loads(out.getvalue())["tenant"] == "stranger"


def test_module_switched_off_in_the_crm_suspends_and_switched_on_restores(client, tenant, crm):
    def send(active, freeze=False):
        form = {
            "clientId": tenant.crm.client_id,
            "activity": json.dumps({"active": active, "freeze": freeze}),
        }
        answer = client.post(f"/hooks/retailcrm/{tenant.crm.hook}/activity/", form)
        tenant.crm.refresh_from_db()
        return answer.status_code, answer.json(), tenant.crm.denied_code

    assert send(active=False) == (200, {"success": True}, "telephony_off")
    assert send(active=True) == (200, {"success": True}, "")
    assert send(active=True, freeze=True)[2] == "telephony_off"


def test_settings_callback_changes_the_time_zone(client, tenant):
    url = f"/hooks/retailcrm/{tenant.crm.hook}/settings/"
    form = {"clientId": tenant.crm.client_id, "settings": json.dumps({"timezone": {"value": "Asia/Tomsk"}})}
    assert client.post(url, form).json() == {"success": True}
    tenant.crm.refresh_from_db()
    assert tenant.crm.time_zone == "Asia/Tomsk"
    assert client.post(url, form | {"settings": "nonsense"}).status_code == 400
    assert client.post(url, form | {"settings": '{"timezone": {"value": "Mars/Olympus"}}'}).status_code == 400


@pytest.mark.parametrize(
    ("changed", "code"), [({"uis_token": ""}, "UIS_KEY_GIVEN"), ({"crm_key": ""}, "CRM_KEY_GIVEN")]
)
def test_missing_key_is_reported(add_tenant, pbx, crm, changed, code):
    returncode, message, _out = add_tenant("--activate", **changed)
    assert (returncode, message.split(":")[0]) == (1, code)


def test_requested_api_version_is_used(add_tenant, pbx, crm):
    assert add_tenant("--activate", "--crm-api=v4")[0] == 0
    assert (crm.modules, len(crm.settings_v4)) == ({}, 1)


def test_requested_api_version_that_is_not_supported_is_reported(add_tenant, pbx, crm):
    crm.serves_v4 = False
    assert add_tenant("--activate", "--crm-api=v4")[1].startswith("CRM_VERSION: ")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "x" * 80])
def test_invalid_time_zone_of_the_crm_is_ignored(add_tenant, crm, pbx, zone):
    crm.timezone = zone
    assert add_tenant("--activate", "--timezone=Asia/Omsk")[0] == 0
    assert Tenant.objects.get().crm.zone.key == "Asia/Omsk"


@pytest.mark.parametrize("scope", ["telephony_read", "user_write", "reference_read"])
def test_missing_optional_scope_does_not_stop_activation(add_tenant, pbx, crm, scope):
    crm.scopes.discard(scope)
    assert add_tenant("--activate")[0] == 0
