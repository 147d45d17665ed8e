"""Erasure of one number: planted in every text column of the schema in every form, and gone from the whole database."""

import base64
import html
import itertools
import json
import re
from datetime import timedelta
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.urls import reverse
from django.utils import timezone

from connector_project.core import phone_numbers
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.sessions import SessionStore
from connector_project.operations.erasure import columns, run
from connector_project.operations.erasure.values import Number, erase_json, erase_list, erase_text
from connector_project.operations.models import Erasure
from crm.models import Command, Popup
from telephony.calls import manual
from telephony.models import AccessLogEntry, BulkAction, Call
from telephony.reconciliation import compare
from tenants import contact_list, erased_numbers
from tenants.models import AuditLogEntry, ErasureKey, Tenant, TotpDevice, User
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import current_rules, draft_of, publish_rules
from tests.users import create_user

pytestmark = pytest.mark.sql
OTHER = "79990000002"
BASE64 = base64.b64encode(b"in-79990000001").decode()
FORMS = [
    *("+79990000001", "8 (999) 000-00-01", "7999 000 00 01", "%2B79990000001", "%2B7%20999%20000-00-01", "79990000001"),
    *("8.999.000.00.01", '{"phone":"+7 999 000-00-01"}', "tel:+7-999-000-00-01", "\\u002b79990000001", "9990000001"),
    *("+7\u00a0999\u2011000\u201100\u201101", "８９９９００００００１", "wa.me/79990000001 and ext79990000001"),
    *("%2b7%c2%a0999%e2%80%91000-00-01", "%EF%BC%99%EF%BC%99%EF%BC%99%D9%A0%D9%A0%D9%A0%D9%A0%D9%A0%D9%A0%D9%A1"),
    *("\\uff19\\u0039\\u0039\\u00300\\u00a000001", "&#43;7&#160;999&nbsp;000&#45;00&#45;01", "+7 999/000_00\n01"),
    f"rec/{BASE64}.mp3",
]
SENTENCE = "Please " + ", ".join(f"call {form} today" for form in FORMS)
# Secrets and tokens; what an erasure itself stores.
NOT_PLANTED = {
    *("tenants_tenant.slug", "tenants_tenant.erased_numbers", "tenants_erasurekey.key", "operations_erasure.number"),
    *("tenants_crmconnection.key", "tenants_crmconnection.client_id", "tenants_uisconnection.access_token"),
    *(
        "operations_erasure.token",
        "operations_erasure.position",
        "operations_erasure.erased",
        "operations_erasure.state",
        "operations_erasure.claimed_by",
    ),
    *("telephony_recordinglink.digest", "tenants_reconnectlink.token_digest"),
    *("tenants_totpdevice.name", "tenants_totpdevice.secret"),
}
TEXTS = (models.CharField, models.TextField)


def holds(value):
    """Whether a value of the database holds the number, by its digits alone."""
    text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), html.unescape(unquote(str(value))))
    return CONTACT[1:] in phone_numbers.ascii_digits(text) or BASE64 in text


def planted(field, turn):
    """Return a value with the number that the column can hold, unlike those of other turns."""
    longest = field.max_length if isinstance(field, models.CharField) else None
    if longest is None or longest > len(SENTENCE) + 3:
        return f"{SENTENCE} {turn}"
    fitting = [form for form in FORMS if len(form) + 3 <= longest]
    return f"{fitting[turn % len(fitting)]} {turn}" if fitting else f"x{turn}"[:longest]


def build(model, tenant, turn, counter):
    """Create a row of any model, with the number in each of its texts."""
    values = {field.name: value_of(field, tenant, turn, counter) for field in model._meta.concrete_fields}
    given = {name: value for name, value in values.items() if value is not models.NOT_PROVIDED}
    return model._base_manager.bulk_create([model(**given)])[0]


def value_of(field, tenant, turn, counter):
    if isinstance(field, TEXTS) or columns.is_pickled(field):
        return planted(field, turn)
    if isinstance(field, models.JSONField):
        return {"a": [FORMS, SENTENCE], FORMS[turn % len(FORMS)]: {"n": int(CONTACT)}}
    if isinstance(field, models.ForeignKey):
        return None if field.null and field.name != "tenant" else related(field, tenant, counter)
    if field.null or field.has_default() or isinstance(field, models.AutoField):
        return models.NOT_PROVIDED
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.DateField):
        return timezone.now().date() + timedelta(days=next(counter))
    return next(counter) if isinstance(field, models.IntegerField) else models.NOT_PROVIDED


