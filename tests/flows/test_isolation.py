"""Two tenants with the same sessions, extensions, numbers and users: each gets only its own data."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from connector_project.core import circuit_breaker
from crm import integration_module
from crm import popup_stats as popup_figures
from crm import tasks as crm_tasks
from crm.models import Command, Popup, UploadVerification
from telephony import stats, tasks
from telephony.calls import manual, pipeline
from telephony.missed_callers import queries
from telephony.models import Call, CallLogEntry, DailyReconciliation, Notification
from telephony.models.choices import CRM_STATES
from telephony.reconciliation import compare
from tenants import api_keys, remote_lists
from tenants.models import AuditLogEntry, Employee, Tenant, UisConnection, VirtualNumber
from tenants.rules import RecordingKind, StatusSync
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.fakes import retailcrm, uis, uis_recordings
from tests.html_text import submit
from tests.rules import publish_rules, publish_rules_for_all
from tests.users import create_user

OTHER_CONTACT = "79990000002"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))


@dataclass
class Shop:
    """One tenant with both accounts, and the requests that UIS and the CRM send for it."""

    tenant: Tenant
    pbx: uis.Account
    crm: retailcrm.Account
    client: object

    def notify(self, *bodies):
        """Send notifications as UIS does; their tasks stay queued."""
        for body in bodies:
            answer = self.client.post(f"/hooks/uis/{self.tenant.uis.hook}/", body, content_type="application/json")
            assert answer.status_code == 200

    def request(self, callback, **more):
        """Send a callback of the CRM on behalf of Ivan."""
        form = {"clientId": self.tenant.crm.client_id, "code": "101", "userId": "27", **more}
        answer = self.client.post(f"/hooks/retailcrm/{self.tenant.crm.hook}/{callback}/", form)
        assert answer.status_code == 200

    def add_ended_call(self, **values):
        """Create a call that has just ended."""
        duration = 5 + sum(seconds for _person, seconds in values.get("talks", ()))
        values = {"contact": CONTACT, "number": NUMBER} | values
        return self.pbx.call(**{"started_at": timezone.now() - timedelta(seconds=duration + 3)} | values)

    def person(self, uis_id):
        return Employee.objects.get(tenant=self.tenant, uis_id=uis_id)

    def numbers(self):
        return VirtualNumber.objects.filter(tenant=self.tenant)

    def call(self):
        return Call.objects.get(tenant=self.tenant)

    def events(self):
        return [(event["type"], event["phone"], event["userIds"]) for event in self.crm.events]

    def uploaded(self, *fields):
        return [tuple(call[name] for name in fields) for call in self.crm.calls]


@pytest.fixture
def ours(client, tenant, pbx, crm):
    return Shop(tenant, pbx, crm, client)


@pytest.fixture
def theirs(client, twin, twin_pbx, twin_crm):
    return Shop(twin, twin_pbx, twin_crm, client)


@pytest.fixture
def both(ours, theirs):
    return ours, theirs


@pytest.fixture
def same_session(ours, theirs):
    """Create a call for each tenant with the same session ID; takes the values of both."""

    def create(mine, other):
        pair = ours.add_ended_call(**mine), theirs.add_ended_call(**other)
        assert len({call.session_id for call in pair}) == 1
        return pair

    return create


def notification_now(call, event, employee_id=None):
    """Return a notification of an event that happens now."""
    return call.notification(event, employee_id=employee_id, at=timezone.now())


def check_owners():
    """Check that no pop-up, call or command has an employee of another tenant."""
    for model in (Popup, Call, Command):
        for row in model.objects.exclude(employee=None).select_related("employee"):
            assert row.employee.tenant_id == row.tenant_id


def explain(shop, session_id):
    out = StringIO()
    call_command("explain_call", "--tenant", shop.tenant.slug, str(session_id), stdout=out)
    return json.loads(out.getvalue())


def test_both_tenants_share_all_ids_but_no_secret(both):
    people = [
        list(shop.tenant.employees.order_by("uis_id").values_list("uis_id", "extension", "crm_user_id"))
        for shop in both
    ]
    assert people[0] == people[1] == [(IVAN, "101", 27), (PETR, "102", 28), (ANNA, "103", None)]
    numbers = [sorted(shop.numbers().values_list("number", "is_default")) for shop in both]
    assert numbers[0] == numbers[1] == [(NUMBER, True), ("74950000002", False)]
    for secret in ("uis.access_token", "uis.hook", "crm.key", "crm.client_id", "crm.address"):
        connection_name, name = secret.split(".")
        assert len({getattr(getattr(shop.tenant, connection_name), name) for shop in both}) == 2


def test_same_notification_sent_to_both_is_processed_for_each(both, same_session, run_queue):
    mine, _other = same_session({"rings": [IVAN]}, {"rings": [IVAN]})
    ring, end = notification_now(mine, "waiting", IVAN), notification_now(mine, "lost_call")
    for shop in both:
        shop.notify(ring, end)
    run_queue()
    assert sorted(Notification.objects.values_list("tenant", "outcome", "repeats")) == sorted(
        (shop.tenant.pk, "DONE", 0) for shop in both for _event in (ring, end)
    )
    for shop in both:
        assert shop.uploaded("externalId", "phone", "_manager") == [(f"uis-{mine.session_id}", f"+{CONTACT}", 27)]


def test_popups_open_and_close_only_in_the_own_crm(ours, theirs, same_session, run_queue):
    mine, other = same_session(
        {"rings": [IVAN, PETR], "talks": [(PETR, 30)]},
        {"contact": OTHER_CONTACT, "rings": [IVAN, PETR], "talks": [(IVAN, 30)]},
    )
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(notification_now(call, "waiting", IVAN), notification_now(call, "waiting", PETR))
    run_queue()
    assert ours.events() == [("in", f"+{CONTACT}", [27]), ("in", f"+{CONTACT}", [28])]
    assert theirs.events() == [("in", f"+{OTHER_CONTACT}", [27]), ("in", f"+{OTHER_CONTACT}", [28])]
    theirs.notify(notification_now(other, "talk_started", IVAN))
    run_queue()
    assert (sorted(ours.crm.popups()), sorted(theirs.crm.popups())) == ([27, 28], [27])
    ours.notify(notification_now(mine, "talk_started", PETR))
    run_queue()
    assert (sorted(ours.crm.popups()), sorted(theirs.crm.popups())) == ([28], [27])
    theirs.notify(notification_now(other, "call_end"))
    run_queue()
    assert (sorted(ours.crm.popups()), sorted(theirs.crm.popups())) == ([28], [])
    assert sorted(Popup.objects.values_list("tenant", "employee__uis_id", "state")) == sorted(
        [
            (ours.tenant.pk, IVAN, "CLOSED"),
            (ours.tenant.pk, PETR, "OPEN"),
            (theirs.tenant.pk, IVAN, "CLOSED"),
            (theirs.tenant.pk, PETR, "CLOSED"),
        ]
    )
    check_owners()


@pytest.mark.parametrize("event", ["talk_started", "call_end"])
def test_end_of_another_tenants_call_does_not_affect_the_popup(ours, theirs, same_session, run_queue, event):
    mine, other = same_session({"rings": [IVAN]}, {"talks": [(PETR, 30)]})
    ring = notification_now(mine, "waiting", IVAN)
    theirs.notify(notification_now(other, event, PETR if event == "talk_started" else None))
    run_queue()
    ours.notify(ring)
    run_queue()
    assert ours.events() == [("in", f"+{CONTACT}", [27])]
    # The tenant's own notifications also decide how the call ended.
    ours.notify(notification_now(mine, "call_end"))
    run_queue()
    assert ours.crm.events[-1]["hangupStatus"] == "no answered"


def test_missed_call_is_uploaded_to_its_own_account_with_its_own_data(ours, theirs, same_session, run_queue):
    mine, other = same_session({"rings": [IVAN]}, {"contact": OTHER_CONTACT, "rings": [PETR]})
    for shop, call, person in ((ours, mine, IVAN), (theirs, other, PETR)):
        shop.notify(notification_now(call, "waiting", person), notification_now(call, "lost_call"))
    run_queue()
    fields = ("externalId", "phone", "result", "_manager")
    assert ours.uploaded(*fields) == [(f"uis-{mine.session_id}", f"+{CONTACT}", "no answer", 27)]
    assert theirs.uploaded(*fields) == [(f"uis-{mine.session_id}", f"+{OTHER_CONTACT}", "no answer", 28)]
    check_owners()


def test_missed_and_answered_call_with_one_session_id_stay_separate(ours, theirs, same_session, run_queue):
    mine, other = same_session({"rings": [IVAN]}, {"talks": [(PETR, 20)]})
    theirs.notify(other.notification("talk_started", employee_id=PETR), other.notification("call_end"))
    ours.notify(mine.notification("call_end"))
    run_queue()
    assert ours.uploaded("result", "duration") == [("no answer", 0)]
    assert theirs.uploaded("result", "duration") == [("answered", 20)]
    assert {shop.tenant.slug: shop.call().state for shop in (ours, theirs)} == {
        "romashka": "UPLOADED",
        "stranger": "UPLOADED",
    }


@pytest.mark.slow
def test_legs_and_recordings_are_fetched_from_the_own_account(ours, theirs, same_session, run_queue, uis_world, client):
    publish_rules_for_all(recording_link=RecordingKind.OURS)
    mine, other = same_session({"talks": [(PETR, 21)]}, {"talks": [(IVAN, 9), (PETR, 6)]})
    uis_world.requests.clear()
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(call.notification("call_end"), call.notification("recorded"))
    run_queue()
    assert ours.uploaded("duration", "code", "_manager") == [(21, "102", 28)]
    assert theirs.uploaded("duration", "code", "_manager") == [(15, "102", 28)]
    requested = {(request.token, request.method) for request in uis_world.requests}
    assert {token for token, method in requested if method == "get.call_legs_report"} == {"uis-token", "other-token"}
    played = []
    for shop in (ours, theirs):
        answer = client.get(urlsplit(shop.crm.calls[0]["recordUrl"]).path)
        played.append(b"".join(answer.streaming_content))
        answer.close()
    assert played[0] == uis_recordings.audio(mine.records[0], 21)
    assert played[1] == uis_recordings.whole(other)
    for shop in (ours, theirs):
        assert shop.tenant.access_log.get().call == shop.call()


def test_late_answer_is_logged_for_its_own_tenant_only(ours, theirs, same_session, run_queue):
    mine, other = same_session({"rings": [IVAN]}, {"talks": [(PETR, 20)]})
    ours.notify(mine.notification("lost_call"))
    theirs.notify(
        dict(
            other.notification("call_end"),
            event="lost_call",
            is_lost=True,
            talk_time_duration=0,
            total_time_duration=None,
        )
    )
    run_queue()
    theirs.notify(other.notification("call_end"))
    run_queue()
    assert list(CallLogEntry.objects.filter(step="LATE_ANSWER").values_list("call__tenant", flat=True)) == [
        theirs.tenant.pk
    ]


def test_same_click_of_two_tenants_is_dialled_in_each_account(ours, theirs, run_queue):
    for shop in (ours, theirs):
        shop.request("make-call", phone=f"+{CONTACT}")
    run_queue()
    assert sorted(Command.objects.values_list("tenant", "state", "reason")) == sorted(
        (shop.tenant.pk, "DONE", "") for shop in (ours, theirs)
    )
    assert len(set(Command.objects.values_list("session_id", flat=True))) == 1
    for shop in (ours, theirs):
        command = shop.tenant.commands.get()
        assert command.employee == shop.person(IVAN)
        assert [row["external_id"] for row in shop.pbx.dialled] == [f"click-{command.pk}"]
    session_id = Command.objects.first().session_id
    theirs.notify(theirs.pbx.finish_started(session_id, talk=0).notification("call_end"))
    run_queue()
    assert (ours.crm.calls, theirs.uploaded("type", "_manager")) == ([], [("out", 27)])
    assert [line["step"] for line in explain(theirs, session_id)["timeline"]].count("CLICK_TO_CALL") == 1


def test_click_of_another_tenant_is_not_linked_to_our_call(ours, theirs, run_queue):
    """The external ID reported by UIS is looked up among the tenant's own clicks."""
    theirs.request("make-call", phone=f"+{CONTACT}")
    run_queue()
    click = theirs.tenant.commands.get()
    call = ours.add_ended_call(direction="out", talks=[(PETR, 20)], external_id=click.external_id)
    ours.notify(call.notification("call_end"))
    run_queue()
    assert ours.call().command_external_id == click.external_id
    assert "CLICK_TO_CALL" not in [line["step"] for line in explain(ours, call.session_id)["timeline"]]


