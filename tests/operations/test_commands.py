"""Management commands."""

import json
import re
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import (
    CommandError,
    ManagementUtility,
    call_command,
    get_commands,
    load_command_class,
)
from django.db import connection
from django.utils import timezone

from connector_project.core.encrypted_fields import EncryptedTextField, UndecryptableText
from connector_project.core.secret_tokens import LOST
from connector_project.operations.management.commands import add_tenant
from tenants.models import Tenant, UisConnection
from tests.conftest import CONTACT, NUMBER

pytestmark = pytest.mark.sql


def run_command(name, *args):
    out = StringIO()
    call_command(name, *args, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def stored():
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token FROM tenants_uisconnection")
        return cursor.fetchone()[0]


def test_reencrypt_keys_uses_the_first_key(tenant, settings):
    old = settings.FIELD_ENCRYPTION_KEYS
    before, new = stored(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, *old]
    assert UisConnection.objects.get().access_token == "uis-token"
    lines = run_command("reencrypt_keys")
    assert {"model": "tenants.UisConnection", "rows": 1} in lines
    assert stored() != before
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert UisConnection.objects.get().access_token == "uis-token"
    for model, name in encrypted_columns():
        for row in model._default_manager.all():
            assert not isinstance(getattr(row, name), UndecryptableText), (model, name)


def encrypted_columns():
    fields = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    return [(field.model, field.name) for field in fields if isinstance(field, EncryptedTextField)]


def test_lost_key_hides_addresses_that_still_work(tenant, client, settings, pbx):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    call = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")
    assert client.post(f"/hooks/uis/{tenant.uis.hook}/", call, content_type="application/json").status_code == 200
    page = client.get(f"/activate/{tenant.activation_token}/")
    assert (page.status_code, f"/hooks/uis/{LOST}/" in page.content.decode()) == (200, True)
    assert client.get(f"/activate/{LOST}/").status_code == 404
    row = Tenant.objects.get()
    row.save()
    row.uis.save()
    row.uis.rotate_hook(now=timezone.now())
    assert client.post(f"/hooks/uis/{tenant.uis.hook}/", call, content_type="application/json").status_code == 200
    assert client.get(f"/activate/{tenant.activation_token}/").status_code == 200


def test_key_that_cannot_be_decrypted_is_not_reencrypted(tenant, settings):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    before = stored()
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS"):
        run_command("reencrypt_keys")
    assert stored() == before


def test_make_encryption_key_prints_a_valid_key():
    Fernet(run_command("make_encryption_key")[0]["key"])


def test_setup_schedules_restores_ours_and_deletes_others(db):
    from django_q.models import Schedule

    Schedule.objects.filter(func="telephony.tasks.enqueue_due_work").update(minutes=50)
    Schedule.objects.create(func="gone.tasks.forgotten", name="gone")
    lines = run_command("setup_schedules")
    assert {"task": "telephony.tasks.enqueue_due_work", "minutes": 1} in lines
    assert Schedule.objects.get(func="telephony.tasks.enqueue_due_work").minutes == 1
    assert not Schedule.objects.filter(name="gone").exists()


# --- add_tenant

CONNECTION = ("Daisy", "--slug", "daisy", "--crm-url", "https://daisy.retailcrm.ru")


def keys():
    tenant = Tenant.objects.select_related("uis", "crm").get(slug="daisy")
    return tenant.uis.access_token, tenant.crm.key


@pytest.fixture
def key_file(tmp_path):
    """Write a key file."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_add_tenant_reads_key_files(db, key_file):
    files = [
        "--uis-token-file",
        key_file("uis", " uis-key \nsecond line\n"),
        "--crm-key-file",
        key_file("crm", "crmKey"),
    ]
    printed = run_command("add_tenant", *CONNECTION, *files)
    assert [(line["tenant"], line["active"]) for line in printed] == [("daisy", False)]
    assert keys() == ("uis-key", "crmKey")


def test_add_tenant_reads_both_keys_from_stdin(db, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("uis-key\ncrmKey\n"))
    run_command("add_tenant", *CONNECTION, "--uis-token-file", "-", "--crm-key-file", "-")
    assert keys() == ("uis-key", "crmKey")


def test_add_tenant_reads_one_key_from_stdin(db, monkeypatch, key_file):
    monkeypatch.setattr("sys.stdin", StringIO("crmKey\n"))
    run_command("add_tenant", *CONNECTION, "--uis-token-file", key_file("uis", "uis-key\n"), "--crm-key-file", "-")
    assert keys() == ("uis-key", "crmKey")


@pytest.mark.parametrize("option", ["--uis-token-file", "--crm-key-file"])
@pytest.mark.parametrize(
    "content", [None, "", " \nsecond line\n", b"\xff\xfe"], ids=["missing", "empty", "blank", "binary"]
)
def test_add_tenant_rejects_an_unusable_key_file(db, tmp_path, option, content):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CommandError, match=re.escape(str(path))) as caught:
        run_command("add_tenant", *CONNECTION, option, str(path))
    assert caught.value.returncode == 2
    assert not Tenant.objects.exists()


def test_add_tenant_rejects_a_missing_line_of_stdin(db, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("uis-key\n"))
    with pytest.raises(CommandError) as caught:
        run_command("add_tenant", *CONNECTION, "--uis-token-file", "-", "--crm-key-file", "-")
    assert caught.value.returncode == 2
    assert not Tenant.objects.exists()


def test_add_tenant_without_key_files_keeps_the_keys(db, key_file):
    files = ["--uis-token-file", key_file("uis", "uis-key"), "--crm-key-file", key_file("crm", "crmKey")]
    run_command("add_tenant", *CONNECTION, *files)
    run_command("add_tenant", *CONNECTION)
    assert keys() == ("uis-key", "crmKey")
    run_command("add_tenant", *CONNECTION, "--crm-key-file", key_file("crm", "newKey"))
    assert keys() == ("uis-key", "newKey")


class Terminal(StringIO):
    def isatty(self):
        return True


def test_add_tenant_asks_for_keys_on_a_terminal(db, monkeypatch, key_file):
    prompts, typed = [], iter([" uis-key ", "crmKey", "newKey", "", ""])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(add_tenant, "getpass", lambda prompt: prompts.append(prompt) or next(typed))
    run_command("add_tenant", *CONNECTION)
    assert keys() == ("uis-key", "crmKey")
    run_command("add_tenant", *CONNECTION, "--uis-token-file", "-", "--crm-key-file", key_file("crm", "fileKey"))
    assert keys() == ("newKey", "fileKey")
    run_command("add_tenant", *CONNECTION)
    assert keys() == ("newKey", "fileKey")
    assert len(prompts) == 5


@pytest.mark.parametrize("option", ["--uis-token", "--crm-key", "--uis-tok", "--crm-k"])
@pytest.mark.parametrize("joint", [" ", "="])
def test_key_as_an_argument_is_refused_and_not_repeated(db, capsys, option, joint):
    given = f"{option}{joint}SECRETUISTOKEN1234567890".split(" ")
    with pytest.raises(SystemExit) as stopped:
        ManagementUtility(["manage.py", "add_tenant", *CONNECTION, *given]).execute()
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert "SECRETUISTOKEN" not in printed.out + printed.err
    assert option in printed.err
    assert not Tenant.objects.exists()


def secret_options():
    """Return the options of all our commands that could take a secret."""
    for name, app in get_commands().items():
        if not str(app).startswith("django"):
            parser = load_command_class(app, name).create_parser("manage.py", name)
            for action in parser._actions:
                if re.search("key|token|secret|password", " ".join([action.dest, *action.option_strings])):
                    yield name, action.dest


def test_commands_take_secrets_from_files_only():
    found = list(secret_options())
    assert len(found) >= 2
    assert [option for option in found if not option[1].endswith("_file")] == []


def test_add_tenant_prints_no_key(db, key_file):
    files = ["--uis-token-file", key_file("uis", "uis-key"), "--crm-key-file", key_file("crm", "crmKey")]
    printed = json.dumps(run_command("add_tenant", *CONNECTION, *files))
    assert "uis-key" not in printed
    assert "crmKey" not in printed