def related(field, tenant, counter):
    target = field.related_model
    if target is Tenant:
        return tenant
    path = columns._path_to_tenant(target)
    rows = target._base_manager.filter(**{path: tenant.pk}) if path else target._base_manager.all()
    return rows.order_by("-pk").first() or build(target, tenant, next(counter), counter)


def plant(tenant, turns):
    """Plant the number in every table of the schema; return the tables."""
    counter = itertools.count(5000)
    found = list(columns.tables())
    for table in found:
        is_single = any(
            isinstance(field, models.OneToOneField) for field in table.model._meta.concrete_fields
        ) or table.model in {Tenant, Session}
        row = table.rows(tenant).first() if is_single and table.model is not Session else None
        if row is not None:
            texts = [
                one
                for one in table.fields
                if one.name not in {"slug", "key", "access_token", "client_id", "erased_numbers"}
            ]
            values = {one.name: value_of(one, tenant, 0, counter) for one in texts}
            table.model._base_manager.filter(pk=row.pk).update(**values)
        elif table.model not in {Erasure, ErasureKey, TotpDevice}:  # These hold secrets.
            for turn in range(1 if is_single else turns):
                build(table.model, tenant, turn, counter)
    return found


def remaining(tenant):
    """Dump the whole database; return the columns that hold the number, also what is encrypted."""
    found = set()
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(name)}")  # noqa: S608 -- names of the schema
            labels = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                found |= {f"{name}.{label}" for label, value in zip(labels, row, strict=True) if holds(value)}
    for table in columns.tables():
        for row in table.rows(tenant):
            encoded = [one for one in table.fields if isinstance(one, EncryptedTextField) or columns.is_pickled(one)]
            found |= {f"{table.name}.{field.name}" for field in encoded if holds(getattr(row, field.name))}
    sessions = map(SessionStore().decode, Session.objects.values_list("session_data", flat=True))
    found |= {"django_session.session_data" for values in sessions if holds(str(values))}
    return found - {"operations_erasure.number"}  # encrypted, until the second search


@pytest.fixture
def erase(capsys):
    """Run the command; return what it prints."""

    def erase(number=CONTACT, *options):
        call_command("erase_number", "--tenant", "romashka", number, *options)
        return json.loads(capsys.readouterr().out)

    return erase


@pytest.mark.slow
@pytest.mark.parametrize("turns", [2, pytest.param(len(FORMS), marks=pytest.mark.exhaustive)])
def test_number_is_erased_from_every_text_column_of_the_schema(tenant, erase, turns):
    tables = plant(tenant, turns)
    before = remaining(tenant)
    missing = {
        f"{table.name}.{field.column}"
        for table in tables
        for field in table.fields
        if f"{table.name}.{field.column}" not in before and (getattr(field, "max_length", None) or 99) > 14
    }
    assert missing == NOT_PLANTED
    counts = {table.name: table.model._base_manager.count() for table in tables}
    printed = erase("+7 (999) 000-00-01")
    Erasure.objects.update(next_attempt_at=timezone.now())
    run.run(Erasure.objects.get().pk, now=timezone.now())
    assert remaining(tenant) == set()
    assert (printed["tenant"], set(printed["erased"]) <= {table.name for table in tables}) == ("romashka", True)
    after = {table.name: table.model._base_manager.count() for table in tables}
    changed = {name for name in counts if counts[name] != after[name]}
    assert changed <= {"operations_erasure", "tenants_auditlogentry", "tenants_erasurekey"}
    assert erase()["erased"] == {}


def test_dry_run_changes_nothing_and_counts_the_same(tenant, erase, notify, pbx):
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    counted = erase(CONTACT, "--dry-run")["erased"]
    assert remaining(tenant)
    assert not AuditLogEntry.objects.filter(action="NUMBER_ERASED").exists()
    assert erase()["erased"] == counted
    assert set(counted) >= {"telephony_call", "telephony_notification"}