def test_status_is_synced_only_within_the_own_accounts(ours, theirs, run_queue):
    publish_rules_for_all(status_sync=StatusSync.BOTH)
    busy, lunch = 30, 3  # in the second account these IDs have other meanings
    theirs.pbx.statuses[busy] = theirs.pbx.statuses.pop(3) | {"id": busy}
    theirs.pbx.statuses[lunch] = theirs.pbx.statuses.pop(2) | {"id": lunch}
    tasks.sync_all()
    run_queue()
    for shop in (ours, theirs):
        shop.request("change-user-status", status="busy")
    run_queue()
    assert set(Command.objects.values_list("state", "reason")) == {("DONE", "")}
    assert [shop.pbx.employees[IVAN]["status_id"] for shop in (ours, theirs)] == [3, busy]
    for shop in (ours, theirs):
        shop.pbx.employees[PETR]["status_id"] = 3
    tasks.poll_statuses(ours.tenant.pk)
    assert (ours.person(PETR).uis_status, theirs.person(PETR).uis_status) == ("3", "1")
    tasks.poll_statuses(theirs.tenant.pk)
    run_queue()
    statuses = [[shop.crm.users[user_id]["status"] for user_id in (27, 28)] for shop in (ours, theirs)]
    assert statuses == [["free", "busy"], ["free", "break"]]


