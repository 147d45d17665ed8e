"""Import of past calls: no pop-ups, after live calls, with their true time, within the upload window."""

import json
from datetime import datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.utils import timezone

from crm import tasks as crm_tasks
from telephony import tasks
from telephony.models import Call
from tenants.models import Tenant, UisConnection
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules_for_all

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = datetime(2026, 7, 15, 12, 0, tzinfo=MOSCOW)


@pytest.fixture
def import_calls():
    def run(since, till="2026-07-15", *extra):
        out = StringIO()
        name = ["reconcile_calls", "--tenant", "romashka", "--from", since, "--till", till, *extra]
        call_command(*name, stdout=out, stderr=StringIO())
        return json.loads(out.getvalue())

    return run


def backlog(tenant, count, **fields):
    """Create old calls that have been due for a long time."""
    at = timezone.now()
    row = {
        "state": "READY",
        "direction": "in",
        "is_lost": True,
        "result": "NO_ANSWER",
        "contact": CONTACT,
        "number": NUMBER,
        "origin": "REPORT",
        "started_at": at - timedelta(days=2),
        "ended_at": at - timedelta(days=2),
        "retry_window_started_at": at,
        "next_attempt_at": at - timedelta(hours=1),
        "is_low_priority": True,
    }
    Call.objects.bulk_create(Call(tenant=tenant, session_id=1 + n, **(row | fields)) for n in range(count))


def test_calls_before_activation_are_imported_with_their_true_time(
    clock, pbx, crm, import_calls, run_queue, tenant, stranger
):
    tenant.crm.time_zone = crm.timezone = "Asia/Yekaterinburg"
    tenant.crm.save()
    missed_at = NOON - timedelta(days=20, hours=13)  # 23:00 in Moscow, the next day in the CRM's zone
    pbx.call(contact=CONTACT, number=NUMBER, started_at=missed_at, rings=[IVAN])
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=10), talks=[(PETR, 40)])
    import_calls("2026-06-20")
    run_queue()
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    sent = {call["result"]: call for call in crm.calls}
    assert sent["no answer"]["date"] == "2026-06-25 01:00:00"
    assert (sent["answered"]["_manager"], "recordUrl" in sent["answered"]) == (28, True)
    assert crm.events == []
    assert set(Call.objects.values_list("is_low_priority", "origin")) == {(True, "REPORT")}


def test_call_outside_the_upload_window_is_skipped_and_costs_no_points(
    clock, pbx, uis_world, crm, import_calls, run_queue, tenant
):
    for days, talks in ((31, []), (40, [(IVAN, 30)]), (29, [])):
        pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=days), rings=[IVAN], talks=talks)
    uis_world.requests.clear()
    report = import_calls("2026-06-01")
    run_queue()
    assert (report["uis_calls"], report["skipped"], report["waiting"], report["unexplained"]) == (3, 2, 1, 0)
    assert set(Call.objects.filter(state="SKIPPED").values_list("skip_reason", flat=True)) == {"EXPIRED"}
    assert [request.method for request in uis_world.requests] == ["get.calls_report"]
    assert len(crm.calls) == 1


@pytest.mark.slow
def test_longer_upload_window_imports_calls_that_were_too_old(clock, pbx, crm, import_calls, run_queue, tenant):
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=40), rings=[IVAN])
    import_calls("2026-06-01")
    Tenant.objects.update(upload_window_days=60)
    assert import_calls("2026-06-01", "2026-07-15", "--dry-run")["waiting"] == 1
    import_calls("2026-06-01")
    run_queue()
    assert (len(crm.calls), import_calls("2026-06-01")["uploaded"]) == (1, 1)


def test_call_that_expires_while_waiting_is_not_sent(clock, pbx, crm, notify, run_queue, tenant):
    tenant.pause()
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    clock.shift(timedelta(days=31))
    Tenant.objects.get().resume()
    task_queue.sweep()
    assert (crm.calls, Call.objects.get().skip_reason) == ([], "EXPIRED")


@pytest.mark.slow
def test_year_is_requested_in_three_month_windows(
    clock, pbx, uis_world, crm, import_calls, run_queue, tenant, monkeypatch
):
    from telephony.uis import data_api

    monkeypatch.setattr(data_api, "PAGE", 3)
    Tenant.objects.update(upload_window_days=400)
    for month in range(12):
        at = NOON - timedelta(days=30 * month + 1)
        pbx.call(contact=f"799900001{month:02d}", number=NUMBER, started_at=at, talks=[(IVAN, 20 + month)])
    uis_world.requests.clear()
    report = import_calls("2025-07-16")
    assert (report["uis_calls"], report["unexplained"]) == (12, 0)
    assert all(request.mnemonic is None for request in uis_world.requests)
    run_queue()
    for _minute in range(6):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    assert len(crm.calls) == 12
    assert all(request.mnemonic is None for request in uis_world.requests)