def test_another_number_and_another_client_are_untouched(tenant, twin, erase, notify, client, pbx, twin_pbx):
    for account, owner in ((pbx, tenant), (twin_pbx, twin)):
        for contact in (CONTACT, OTHER):
            body = account.call(contact=contact, number=NUMBER, rings=[IVAN]).notification("lost_call")
            client.post(f"/hooks/uis/{owner.uis.hook}/", body, content_type="application/json")
    task_queue.drain()
    erase()
    assert sorted(tenant.calls.values_list("contact", flat=True)) == ["", OTHER]
    assert sorted(twin.calls.values_list("contact", flat=True)) == [CONTACT, OTHER]
    assert twin.notifications.filter(body__contains=CONTACT).count() == 1
    assert not AuditLogEntry.objects.filter(tenant=twin, action="NUMBER_ERASED").exists()


def test_audit_log_has_only_a_token(tenant, erase):
    erase()
    entry = AuditLogEntry.objects.get(action="NUMBER_ERASED")
    assert contact_list.is_token(entry.new)
    assert CONTACT[-4:] not in f"{entry.old}{entry.object_repr}{entry.field}"


def test_rule_goes_on_to_work_with_the_token(tenant, erase, notify, pbx, crm):
    publish_rules(tenant, contact_filter="EXCEPT", contacts=f"8 999 000-00-01\n+{OTHER}")
    erase()
    token, other = draft_of(tenant).contacts.splitlines()
    assert (contact_list.is_token(token), other) == (True, f"+{OTHER}")
    assert set(current_rules(tenant).contacts) == {token, OTHER}
    for contact in (CONTACT, OTHER, "79990000003"):
        notify(pbx.call(contact=contact, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert [call["phone"] for call in crm.calls] == ["+79990000003"]
    assert set(tenant.calls.values_list("skip_reason", flat=True)) == {"CONTACT", ""}


def test_token_survives_the_rotation_of_keys(tenant, settings, capsys):
    before = erased_numbers.token(tenant.pk, CONTACT)
    new = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0="
    settings.FIELD_ENCRYPTION_KEYS = [new, *settings.FIELD_ENCRYPTION_KEYS]
    settings.SECRET_KEY = "another"
    call_command("reencrypt_keys")
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert erased_numbers.token(tenant.pk, CONTACT) == before


def test_open_call_is_skipped_and_its_upload_brings_nothing_back(
    tenant, erase, notify, pbx, crm, monkeypatch, later, capsys
):
    from crm.retailcrm.client import RetailCrmClient

    real, done = RetailCrmClient.upload_calls, []

    def upload(self, *args, **kwargs):
        if not done:
            done.append(erase())
        return real(self, *args, **kwargs)

    monkeypatch.setattr(RetailCrmClient, "upload_calls", upload)
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    later(timedelta(minutes=10))
    assert done
    assert remaining(tenant) == set()
    call = Call.objects.get()
    assert (call.state, call.skip_reason, call.contact) == ("SKIPPED", "ERASED", "")
    call_command("explain_call", "--tenant", "romashka", str(call.session_id))
    explained = json.loads(capsys.readouterr().out)
    assert (explained["reason"], manual.retry(call, now=timezone.now())) == ("ERASED", False)


def test_late_notifications_and_the_report_bring_nothing_back(tenant, erase, notify, pbx, crm, later):
    at = timezone.now() - timedelta(minutes=20)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, rings=[IVAN], talks=[(IVAN, 20)])
    unknown = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, rings=[IVAN])
    notify(call.notification("waiting", employee_id=IVAN), call.notification("call_end"))
    erase()
    assert remaining(tenant) == set()
    notify(call.notification("talk_finished"), unknown.notification("call_end"))
    compare.reconcile(tenant_now(tenant), since=at - timedelta(hours=1), till=timezone.now(), now=timezone.now())
    later(timedelta(minutes=10))
    assert remaining(tenant) == set()
    assert {(row.contact, row.is_erased) for row in Call.objects.all()} == {("", True)}
    assert Call.objects.count() == 2
    assert len(crm.calls) == 1


def tenant_now(tenant):
    return Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)


def test_person_who_calls_again_is_a_new_contact(tenant, erase, notify, pbx, crm, later):
    erase()
    later(timedelta(minutes=10))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACT}"]