def test_changed_employees_affect_only_the_own_account(ours, theirs, run_queue, later):
    before = json.dumps(ours.crm.modules, sort_keys=True)
    del theirs.pbx.employees[PETR]
    theirs.pbx.employees[IVAN]["extension"]["extension_phone_number"] = "201"
    theirs.pbx.numbers.popitem()
    theirs.crm.users[27]["active"] = False
    tasks.sync_all()
    run_queue()
    remote_lists.accept(theirs.tenant, now=timezone.now())  # One number of two is much less.
    later(timedelta(hours=25))
    tasks.sync_all()
    run_queue()
    assert (theirs.person(PETR).is_dismissed, theirs.person(IVAN).extension) == (True, "201")
    assert (ours.person(PETR).is_dismissed, ours.person(IVAN).extension) == (False, "101")
    assert (ours.person(IVAN).crm_user_id, theirs.person(IVAN).crm_user_id) == (27, None)
    active = VirtualNumber.objects.filter(number="74950000002", is_active=True)
    assert list(active.values_list("tenant", flat=True)) == [ours.tenant.pk]
    assert json.dumps(ours.crm.modules, sort_keys=True) == before
    assert list(ours.crm.modules) != list(theirs.crm.modules) == [integration_module.code(theirs.tenant)]


def test_sync_of_one_tenant_changes_nothing_of_the_other(ours, theirs, run_queue):
    theirs.pbx.add_employee(300009, "Новый", extension="109")
    theirs.pbx.add_number("74950000009")
    theirs.pbx.statuses[77] = theirs.pbx.statuses[9001] | {"id": 77}
    theirs.crm.add_user(51, first_name="Новый")
    tasks.sync_employees(theirs.tenant.pk)
    run_queue()
    rows = ("employees", "crm_users", "virtual_numbers", "uis_statuses")
    before = [list(getattr(theirs.tenant, name).order_by("pk").values()) for name in rows]
    synced_at = UisConnection.objects.get(tenant=theirs.tenant).synced_at
    del ours.pbx.employees[PETR]
    tasks.sync_employees(ours.tenant.pk)
    run_queue()
    assert [list(getattr(theirs.tenant, name).order_by("pk").values()) for name in rows] == before
    assert UisConnection.objects.get(tenant=theirs.tenant).synced_at == synced_at
    assert [getattr(ours.tenant, name).count() for name in rows] == [3, 2, 2, 6]


