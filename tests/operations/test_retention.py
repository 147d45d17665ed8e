"""Retention: every table has a term, what is past it is purged, and nothing that is not finished."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from connector_project.operations import schedules, tasks
from connector_project.operations.models import AlertDelivery, Incident
from connector_project.operations.onboarding import offboarding
from connector_project.operations.retention import purge, terms
from crm.models import Command, Popup
from telephony import access_log
from telephony.models import AccessLogEntry, BulkAction, Call, CallLogEntry, Notification, RecordingLink
from telephony.reconciliation import compare, daily
from tenants import audit, retention
from tenants.models import ApiKey, AuditLogEntry, RuleDraft, Tenant
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = pytest.mark.sql
DAY = timedelta(days=1)
Term = retention.Term


@pytest.fixture
def run_purge(capsys):
    """Run the command; return what it prints."""

    def run(*options):
        call_command("purge", *options)
        return json.loads(capsys.readouterr().out)["purged"]

    return run


@pytest.fixture
def call(tenant, notify, pbx):
    """Play a missed call and make it, with all that belongs to it, so many days old."""

    def play(days, *, contact=CONTACT, **fields):
        played = pbx.call(contact=contact, number=NUMBER, rings=[IVAN])
        notify(played.notification("waiting", employee_id=IVAN), played.notification("lost_call"))
        row = Call.objects.get(session_id=played.session_id)
        at = timezone.now() - days * DAY
        Call.objects.filter(pk=row.pk).update(started_at=at, ended_at=at, **fields)
        Notification.objects.filter(session_id=row.session_id).update(received_at=at)
        Popup.objects.filter(session_id=row.session_id).update(received_at=at)
        return row

    return play


def every_label():
    return {model._meta.label for model in apps.get_models() if not model._meta.proxy}


def test_every_model_has_a_term():
    lists = [terms.TERMS, terms.WITH_PARENT, terms.TRANSIENT, terms.PERMANENT]
    named = [label for one in lists for label in one]
    assert len(named) == len(set(named)), "A model is in one list only."
    missing = {label for label in every_label() if label.partition(".")[0] != "devtools"} - set(named)
    assert not missing, "Give each model a term, or name it as permanent, in operations/retention/terms.py."
    apps_of_ours = {label.partition(".")[0] for label in every_label()}
    assert not {label for label in named if label.partition(".")[0] in apps_of_ours} - every_label()


@pytest.mark.parametrize("label", terms.installed(terms.TERMS))
def test_column_that_a_term_counts_from_exists_and_has_an_index(label):
    model, kept = terms.model_of(label), terms.TERMS[label]
    assert isinstance(model._meta.get_field(kept.since), models.DateField)
    has_tenant = any(field.name == "tenant" for field in model._meta.fields)
    first = [[name.lstrip("-") for name in index.fields] for index in model._meta.indexes]
    first += [list(one.fields) for one in model._meta.total_unique_constraints]
    wanted = ["tenant", kept.since] if has_tenant else [kept.since]
    assert label in FEW_ROWS or any(names[: len(wanted)] == wanted for names in first)


# A person makes each of these rows, or a vendor's refusal; or the table is of a package.
FEW_ROWS = {
    *("telephony.BulkAction", "crm.UnknownId", "operations.Incident", "operations.Erasure", "tenants.ApiKey"),
    *("telephony.AccessLogEntry", "admin.LogEntry", "django_q.Task"),
}


def test_documentation_has_the_same_terms():
    text = Path("docs/retention.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    expected = {label: f"`{kept.term.variable}` from `{kept.since}`" for label, kept in terms.TERMS.items()}
    expected |= {label: f"with `{parent}`" for label, (parent, _field) in terms.WITH_PARENT.items()}
    assert rows == {**expected, **terms.TRANSIENT, **terms.PERMANENT}


def test_old_call_goes_with_all_that_belongs_to_it(tenant, call, run_purge, run_queue):
    old, young = call(366), call(364, contact="79990000002")
    entries = CallLogEntry.objects.filter(call=old).count()
    RecordingLink.for_call(old, now=timezone.now()).save()
    user = create_user("olga", "Operator")
    access_log.log_access(old, AccessLogEntry.Kind.PHONE_NUMBER, by=user, address="10.0.0.1", now=timezone.now())
    counted = run_purge("--dry-run")
    assert Call.objects.count() == 2
    purged = run_purge()
    assert purged == counted
    assert purged == {
        "crm_popup": 1,
        "telephony_call": 1,
        "telephony_calllogentry": entries,
        "telephony_notification": 2,
        "telephony_notification.body": 2,
        "telephony_recordinglink": 1,
    }
    assert list(Call.objects.all()) == [young]
    assert set(Notification.objects.values_list("session_id", "body")) == {(young.session_id, "")}
    entry = AccessLogEntry.objects.get()
    assert (entry.call, entry.session) == (None, str(old.session_id))
    assert run_purge() == {}


def test_raw_texts_go_first_and_the_parsed_facts_stay(tenant, call, run_purge):
    row = call(31)
    other = call(29, contact="79990000002")
    assert run_purge() == {"telephony_notification.body": 2}
    stored = Notification.objects.filter(session_id=row.session_id)
    assert {(one.query, one.body, bool(one.parsed_event)) for one in stored} == {("", "", True)}
    assert all(one.body for one in Notification.objects.filter(session_id=other.session_id))


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "READY", "failed_at": timezone.now(), "reason": "CRM_REFUSED"},
        {"state": "READY", "next_attempt_at": timezone.now()},
        {"state": "FETCHING_LEGS"},
    ],
)
def test_call_that_is_not_finished_stays_with_its_notifications(tenant, call, run_purge, fields):
    call(4000, **fields)
    assert set(run_purge()) <= {"telephony_notification.body", "crm_popup"}
    assert (Call.objects.count(), Notification.objects.count()) == (1, 2)


def test_notification_that_is_not_processed_stays(tenant, client, hook, pbx, run_purge):
    body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    client.post(hook, body, content_type="application/json")
    Notification.objects.update(received_at=timezone.now() - 4000 * DAY)
    assert run_purge() == {}


def test_client_has_shorter_terms_and_never_longer_ones(tenant, twin, settings):
    now = timezone.now()
    tenant.retention_calls_days, twin.retention_calls_days = 40, 4000
    assert retention.days(tenant, Term.CALLS) == 40
    assert retention.days(twin, Term.CALLS) == 365
    assert retention.days(None, Term.LOGS) == 1095
    assert retention.kept_since(tenant, Term.CALLS, now=now) == now - 40 * DAY


def test_terms_of_a_client_concern_its_rows_only(tenant, twin, call, run_purge, client, twin_pbx, run_queue):
    call(50)
    body = twin_pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    client.post(f"/hooks/uis/{twin.uis.hook}/", body, content_type="application/json")
    run_queue()
    Call.objects.update(started_at=timezone.now() - 50 * DAY)
    Tenant.objects.filter(pk=tenant.pk).update(retention_calls_days=40)
    run_purge()
    assert (tenant.calls.count(), twin.calls.count()) == (0, 1)


@pytest.mark.parametrize("is_old", [True, False])
def test_logs_and_finished_work_go_by_their_terms(tenant, run_purge, is_old):
    now = timezone.now()
    at = now - (1096 if is_old else 1094) * DAY
    audit.log(tenant, AuditLogEntry.Action.PAUSED, now=at)
    audit.log(None, AuditLogEntry.Action.PAUSED, now=at)
    ApiKey.objects.create(name="a", digest="a", created_at=at, revoked_at=at)
    ApiKey.objects.create(name="in use", digest="b", created_at=at)
    year = now - (366 if is_old else 364) * DAY
    for state in ("RESOLVED", "OPEN"):
        Incident.objects.create(
            tenant=tenant, kind="BACKLOG", state=state, opened_at=year, last_seen_at=year,
            resolved_at=year if state == "RESOLVED" else None,
        )  # fmt: skip
    for state in ("DONE", "RUNNING"):
        BulkAction.objects.create(
            kind="RETRY", state=state, requested_at=year, progressed_at=year, ended_at=year if state == "DONE" else None
        )
    Command.objects.create(tenant=tenant, kind="MAKE_CALL", received_at=year, state="DONE")
    Command.objects.create(tenant=tenant, kind="MAKE_CALL", received_at=year, next_attempt_at=year)
    month = now - (31 if is_old else 29) * DAY
    AlertDelivery.objects.create(channel="MAIL", subject="a", created_at=month, state="SENT")
    AlertDelivery.objects.create(channel="MAIL", subject="a", created_at=month, next_attempt_at=now)
    expected = {
        "tenants_auditlogentry": 2,
        "tenants_apikey": 1,
        "operations_incident": 1,
        "telephony_bulkaction": 1,
        "crm_command": 1,
        "operations_alertdelivery": 1,
    }
    assert run_purge() == (expected if is_old else {})


def test_purge_goes_on_where_its_time_was_over(tenant, call, monkeypatch, run_queue):
    for _number in range(3):
        call(400)
    monkeypatch.setattr(purge, "BATCH", 1)
    assert purge.run(now=timezone.now(), seconds=0.0).is_complete is False
    assert Call.objects.count() == 2
    monkeypatch.setattr(tasks, "PURGE_SLICE_SECONDS", 0.0)
    tasks.purge()
    run_queue()
    assert (Call.objects.count(), Notification.objects.count()) == (0, 0)


def test_purge_runs_at_night_and_sessions_are_cleared_daily(db):
    from django_q.models import Schedule

    night = Schedule.objects.get(func="connector_project.operations.tasks.purge")
    assert (night.minutes, night.next_run.hour, night.next_run > timezone.now()) == (1440, 20, True)
    assert schedules.SCHEDULES["connector_project.operations.tasks.clear_sessions"] == 1440


def test_expired_sessions_are_cleared(db):
    from django.contrib.sessions.models import Session

    for name, at in (("old", -DAY), ("new", DAY)):
        Session.objects.create(session_key=name, session_data="x", expire_date=timezone.now() + at)
    tasks.clear_sessions()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]


def test_reconciliation_refuses_days_whose_calls_are_purged(tenant):
    Tenant.objects.update(retention_calls_days=40)
    fresh, now = Tenant.objects.get(), timezone.now()
    first = retention.first_day(fresh, now=now)
    with pytest.raises(CommandError) as refused:
        call_command("reconcile_calls", "--tenant", "romashka", "--from", f"{first - DAY}", "--till", f"{first}")
    assert refused.value.returncode == 2
    assert str(first) in str(refused.value)
    call_command("reconcile_calls", "--tenant", "romashka", "--from", f"{first}", "--till", f"{first}")


def test_import_refuses_days_whose_calls_are_purged(tenant, client):
    client.force_login(create_user("olga", "Operator"))
    Tenant.objects.update(retention_calls_days=40)
    first = retention.first_day(Tenant.objects.get(), now=timezone.now())
    address = reverse("admin:telephony_bulkaction_import", args=[tenant.pk])
    refused = client.post(address, {"first": first - DAY, "last": first})
    assert list(refused.context["form"].errors) == ["first"]
    assert not BulkAction.objects.exists()
    client.post(address, {"first": first, "last": first})
    assert BulkAction.objects.exists()


def test_purged_calls_do_not_come_back(tenant, pbx, call, run_purge):
    """The upload window is longer than the term: the report still lists the call."""
    Tenant.objects.update(retention_calls_days=10, activated_at=timezone.now() - 100 * DAY)
    at, fresh = timezone.now() - 11 * DAY, Tenant.objects.select_related("uis", "crm", "rule_version").get()
    pbx.call(contact=CONTACT, number=NUMBER, started_at=at, rings=[IVAN])
    assert daily.active_since(fresh, now=timezone.now()) > at
    since, till = daily.period(fresh, now=timezone.now())
    compare.reconcile(fresh, since=since, till=till, now=timezone.now())
    assert not Call.objects.exists()


@pytest.mark.parametrize(("days", "is_taken"), [("40", True), ("366", False), ("0", False), ("", True)])
def test_form_takes_no_longer_terms_than_the_installation(tenant, days, is_taken):
    from tenants.forms import TenantForm

    values = {name: getattr(tenant, name) for name in TenantForm.Meta.fields} | {"retention_calls_days": days}
    form = TenantForm({name: value for name, value in values.items() if value is not None}, instance=tenant)
    assert ("retention_calls_days" in form.errors) is not is_taken


def test_nothing_of_customers_survives_the_client_in_the_audit_log(tenant, client, call, later):
    client.force_login(create_user("olga", "Operator"))
    now = timezone.now()
    audit.log(
        tenant, AuditLogEntry.Action.CHANGED, now=now, target=RuleDraft(tenant=tenant), field="contacts",
        old="", new="+79991112233",
    )  # fmt: skip
    audit.log(tenant, AuditLogEntry.Action.CALLS_SKIPPED, now=now, field="Anna Petrova asked", new=3)
    audit.log(tenant, AuditLogEntry.Action.LINKED, now=now, target=tenant.employees.first(), new="Anna Petrova")
    call(1)
    offboarding.offboard(tenant, now=now)
    while offboarding.delete_expired(now=now + 31 * DAY):
        pass
    assert not Tenant.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tenants_auditlogentry")
        left = str(cursor.fetchall())
    for part in ("79991112233", "2233", "Anna", "Petrova", CONTACT, "Иванов"):
        assert part not in left
    kept = set(AuditLogEntry.objects.values_list("action", "object_repr", "field", "new", "tenant_name"))
    assert ("CALLS_SKIPPED", "", "", "3", "Ромашка") in kept
    assert ("CHANGED", "ruledraft", "contacts", "", "Ромашка") in kept


@override_settings(RETENTION_CALLS_DAYS=10)
def test_environment_sets_the_terms(tenant, call, run_purge):
    call(11)
    assert "telephony_call" in run_purge()