def test_click_that_waits_is_ended(tenant, erase):
    now = timezone.now()
    waiting = Command.objects.create(
        tenant=tenant,
        kind="MAKE_CALL",
        received_at=now,
        contact=CONTACT,
        params={"phone": f"+{CONTACT}"},
        next_attempt_at=now,
    )
    erase()
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason, waiting.params, waiting.contact) == ("FAILED", "ERASED", {"phone": ""}, "")
    assert waiting.next_attempt_at is None


def test_session_of_a_user_is_rewritten(tenant, erase):
    store = SessionStore()
    store["seen"], store["other"] = ["Number +7 999 000-00-01"], "kept"
    store.save()
    erase()
    kept = SessionStore(store.session_key)
    assert (kept["seen"], kept["other"]) == (["Number [erased]"], "kept")


@pytest.mark.parametrize("number", ["101", "anonymous", "", f"+{NUMBER}"])
def test_what_is_no_customers_number_is_refused(tenant, number):
    with pytest.raises(CommandError) as refused:
        call_command("erase_number", "--tenant", "romashka", "--", number)
    assert refused.value.returncode == 2
    assert not Erasure.objects.exists()


def test_number_itself_is_deleted_with_the_second_search(tenant, erase, later, run_queue):
    erase()
    row = Erasure.objects.get()
    assert (row.state, row.number) == ("CHECKING", CONTACT)
    Popup.objects.create(  # written by a worker that began before
        tenant=tenant,
        session_id=1,
        employee=tenant.employees.first(),
        direction="in",
        contact=CONTACT,
        ringing_at=timezone.now(),
        received_at=timezone.now(),
        sent_at=timezone.now(),
    )
    later(timedelta(minutes=6))
    run_queue()
    row.refresh_from_db()
    assert (row.state, row.number, row.next_attempt_at) == ("DONE", "", None)
    assert Popup.objects.get().contact == ""


def test_task_goes_on_where_it_stopped(tenant, notify, pbx, monkeypatch, run_queue):
    for _call in range(3):
        notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    monkeypatch.setattr(run, "BATCH", 80)
    started = run.start(tenant, CONTACT, now=timezone.now())
    slices = 0
    while Erasure.objects.get().state == "RUNNING":
        run.run(started.pk, now=timezone.now(), seconds=0.000001)
        slices += 1
    assert slices > 3
    assert remaining(tenant) == set()
    assert Erasure.objects.get().erased["telephony_call"] == 3


def test_values_are_erased_as_values():
    number = Number(CONTACT, token="erased:1", token_of=lambda _text: "x")
    assert erase_text("+7 999 000-00-01", number) == ""
    assert erase_text("Call 8 999 000-00-01!", number) == "Call [erased]!"
    assert erase_list(f"{CONTACT}\n8 999 000 00 01\n{OTHER}", number) == f"erased:1\n{OTHER}"
    assert erase_json({CONTACT: [int(CONTACT), {"a": f"x {CONTACT}"}, True, None, 1.5]}, number) == {
        "": [None, {"a": "x [erased]"}, True, None, 1.5]
    }


def test_operator_erases_the_number_of_a_call(tenant, client, notify, pbx, run_queue):
    client.force_login(create_user("olga", "Operator"))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    page = reverse("admin:operations_erasure_start", args=[tenant.pk])
    call = Call.objects.get()
    assert (
        f"{page}?call={call.pk}" in client.get(reverse("admin:telephony_call_change", args=[call.pk])).content.decode()
    )
    assert client.get(page, {"call": call.pk}).context["form"].initial["number"] == f"+{CONTACT}"
    assert client.post(page, {"number": CONTACT}).context["form"].errors.keys() == {"is_confirmed"}
    assert client.post(page, {"number": "anonymous", "is_confirmed": "on"}).context["form"].errors.keys() == {"number"}
    assert client.get(page, {"call": "9" * 30}).status_code == 200
    assert not Erasure.objects.exists()
    answer = client.post(page, {"call": call.pk, "is_confirmed": "on"})
    erasure = Erasure.objects.get()
    assert answer.headers["Location"] == reverse("admin:operations_erasure_change", args=[erasure.pk])
    run_queue()
    assert remaining(tenant) == set()
    shown = client.get(answer.headers["Location"]).content.decode()
    assert "telephony_call: 1" in shown
    assert CONTACT not in shown
    assert client.get(reverse("admin:operations_erasure_changelist")).status_code == 200
    assert client.get(reverse("admin:telephony_call_change", args=[call.pk])).status_code == 200
    assert AuditLogEntry.objects.get(action="NUMBER_ERASED").user.username == "olga"