def test_number_of_one_tenant_can_be_a_contact_of_the_other(ours, theirs, run_queue):
    theirs.pbx.add_number(OTHER_CONTACT)
    theirs.pbx.employees[IVAN]["phone_numbers"][0]["phone_number"] = "79990000003"
    tasks.sync_all()
    run_queue()
    ours.request("make-call", phone=f"+{OTHER_CONTACT}", externalPhone=f"+{OTHER_CONTACT}")
    run_queue()
    assert list(ours.tenant.commands.values_list("state", "reason", "number")) == [("DONE", "", NUMBER)]
    for contact in (OTHER_CONTACT, "79990000003"):
        ours.notify(ours.add_ended_call(contact=contact, rings=[IVAN]).notification("lost_call"))
    run_queue()
    assert ours.uploaded("phone") == [(f"+{OTHER_CONTACT}",), ("+79990000003",)]
    check_owners()


@pytest.mark.slow
def test_store_of_a_number_is_set_per_tenant(ours, theirs, same_session, run_queue):
    theirs.crm.sites.append("shop-two")
    for shop, store in ((ours, "shop-one"), (theirs, "shop-two")):
        shop.numbers().filter(number=NUMBER).update(site=store)
    tasks.sync_all()
    run_queue()
    for shop, store in ((ours, "shop-one"), (theirs, "shop-two")):
        phones = shop.crm.modules[integration_module.code(shop.tenant)]["integrations"]["telephony"]["externalPhones"]
        assert phones == [{"siteCode": store, "externalPhone": f"+{NUMBER}"}]
    mine, other = same_session({"rings": [IVAN]}, {"rings": [IVAN]})
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(notification_now(call, "waiting", IVAN))
        run_queue()
        shop.notify(notification_now(call, "lost_call"))
    run_queue()
    for shop, store in ((ours, "shop-one"), (theirs, "shop-two")):
        assert [row["site"] for row in (shop.crm.events[0], *shop.crm.calls)] == [store, store]


