"""A copy of the database opens nothing: no live secret is in it, and nothing that is in it is a credential."""

import base64
import binascii
import json
import re
import zlib
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import settings
from django.contrib.admin import site
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse
from django.utils import timezone

from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, digest
from connector_project.core.sessions import SessionStore
from tenants.models import Tenant
from tenants.rules import RecordingKind
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.retailcrm_marketplace import PartnerAccount
from tests.rules import publish_rules_for_all
from tests.users import create_user

pytestmark = pytest.mark.one_database

PASSWORD = "x"
IN_A_MESSAGE = re.compile(r'<code class="admin-link">([^<]+)</code>')
# Whatever a credential could look like; names, numbers and times are shorter or have other characters.
SAMPLE = 2  # values of one column: all of a column are made alike
LIKE_A_CREDENTIAL = re.compile(r"[\w\-=:.+]{16,}")


def dump():
    """Return every value of every table by column, as `pg_dump` writes it."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 -- from the schema
            names, rows = [column[0] for column in cursor.description], cursor.fetchall()
            for place, name in enumerate(names):
                found[table, name] = {str(row[place]) for row in rows if row[place] not in (None, "")}
    return found


def readable(value):
    """Yield a value and what anybody can decode in it: base64, compressed or not."""
    yield value
    for part in re.split(r"[:.]", value):
        try:
            data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except (binascii.Error, ValueError):
            continue
        yield data.decode("latin-1")
        try:
            yield zlib.decompress(data).decode("latin-1")
        except zlib.error:
            continue


def last_part(url):
    return urlsplit(url).path.rstrip("/").rsplit("/", 1)[1]


@pytest.fixture
def secrets(client, tenant, twin, pbx, crm, crm_world, notify, run_queue, settings):
    """Play what hands out secrets, and return all of them, from what others got: browser, UIS, CRM, programs."""
    settings.RETAILCRM_MODULE_SECRET = "partner-secret-of-the-module"
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # as messages too long for it
    publish_rules_for_all(recording_link=RecordingKind.OURS)
    create_user("olga", "Operator")
    staff = Client()
    staff.post("/admin/login/", {"username": "olga", "password": PASSWORD})
    found = {"session": staff.cookies[settings.SESSION_COOKIE_NAME].value}

    def act(name):
        return html_text.submit(staff, reverse("admin:tenants_tenant_action", args=[tenant.pk, name]))

    act("rotate")
    run_queue()
    call = pbx.call(
        contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=timezone.now() - timedelta(minutes=1)
    )
    current = Tenant.objects.get(pk=tenant.pk)
    uis_path = f"/hooks/uis/{current.uis.hook}/"
    assert client.post(uis_path, call.notification("call_end"), content_type="application/json").status_code == 200
    run_queue()
    found["record"] = last_part(crm.calls[0]["recordUrl"])
    (module,) = crm.modules.values()
    found |= {"crm hook": last_part(module["baseUrl"]), "client id": module["clientId"]}
    click = {"clientId": found["client id"], "code": "101", "phone": f"+{CONTACT}", "userId": "27"}
    assert client.post(f"/hooks/retailcrm/{found['crm hook']}/make-call/", click).status_code == 200
    form = {"name": "report", "tenant": tenant.pk}
    page = staff.post(reverse("admin:tenants_apikey_add"), form, follow=True).content.decode()
    found["API key"] = IN_A_MESSAGE.search(page)[1]
    act("renew_link")  # Its message is not shown yet: it waits in the session.
    found["activation"] = Tenant.objects.get(pk=tenant.pk).activation_token
    page = client.get(f"/activate/{found['activation']}/").content.decode()
    found["uis hook"] = re.search(r"/hooks/uis/([^/]+)/", page)[1]
    assert found["uis hook"] in uis_path
    partner = PartnerAccount(secret=settings.RETAILCRM_MODULE_SECRET)
    new = crm_world.add_account("new.retailcrm.ru", key="keyOfANewAccount")
    registration = partner.connect(new, client.get("/connect/retailcrm/").json())
    answer = client.post("/connect/retailcrm/register/", registration)
    found["one-time"] = last_part(answer.json()["accountUrl"])
    found["signature"] = json.loads(registration["register"])["token"]
    found |= {"new key": new.key, "CRM key": crm.key, "UIS key": pbx.token, "other UIS key": "other-token"}
    found |= {"partner": settings.RETAILCRM_MODULE_SECRET, "django": settings.SECRET_KEY}
    return found


@pytest.mark.slow
def test_no_live_secret_is_in_any_column(secrets):
    assert len(set(secrets.values())) == len(secrets)
    stored = {text for values in dump().values() for value in values for text in readable(value)}
    assert [name for name, secret in secrets.items() if any(secret in text for text in stored)] == []
    # For sessions that would be vacuous if none of them had such a message.
    sessions = [SessionStore().decode(row.session_data) for row in Session.objects.all()]
    assert any(secrets["activation"] in json.dumps(data) for data in sessions)
    assert_digests_are_those_of_the_secrets()


def assert_digests_are_those_of_the_secrets():
    pairs = 0
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, DigestField) and field.of:
                pairs += 1
                assert isinstance(model._meta.get_field(field.of), EncryptedTextField)
                for row in model._default_manager.all():
                    assert getattr(row, field.attname) == digest(getattr(row, field.of)), (model, field)
    assert pairs >= 4


def doors():
    """Return every address that a secret in its path opens, from the URLconf."""
    found = set()

    def walk(patterns, prefix):
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, route)
            elif re.search(r"<str:(hook|token)>", route):
                found.add("/" + re.sub(r"<str:(hook|token)>", "{}", route).replace("<str:event>", "waiting"))

    walk(get_resolver().url_patterns, "")
    return sorted(found)


def opens(value, client_id, hook):
    """Return the doors that a value opens: as the secret in the path, session cookie, API key and clientId."""
    anonymous = Client()
    found = []
    for door in doors():
        method = anonymous.post if door.startswith("/hooks/") else anonymous.get
        if method(door.format(value), {"clientId": client_id}).status_code != 404:
            found.append(door)
    anonymous.cookies[settings.SESSION_COOKIE_NAME] = value
    by_header = Client().get("/api/v1/calls/", headers={"authorization": f"Bearer {value}"})
    by_parameter = Client().get(f"/hooks/retailcrm/{hook}/make-call/", {"clientId": value})
    answers = {
        "session": (anonymous.get("/admin/").status_code, 302),
        "API key": (by_header.status_code, 401),
        "client id": (by_parameter.status_code, 403),
    }
    return [*found, *(name for name, (status, refused) in answers.items() if status != refused)]


def secret_columns():
    """Return the columns made for secrets: digests, ciphertexts, and the keys of sessions."""
    fields = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    made = [field for field in fields if isinstance(field, DigestField | EncryptedTextField)]
    return {(field.model._meta.db_table, field.column) for field in [*made, Session._meta.pk]}


@pytest.mark.slow
@pytest.mark.parametrize("is_whole", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_nothing_in_the_dump_is_a_credential(secrets, is_whole):
    known = {"client_id": secrets["client id"], "hook": secrets["crm hook"]}
    assert len(doors()) >= 8
    used = {name for name in secrets if opens(secrets[name], **known)}
    assert used == {"uis hook", "crm hook", "activation", "one-time", "record", "session", "API key", "client id"}
    columns = {name: values for name, values in dump().items() if is_whole or name in secret_columns()}
    alike = [[value for value in values if LIKE_A_CREDENTIAL.fullmatch(value)] for values in columns.values()]
    candidates = {value for values in alike for value in values[: SAMPLE if is_whole else 1]}
    assert len(candidates) >= (40 if is_whole else 12)
    assert {value: opened for value in candidates if (opened := opens(value, **known))} == {}


def test_hook_of_one_system_is_no_key_to_the_other(client, tenant, twin):
    hooks = {tenant.uis.hook, tenant.crm.hook, twin.uis.hook, twin.crm.hook}
    assert len(hooks) == 4
    click = {"clientId": tenant.crm.client_id, "code": "101", "phone": f"+{CONTACT}", "userId": "27"}
    for name in ("make-call", "change-user-status", "activity", "settings"):
        assert client.post(f"/hooks/retailcrm/{tenant.uis.hook}/{name}/", click).status_code == 404
    body = {"event": "waiting", "call_session_id": 1}
    for path in (f"/hooks/uis/{tenant.crm.hook}/", f"/hooks/uis/{tenant.crm.hook}/waiting/"):
        assert client.post(path, body, content_type="application/json").status_code == 404
        assert client.post(path, "x" * 70_000, content_type="text/plain").status_code == 404
    assert not tenant.notifications.exists()
    assert not tenant.commands.exists()


@pytest.mark.parametrize("lookup", ["startswith", "of", "exact", "regex"])
def test_no_list_can_be_searched_by_a_column_of_secrets(client, db, lookup):
    client.force_login(create_user("olga", "Operator"))
    made = [field for model in site._registry for field in model._meta.fields]
    asked = [field for field in made if isinstance(field, DigestField | EncryptedTextField)]
    assert {field.name for field in asked} >= {"activation_token", "activation_token_digest", "digest"}
    for field in asked:
        page = reverse(f"admin:{field.model._meta.app_label}_{field.model._meta.model_name}_changelist")
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(page, {f"{field.name}__{lookup}": "a"})
        conditions = [query["sql"].partition(" WHERE ")[2] for query in queries]
        is_used = any(f'"{field.model._meta.db_table}"."{field.column}"' in condition for condition in conditions)
        assert (answer.status_code in {200, 400, 403}, is_used) == (True, False), (field, lookup)


# --- sessions


def test_cookie_is_no_key_of_the_table_and_the_row_is_no_cookie(client, db):
    client.force_login(create_user("olga", "Operator"))
    cookie, row = client.cookies[settings.SESSION_COOKIE_NAME].value, Session.objects.get()
    assert client.get("/admin/").status_code == 200
    assert row.session_key != cookie
    client.cookies[settings.SESSION_COOKIE_NAME] = row.session_key
    assert client.get("/admin/").status_code == 302
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    client.post("/admin/logout/")
    assert not Session.objects.exists()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert client.get("/admin/").status_code == 302


def test_session_whose_encryption_key_is_lost_signs_out(client, settings, db):
    client.force_login(create_user("olga", "Operator"))
    settings.FIELD_ENCRYPTION_KEYS = ("b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI=",)
    assert client.get("/admin/").status_code == 302


def test_clearsessions_removes_expired_sessions_only(client, db):
    client.force_login(create_user("olga", "Operator"))
    old = SessionStore()
    old.set_expiry(-1)
    old.save()
    call_command("clearsessions")
    assert Session.objects.count() == 1
    assert client.get("/admin/").status_code == 200


def test_asynchronous_methods_store_no_cookie_either(db):
    store = SessionStore()
    store["a"] = 1
    store.save()
    key = store.session_key
    assert async_to_sync(store.aexists)(key)
    assert not async_to_sync(store.aexists)(Session.objects.get().session_key)
    assert async_to_sync(store.acreate_model_instance)({}).session_key == Session.objects.get().session_key
    assert async_to_sync(SessionStore(key).aload)() == {"a": 1}
    async_to_sync(store.adelete)()
    assert async_to_sync(SessionStore(key).aload)() == {}
    assert SessionStore().delete() is None