@pytest.mark.parametrize("count", [120, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_live_missed_call_is_uploaded_before_old_ones(clock, pbx, crm, notify, tenant, count):
    backlog(tenant, count)
    notify(pbx.call(contact="79990000099", number=NUMBER, rings=[IVAN]).notification("lost_call"), works=False)
    task_queue.process_notifications()
    tasks.evaluate_calls(tenant.pk)
    crm_tasks.upload_calls(tenant.pk)
    assert "+79990000099" in [call["phone"] for call in crm.uploads[0]]


@pytest.mark.slow
def test_live_call_waits_for_one_batch_at_most(clock, pbx, crm, notify, tenant):
    backlog(tenant, 300)
    task_queue.lose()
    crm_tasks.upload_calls(tenant.pk)
    notify(pbx.call(contact="79990000099", number=NUMBER, rings=[IVAN]).notification("lost_call"), works=False)
    task_queue.process_notifications()
    tasks.evaluate_calls(tenant.pk)
    crm_tasks.upload_calls(tenant.pk)
    assert [call["phone"] for call in crm.uploads[1]].count("+79990000099") == 1


@pytest.mark.slow
def test_backlog_is_processed_without_filling_the_queue(clock, pbx, crm, import_calls, run_queue, tenant):
    for number in range(120):
        at = NOON - timedelta(days=3, minutes=number)
        pbx.call(contact=f"79990001{number:03d}", number=NUMBER, started_at=at, rings=[IVAN])
    import_calls("2026-07-10")
    assert run_queue() <= 5
    assert [len(batch) for batch in crm.uploads] == [50, 50, 20]


@pytest.mark.slow
def test_legs_of_live_calls_are_fetched_first(clock, pbx, uis_world, crm, notify, tenant):
    backlog(tenant, 250, state="FETCHING_LEGS", is_lost=False)
    uis_world.requests.clear()
    task_queue.sweep()
    assert len([request for request in uis_world.requests if request.method == "get.call_legs_report"]) == 2
    at = timezone.now() - timedelta(seconds=40)
    notify(pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(IVAN, 30)]).notification("call_end"))
    assert [call["result"] for call in crm.calls] == ["answered"]


def test_old_calls_wait_for_points_above_the_reserve(
    clock, pbx, uis_world, crm, import_calls, notify, run_queue, tenant
):
    for number in range(3):
        at = NOON - timedelta(days=5, minutes=number)
        pbx.call(contact=f"7999000010{number}", number=NUMBER, started_at=at, talks=[(IVAN, 30)])
    import_calls("2026-07-01")
    task_queue.lose()
    limits = {"day_limit": 1000, "day_remaining": 150, "day_reset": 3600 * 24 * 6}
    uis_world.requests.clear()
    for _day in range(5):
        # The requests of live calls say so again and again.
        UisConnection.objects.update(data_limits=limits | {"at": timezone.now().isoformat()})
        task_queue.sweep()
        clock.shift(timedelta(days=1))
    assert uis_world.requests == []
    assert set(Call.objects.values_list("failed_at", "reason")) == {(None, "UIS_QUOTA")}
    pbx.sessions.clear()
    at = timezone.now() - timedelta(seconds=40)
    notify(pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(IVAN, 30)]).notification("call_end"))
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACT}"]


def test_recent_calls_are_live_whatever_their_origin(clock, pbx, run_queue, tenant):
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(hours=2), rings=[IVAN])
    tasks.reconcile_all()
    run_queue()
    assert Call.objects.get().is_low_priority is False


def test_outage_of_the_crm_delays_old_calls_without_duplicates(
    clock, pbx, crm, crm_world, import_calls, run_queue, tenant
):
    for number in range(4):
        at = NOON - timedelta(days=5, minutes=number)
        pbx.call(contact=f"7999000010{number}", number=NUMBER, started_at=at, rings=[IVAN])
    crm_world.break_down("cut", times=1)
    import_calls("2026-07-01")
    run_queue()
    assert import_calls("2026-07-01")["waiting"] == 4
    clock.shift(timedelta(minutes=2))
    task_queue.sweep()
    assert (len(crm.calls), import_calls("2026-07-01")["uploaded"]) == (4, 4)


def test_rules_skip_old_calls_like_new_ones(clock, pbx, crm, import_calls, run_queue, tenant):
    publish_rules_for_all(upload_missed=False)
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=5), rings=[IVAN])
    assert import_calls("2026-07-01", "2026-07-15", "--dry-run")["skipped"] == 1
    import_calls("2026-07-01")
    run_queue()
    assert (crm.calls, Call.objects.get().skip_reason) == ([], "MISSED_OFF")


def test_import_waits_for_activation(clock, pbx, crm, import_calls, run_queue, tenant):
    Tenant.objects.update(activated_at=None)
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=5), rings=[IVAN])
    assert import_calls("2026-07-01")["waiting"] == 1
    run_queue()
    assert crm.calls == []
    Tenant.objects.update(activated_at=NOON)
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    assert len(crm.calls) == 1


def test_legs_of_a_call_before_a_dst_change_cost_one_point(clock, pbx, uis_world, crm, import_calls, run_queue, tenant):
    Tenant.objects.update(upload_window_days=400)
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=200), talks=[(IVAN, 30)])
    import_calls("2025-12-20", "2026-01-10")
    uis_world.requests.clear()
    run_queue()
    assert ([request.method for request in uis_world.requests], len(crm.calls)) == (["get.call_legs_report"], 1)