def test_reconciliation_finds_the_tenants_own_missing_calls(ours, theirs, run_queue):
    at = timezone.now() - timedelta(minutes=20)
    mine = ours.add_ended_call(started_at=at, rings=[IVAN])
    other = theirs.add_ended_call(started_at=at, contact=OTHER_CONTACT, talks=[(PETR, 30)])
    assert mine.session_id == other.session_id
    theirs.notify(other.notification("call_end"))
    run_queue()
    tasks.reconcile_all()
    run_queue()
    assert (ours.call().origin, theirs.call().origin) == ("REPORT", "WEBHOOK")
    assert ours.uploaded("phone", "result") == [(f"+{CONTACT}", "no answer")]
    assert theirs.uploaded("phone", "result") == [(f"+{OTHER_CONTACT}", "answered")]
    tasks.reconcile_all()
    run_queue()
    assert [len(shop.crm.uploads) for shop in (ours, theirs)] == [1, 1]


def test_period_is_compared_with_the_tenants_own_calls(ours, theirs, time_machine):
    time_machine.move_to(NOON, tick=False)
    values = {"started_at": NOON - timedelta(hours=5), "rings": [IVAN]}
    mine, other = ours.add_ended_call(**values), theirs.add_ended_call(**values)
    assert mine.session_id == other.session_id
    Call.objects.bulk_create(
        Call(
            tenant=theirs.tenant,
            session_id=other.session_id + number,
            state="UPLOADED",
            started_at=other.started_at,
            ended_at=other.ended_at,
            retry_window_started_at=NOON,
        )
        for number in range(2)
    )
    ours.add_ended_call(**values | {"contact": OTHER_CONTACT})
    for row in Call.objects.all():
        row.log("RECONCILE", now=NOON)
    by_rows = compare.reconcile(ours.tenant, since=NOON - timedelta(hours=6), till=NOON, now=NOON)
    assert by_rows.found == 2
    found = compared(ours)
    assert (found["uis_calls"], found["recovered"], found["uploaded"], found["waiting"]) == (2, 2, 0, 2)
    assert set(theirs.tenant.calls.values_list("report_date", flat=True)) == {None}


def test_call_that_cannot_be_stored_is_unexplained_despite_the_other(ours, theirs, monkeypatch):
    at = timezone.now() - timedelta(hours=1)
    mine = ours.add_ended_call(started_at=at, rings=[IVAN])
    Call.objects.create(
        tenant=theirs.tenant,
        session_id=mine.session_id,
        started_at=at,
        ended_at=at,
        retry_window_started_at=at,
        state="UPLOADED",
    )
    monkeypatch.setattr(pipeline, "create_from_report", lambda *_args, **_more: 1 / 0)
    tasks.reconcile_calls(ours.tenant.pk)
    counted = DailyReconciliation.objects.values_list("tenant", "uis_calls", "uploaded", "unexplained")
    assert (ours.tenant.pk, 1, 0, 1) in counted