def test_number_that_the_page_shows_is_in_the_access_log(tenant, client, notify, pbx):
    olga = create_user("olga", "Operator")
    client.force_login(olga)
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    page, call = reverse("admin:operations_erasure_start", args=[tenant.pk]), Call.objects.get()
    client.get(page), client.post(page, {"call": call.pk})
    assert not AccessLogEntry.objects.exists()
    client.get(page, {"call": call.pk})
    assert AccessLogEntry.objects.values_list("kind", "call", "user").get() == ("PHONE_NUMBER", call.pk, olga.pk)
    User.objects.get(pk=olga.pk).groups.set([Group.objects.get(name="Support")])
    olga.user_permissions.add(Permission.objects.get(codename="erase_number"))
    AccessLogEntry.objects.all().delete()
    assert CONTACT not in client.get(page, {"call": call.pk}).content.decode()
    assert not AccessLogEntry.objects.exists()


def test_support_cannot_erase(tenant, client):
    client.force_login(create_user("sveta", "Support"))
    page = reverse("admin:operations_erasure_start", args=[tenant.pk])
    assert client.post(page, {"number": CONTACT, "is_confirmed": "on"}).status_code == 403
    assert not Erasure.objects.exists()


def test_number_of_another_clients_call_is_not_taken(tenant, twin, client, notify, pbx):
    client.force_login(create_user("olga", "Operator"))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    page = reverse("admin:operations_erasure_start", args=[twin.pk])
    refused = client.post(page, {"call": Call.objects.get().pk, "is_confirmed": "on"})
    assert refused.context["form"].errors.keys() == {"number"}


def test_erasure_that_breaks_its_workers_is_given_up(tenant, run_queue):
    started = run.start(tenant, CONTACT, now=timezone.now())
    Erasure.objects.update(lost_leases=5)
    assert run.run(started.pk, now=timezone.now()) is None
    row = Erasure.objects.get()
    assert (row.state, row.number, row.next_attempt_at) == ("FAILED", "", None)


def test_erasure_of_a_worker_that_died_goes_on(tenant, notify, pbx, later, run_queue):
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    started = run.start(tenant, CONTACT, now=timezone.now())
    Erasure.objects.claim_one(started.pk, now=timezone.now())
    later(timedelta(minutes=4))
    run_queue()
    assert remaining(tenant) == set()
    assert Erasure.objects.get().state == "CHECKING"


@pytest.mark.parametrize("entry", ["79990000001*", "Anna +7 (999) 000-00-01", "８ 999 000 00 01"])
def test_every_entry_of_a_list_that_holds_the_number_becomes_the_token(entry):
    number = Number(CONTACT, token="erased:1", token_of=lambda _text: "x")
    assert erase_list(f"{OTHER}\n{entry}", number) == f"{OTHER}\nerased:1"


def test_json_keeps_every_value_and_no_number():
    number = Number(CONTACT, token="erased:1", token_of=lambda _text: "x")
    erased = erase_json({CONTACT: 1, f"+{CONTACT}": 2, f"8{CONTACT[1:]}": float(CONTACT), "x": 10**400}, number)
    assert erased == {"": 1, "2": 2, "3": None, "x": 10**400}


def test_bulk_action_of_another_client_alone_is_untouched(tenant, twin, erase):
    now, comment = timezone.now(), f"asked by +{CONTACT}"
    actions = [
        BulkAction.objects.create(kind="RETRY", state="DONE", requested_at=now, progressed_at=now, comment=comment)
        for _number in range(3)
    ]
    actions[0].tenants.set([twin])
    actions[1].tenants.set([twin, tenant])
    erase()
    comments = [BulkAction.objects.get(pk=action.pk).comment for action in actions]
    assert comments == [comment, "asked by [erased]", "asked by [erased]"]