def compared(shop):
    out, day = StringIO(), NOON.date().isoformat()
    slug = shop.tenant.slug
    call_command("reconcile_calls", "--tenant", slug, "--from", day, "--till", day, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_failed_night_of_one_tenant_is_compared_later(ours, theirs, uis_world, run_queue, time_machine):
    Tenant.objects.update(activated_at=NOON - timedelta(days=9))
    for shop in (ours, theirs):
        shop.add_ended_call(started_at=NOON + timedelta(days=1), rings=[IVAN])
    for days in range(1, 4):
        time_machine.move_to(NOON + timedelta(days=days), tick=False)
        if days == 2:
            uis_world.break_down("503", token=ours.pbx.token)
        tasks.close_all()
        run_queue()
    uis_world.repair()
    time_machine.move_to(NOON + timedelta(days=3, hours=1), tick=False)
    tasks.close_all()
    run_queue()
    for shop in (ours, theirs):
        closed = DailyReconciliation.objects.filter(tenant=shop.tenant, closed_at__isnull=False).order_by("day")
        assert list(closed.values_list("uis_calls", flat=True)) == [0, 1, 0]


def test_daily_reconciliation_counts_the_tenants_own_calls(ours, theirs, run_queue, time_machine):
    Tenant.objects.update(activated_at=NOON - timedelta(days=9))
    time_machine.move_to(NOON, tick=False)
    values = {"started_at": NOON - timedelta(hours=5), "rings": [IVAN]}
    mine, other = ours.add_ended_call(**values), theirs.add_ended_call(**values)
    assert mine.session_id == other.session_id
    failed = {"state": "READY", "reason": "CRM_REFUSED", "failed_at": NOON, "retry_window_started_at": NOON}
    times = {"started_at": other.started_at, "ended_at": other.ended_at}
    told = {"direction": "in", "contact": other.contact, "number": other.number, "is_lost": True, "result": "NO_ANSWER"}
    Call.objects.create(tenant=theirs.tenant, session_id=other.session_id, **failed, **times, **told)
    time_machine.move_to(NOON + timedelta(hours=16), tick=False)
    tasks.close_all()
    run_queue()
    counted = DailyReconciliation.objects.filter(day=NOON.date()).values_list(
        "tenant", "uis_calls", "recovered", "failed"
    )
    assert sorted(counted) == [(ours.tenant.pk, 1, 1, 0), (theirs.tenant.pk, 1, 0, 1)]


@pytest.fixture
def look_again(run_queue, time_machine):
    """Let the minutes pass after which a list is read once more."""

    def wait():
        run_queue()
        time_machine.move_to(timezone.now() + timedelta(minutes=6), tick=False)
        crm_tasks.enqueue_due_work()
        run_queue()

    return wait


def test_call_missing_in_one_crm_is_uploaded_again_only_there(
    ours, theirs, same_session, run_queue, look_again, time_machine
):
    time_machine.move_to(timezone.now(), tick=False)
    for shop, call in zip((ours, theirs), same_session({"rings": [IVAN]}, {"rings": [PETR]}), strict=True):
        shop.notify(call.notification("lost_call"))
    run_queue()
    theirs.crm.calls.clear()
    time_machine.move_to(timezone.now() + timedelta(hours=1), tick=False)
    crm_tasks.verify_uploads_all()
    look_again()
    assert [len(shop.crm.uploads) for shop in (ours, theirs)] == [1, 2]
    assert dict(UploadVerification.objects.values_list("tenant", "missing")) == {ours.tenant.pk: 0, theirs.tenant.pk: 1}
    assert list(CallLogEntry.objects.filter(step="REUPLOAD").values_list("call__tenant", flat=True)) == [
        theirs.tenant.pk
    ]


def test_crm_without_a_call_list_does_not_stop_the_other(
    ours, theirs, same_session, run_queue, look_again, time_machine
):
    time_machine.move_to(timezone.now(), tick=False)
    ours.crm.scopes.discard("telephony_read")
    for shop, call in zip((ours, theirs), same_session({"rings": [IVAN]}, {"rings": [IVAN]}), strict=True):
        shop.notify(call.notification("lost_call"))
    run_queue()
    theirs.crm.calls.clear()
    time_machine.move_to(timezone.now() + timedelta(hours=1), tick=False)
    for shop in (ours, theirs):
        crm_tasks.verify_uploads(shop.tenant.pk)
    look_again()
    assert sorted(UploadVerification.objects.values_list("tenant", "is_supported")) == [
        (ours.tenant.pk, False),
        (theirs.tenant.pk, True),
    ]
    assert len(theirs.crm.uploads) == 2


@pytest.fixture
def rejected(both, same_session, run_queue):
    """A call of each tenant rejected by the CRM because its store does not exist there."""
    VirtualNumber.objects.filter(number=NUMBER).update(site="no-such-shop")
    for shop, call in zip(both, same_session({"rings": [IVAN]}, {"rings": [IVAN]}), strict=True):
        shop.notify(call.notification("lost_call"))
    run_queue()
    VirtualNumber.objects.filter(number=NUMBER).update(site="shop-one")
    assert set(Call.objects.values_list("reason", flat=True)) == {"CRM_REFUSED"}


def test_bulk_retry_of_one_tenant_does_not_change_the_other(client, ours, theirs, rejected, run_queue):
    client.force_login(create_user("sveta", "Support"))
    url = reverse("admin:telephony_bulkaction_preview", args=["RETRY"])
    submit(client, url, query_params={"reason": "CRM_REFUSED", "tenant__id__exact": ours.tenant.pk})
    run_queue()
    assert (ours.call().state, theirs.call().state) == ("UPLOADED", "READY")
    assert (len(ours.crm.calls), theirs.crm.calls) == (1, [])
    assert list(AuditLogEntry.objects.filter(action="CALLS_RETRIED").values_list("tenant", "new")) == [
        (ours.tenant.pk, "1")
    ]


def test_bulk_skip_is_logged_for_each_tenant(client, both, rejected, run_queue):
    client.force_login(create_user("sveta", "Support"))
    url = reverse("admin:telephony_bulkaction_preview", args=["SKIP"])
    submit(client, url, {"reason": "no"}, query_params={"q": str(both[0].call().session_id)})
    run_queue()
    assert [shop.call().state for shop in both] == ["SKIPPED", "SKIPPED"]
    assert sorted(AuditLogEntry.objects.filter(action="CALLS_SKIPPED").values_list("tenant", "new")) == sorted(
        (shop.tenant.pk, "1") for shop in both
    )


def test_skipping_a_call_does_not_change_the_same_session_of_the_other(ours, theirs, rejected):
    manual.skip(theirs.call(), "no", now=timezone.now())
    assert (ours.call().state, ours.call().skip_reason) == ("READY", "")
    assert list(CallLogEntry.objects.filter(step="SKIP").values_list("call__tenant", flat=True)) == [theirs.tenant.pk]


@pytest.mark.slow
def test_explanation_contains_only_the_tenants_own_data(ours, theirs, same_session, run_queue):
    Tenant.objects.update(language="en")
    Employee.objects.filter(tenant=theirs.tenant).update(full_name="Other", extension="999")
    mine, other = same_session({"rings": [IVAN]}, {"rings": [PETR], "talks": [(PETR, 20)]})
    ours.notify(notification_now(mine, "waiting", IVAN))
    theirs.notify(notification_now(other, "waiting", PETR), notification_now(other, "talk_started", PETR))
    run_queue()
    ours.notify(mine.notification("lost_call"))
    theirs.notify(other.notification("call_end"), f'{{"call_session_id": {mine.session_id} "is_lost"}}')
    run_queue()
    mine_explained, other_explained = explain(ours, mine.session_id), explain(theirs, mine.session_id)
    assert [line["step"] for line in mine_explained["timeline"]].count("NOTIFICATION") == 2
    assert [line["step"] for line in other_explained["timeline"]].count("NOTIFICATION") == 3
    assert [popup["employee"] for popup in mine_explained["popups"]] == [str(ours.person(IVAN))]
    assert [popup["employee"] for popup in other_explained["popups"]] == [str(theirs.person(PETR))]
    assert "UNREADABLE" not in {warning["reason"] for warning in mine_explained["warnings"]}
    assert "UNREADABLE" in {warning["reason"] for warning in other_explained["warnings"]}
    assert "Other" not in json.dumps(mine_explained, ensure_ascii=False)
    assert str(ours.person(PETR)) not in json.dumps(other_explained, ensure_ascii=False)


@pytest.mark.slow
def test_call_page_shows_only_its_tenants_data(client, ours, theirs, same_session, run_queue):
    client.force_login(create_user("olga", "Operator"))
    mine, other = same_session({"rings": [IVAN]}, {"contact": OTHER_CONTACT, "rings": [PETR]})
    ours.notify(notification_now(mine, "waiting", IVAN), mine.notification("lost_call"))
    theirs.notify(notification_now(other, "waiting", PETR), other.notification("lost_call"))
    run_queue()
    html = client.get(reverse("admin:telephony_call_change", args=[ours.call().pk])).content.decode()
    assert CONTACT in html
    assert OTHER_CONTACT not in html
    assert list(ours.tenant.access_log.values_list("call__tenant", flat=True)) == [ours.tenant.pk]
    assert not theirs.tenant.access_log.exists()


@pytest.mark.slow
def test_api_key_reads_only_its_tenants_call_of_the_session(client, ours, theirs, same_session, run_queue):
    cache.clear()
    mine, other = same_session({"rings": [IVAN]}, {"contact": OTHER_CONTACT, "rings": [PETR]})
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(call.notification("lost_call"))
    run_queue()
    staff = create_user("olga", "Operator")
    for shop, contact in ((ours, CONTACT), (theirs, OTHER_CONTACT)):
        _row, key = api_keys.create(shop.tenant, "a program", by=staff, now=timezone.now())

        def read(path, key=key, **query):
            answer = client.get(f"/api/v1/{path}/", query, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200
            return answer.json()["results"]

        [row] = read("calls", session_id=mine.session_id)
        assert (row["tenant"], row["contact"]) == (shop.tenant.slug, f"+{contact}")
        assert read("calls", number=NUMBER) == read("calls") == [row]
        for query in ({"uis_id": IVAN}, {"extension": "101"}, {"crm_user_id": 27}):
            assert [row["tenant"] for row in read("employees", **query)] == [shop.tenant.slug]


@pytest.mark.slow
def test_callback_by_one_tenant_keeps_the_caller_on_the_others_board(both, run_queue):
    at = timezone.now() - timedelta(minutes=30)
    for shop in both:
        shop.notify(shop.add_ended_call(started_at=at, rings=[IVAN]).notification("lost_call"))
    ours, theirs = both
    tried = ours.add_ended_call(started_at=at + timedelta(minutes=5), direction="out", finish_reason="subscriber_busy")
    ours.notify(tried.notification("call_end"))
    run_queue()
    boards = [queries.load_board(shop.tenant, now=timezone.now()) for shop in both]
    assert [[wait.contact for wait in board.waiting] for board in boards] == [[CONTACT], [CONTACT]]
    assert [board.waiting[0].last_call for board in boards] == [
        shop.tenant.calls.earliest("started_at").pk for shop in both
    ]
    tries = [
        queries.callback_attempts(shop.tenant, board.waiting)[CONTACT] for shop, board in zip(both, boards, strict=True)
    ]
    assert [len(attempts) for attempts in tries] == [1, 0]
    theirs.notify(theirs.add_ended_call(direction="out", talks=[(PETR, 20)]).notification("call_end"))
    run_queue()
    boards = [queries.load_board(shop.tenant, now=timezone.now()) for shop in both]
    assert [([wait.contact for wait in board.waiting], len(board.closed_today)) for board in boards] == [
        ([CONTACT], 0),
        ([], 1),
    ]


def test_filters_of_one_tenant_skip_no_call_of_the_other(ours, theirs, same_session, run_queue):
    publish_rules(theirs.tenant, employee_filter="EXCEPT", number_filter="EXCEPT")
    publish_rules(theirs.tenant, employees=[theirs.person(PETR)])
    publish_rules(theirs.tenant, numbers=theirs.numbers().filter(number=NUMBER))
    mine, other = same_session({"rings": [PETR]}, {"rings": [PETR]})
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(notification_now(call, "waiting", PETR))
    run_queue()
    assert (len(ours.crm.events), theirs.crm.events) == (1, [])
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(notification_now(call, "lost_call"))
    run_queue()
    assert (ours.call().state, theirs.call().state) == ("UPLOADED", "SKIPPED")
    assert (len(ours.crm.calls), theirs.crm.calls) == (1, [])


def test_rejected_key_suspends_only_its_own_connection(ours, theirs, same_session, run_queue):
    theirs.crm.key, theirs.pbx.token_state = "another", "expired"
    mine, other = same_session({"talks": [(PETR, 20)]}, {"talks": [(PETR, 20)]})
    for shop, call in ((ours, mine), (theirs, other)):
        shop.notify(call.notification("call_end"))
    run_queue()
    for shop in (ours, theirs):
        shop.tenant.uis.refresh_from_db()
    assert (ours.tenant.uis.denied_at, theirs.tenant.uis.denied_code) == (None, "access_token_expired")
    assert (ours.call().state, theirs.call().reason) == ("UPLOADED", "UIS_DENIED")


def test_calls_become_due_only_for_the_tenant_whose_crm_answers_again(both, same_session, run_queue, crm_world):
    crm_world.break_down("503")
    for shop, call in zip(both, same_session({"rings": [IVAN]}, {"rings": [IVAN]}), strict=True):
        shop.notify(call.notification("lost_call"))
    run_queue()
    Call.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))
    Call.objects.make_due(both[0].tenant.pk, CRM_STATES, ["CRM_UNAVAILABLE"], now=timezone.now())
    assert [shop.call().next_attempt_at <= timezone.now() for shop in both] == [True, False]


@pytest.mark.slow
def test_statistics_count_only_the_tenants_own_calls_and_popups(ours, theirs, run_queue):
    for shop in (ours, theirs, theirs):
        call = shop.add_ended_call(rings=[IVAN])
        shop.notify(notification_now(call, "waiting", IVAN))
        run_queue()
        shop.notify(notification_now(call, "lost_call"))
        run_queue()
    period = stats.Period.last(2, zones=["Europe/Moscow"], now=timezone.now())
    for shop, count in ((ours, 1), (theirs, 2)):
        assert stats.calls(shop.tenant, period).total.missed == count
        assert [(row.pk, row.outcomes.missed) for row in stats.by_employee(shop.tenant, period)] == [
            (shop.person(IVAN).pk, count)
        ]
        assert popup_figures.count_popups(shop.tenant, period).total.count == count


def test_full_backlog_of_both_tenants_is_processed_separately(both, same_session, monkeypatch):
    """One tenant's task claims no row of the other."""
    for shop, call in zip(both, same_session({"rings": [IVAN]}, {"rings": [IVAN]}), strict=True):
        shop.notify(call.notification("lost_call"))
    task_queue.drain(pick=lambda task: not task.endswith("upload_calls"))
    task_queue.lose()
    crm_tasks.upload_calls(both[0].tenant.pk)
    assert [len(shop.crm.calls) for shop in both] == [1, 0]


def test_claims_of_one_tenant_do_not_limit_the_other(both, run_queue):
    ours, theirs = both
    now = timezone.now()
    for shop in (ours, ours, theirs):
        shop.notify(shop.add_ended_call(rings=[IVAN]).notification("lost_call"))
    task_queue.drain(pick=lambda task: not task.endswith("upload_calls"))
    for _worker in range(circuit_breaker.MAX_CONCURRENT_BATCHES):
        assert len(Call.objects.claim(ours.tenant.pk, "READY", limit=1, now=timezone.now())) == 1
    assert Call.objects.count_claimed(theirs.tenant.pk, "READY", now=now) == 0
    run_queue()
    assert (ours.crm.calls, len(theirs.crm.calls)) == ([], 1)
