"""Every call in UIS's report is uploaded, skipped, waiting or failed; the daily reconciliation counts each state."""

import json
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from connector_project.operations.management.commands import reconcile_calls
from crm import tasks as crm_tasks
from crm.models import UploadVerification
from telephony import tasks
from telephony.models import Call, CallLogEntry, DailyReconciliation
from telephony.reconciliation import compare
from tenants.models import Tenant
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import retailcrm_calls
from tests.rules import publish_rules_for_all

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=MOSCOW)


@pytest.fixture
def _noon():
    """Set the clock to noon, hours away from the ends of the day."""
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def command():
    """Run the command; return its stdout as JSON, and its stderr."""

    def run(slug="romashka", *, since="2026-03-10", till="2026-03-10", dry=False):
        out, err = StringIO(), StringIO()
        extra = ["--dry-run"] if dry else []
        call_command(
            "reconcile_calls", "--tenant", slug, "--from", since, "--till", till, *extra, stdout=out, stderr=err
        )
        lines = out.getvalue().splitlines()
        assert len(lines) == 1
        return json.loads(lines[0]), err.getvalue()

    return run


@pytest.fixture
def every_minute():
    """Let minutes pass, with a sweep in each."""

    def run(minutes=5):
        for _minute in range(minutes):
            with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=False):
                task_queue.sweep()

    return run


def add_missed_call(pbx, at, contact=CONTACT, **values):
    return pbx.call(contact=contact, number=NUMBER, started_at=at, rings=[IVAN], **values)


def run_nightly_task(run_queue):
    tasks.close_all()
    run_queue()


def sums_to_uis_calls(report):
    parts = report["uploaded"] + report["skipped"] + report["waiting"] + report["failed"] + report["unexplained"]
    return report["uis_calls"] == parts


@pytest.mark.usefixtures("_noon")
def test_every_call_of_a_period_has_a_status(command, notify, pbx, crm, crm_world, run_queue, tenant, stranger):
    notified = add_missed_call(pbx, NOON - timedelta(hours=2))
    notify(notified.notification("call_end"))
    add_missed_call(pbx, NOON - timedelta(hours=5), "79990000002")
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(hours=6), talks=[(IVAN, 30)])
    pbx.call(contact="102", number=NUMBER, started_at=NOON - timedelta(hours=6), is_internal=True)
    add_missed_call(pbx, NOON - timedelta(hours=7), "anonymous")
    report, _text = command()
    assert report == {
        "tenant": "romashka",
        "uis_calls": 5,
        "uploaded": 1,
        "skipped": 2,
        "waiting": 2,
        "failed": 0,
        "unexplained": 0,
        "recovered": 4,
    }
    run_queue()
    report, _text = command()
    assert (report["uploaded"], report["skipped"], report["waiting"], report["unexplained"]) == (3, 2, 0, 0)
    assert set(Call.objects.filter(state="SKIPPED").values_list("skip_reason", flat=True)) == {
        "INTERNAL_OFF",
        "HIDDEN_NUMBER",
    }
    assert crm.events == []


@pytest.mark.usefixtures("_noon")
def test_same_session_of_another_tenant_does_not_hide_the_call(command, pbx, crm, run_queue, tenant, twin):
    call = add_missed_call(pbx, NOON - timedelta(hours=5))
    Call.objects.create(
        tenant=twin,
        session_id=call.session_id,
        started_at=NOON,
        ended_at=NOON,
        retry_window_started_at=NOON,
        state="UPLOADED",
    )
    report, _text = command()
    run_queue()
    assert (report["recovered"], report["waiting"], report["uploaded"]) == (1, 1, 0)
    assert [row["externalId"] for row in crm.calls] == [f"uis-{call.session_id}"]
    assert Call.objects.get(tenant=tenant).session_id == call.session_id


@pytest.mark.usefixtures("_noon")
def test_recovered_call_has_a_reconcile_step(command, pbx, run_queue, tenant):
    add_missed_call(pbx, NOON - timedelta(hours=5))
    command()
    run_queue()
    assert list(CallLogEntry.objects.values_list("step", flat=True)) == ["RECONCILE", "UPLOAD"]


@pytest.mark.usefixtures("_noon")
def test_rejected_call_is_reported_as_failed_with_the_responsible_party(command, pbx, run_queue, tenant):
    add_missed_call(pbx, NOON - timedelta(hours=5))
    command()
    Call.objects.update(direction="???")
    run_queue()
    report, text = command()
    assert (report["failed"], report["unexplained"], sums_to_uis_calls(report)) == (1, 0, True)
    assert str(reconcile_calls.FailureReason.CRM_REFUSED.label) in text
    assert str(reconcile_calls.FailureReason.CRM_REFUSED.responsible.label) in text


@pytest.mark.usefixtures("_noon")
@pytest.mark.parametrize("change", ["paused", "uis", "crm"])
def test_calls_of_a_paused_or_suspended_tenant_wait(command, pbx, run_queue, tenant, change):
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(hours=5), talks=[(IVAN, 30)])
    if change == "paused":
        tenant.pause()
    elif change == "uis":
        tenant.uis.suspend("component", "no", subject="get.call_legs_report", now=timezone.now())
    else:
        tenant.crm.suspend("key", "no", now=timezone.now())
    command()
    run_queue()
    report, _text = command()
    assert (report["waiting"], report["unexplained"]) == (1, 0)


@pytest.mark.usefixtures("_noon")
def test_row_without_a_known_state_is_unexplained(command, pbx, run_queue, tenant):
    add_missed_call(pbx, NOON - timedelta(hours=5))
    command()
    run_queue()
    Call.objects.update(state="READY", next_attempt_at=None, failed_at=None)
    report, _text = command()
    assert (report["unexplained"], sums_to_uis_calls(report)) == (1, True)
    assert DailyReconciliation.objects.get(day=NOON.date()).unexplained == 1


@pytest.mark.usefixtures("_noon")
def test_call_that_crashes_is_unexplained_and_does_not_block_others(command, pbx, run_queue, tenant, monkeypatch):
    from telephony.calls import pipeline

    bad = add_missed_call(pbx, NOON - timedelta(hours=5))
    add_missed_call(pbx, NOON - timedelta(hours=4), "79990000002")
    real = pipeline.create_from_report
    monkeypatch.setattr(
        pipeline,
        "create_from_report",
        lambda t, report, **kw: 1 / 0 if report.session_id == bad.session_id else real(t, report, **kw),
    )
    report, _text = command()
    assert (report["waiting"], report["unexplained"], sums_to_uis_calls(report)) == (1, 1, True)
    monkeypatch.undo()
    assert command()[0]["unexplained"] == 0


@pytest.mark.usefixtures("_noon")
def test_unreadable_row_of_the_report_is_unexplained(command, pbx, tenant, monkeypatch):
    from tests.fakes import uis_reports

    add_missed_call(pbx, NOON - timedelta(hours=5))
    bad = add_missed_call(pbx, NOON - timedelta(hours=4))
    real = uis_reports.call_row
    monkeypatch.setattr(
        uis_reports,
        "call_row",
        lambda session, now: real(session, now) | ({"start_time": "?"} if session is bad else {}),
    )
    report, _text = command()
    assert (report["uis_calls"], report["unexplained"], sums_to_uis_calls(report)) == (2, 1, True)
    assert DailyReconciliation.objects.get(day=NOON.date()).unexplained == 1


@pytest.mark.usefixtures("_noon")
def test_dry_run_counts_and_writes_nothing(command, pbx, uis_world, run_queue, tenant):
    add_missed_call(pbx, NOON - timedelta(hours=5))
    add_missed_call(pbx, NOON - timedelta(hours=6), "anonymous")
    before = command(dry=True)
    assert (Call.objects.count(), DailyReconciliation.objects.count(), run_queue()) == (0, 0, 0)
    report, text = before
    assert (report["uis_calls"], report["waiting"], report["skipped"], report["recovered"], report["unexplained"]) == (
        2,
        1,
        1,
        2,
        0,
    )
    assert re.findall(r"\d+", text.splitlines()[0]) == ["2", "2"]
    assert CONTACT not in text
    assert "7999***0001" in text
    assert command()[0] == report


@pytest.mark.usefixtures("_noon")
def test_second_run_changes_nothing(command, pbx, crm, run_queue, tenant, stranger):
    for hour in range(2, 7):
        add_missed_call(pbx, NOON - timedelta(hours=hour), f"7999000010{hour}")
    command()
    run_queue()
    first = command()[0]
    log_entries, uploads = CallLogEntry.objects.count(), len(crm.uploads)
    run_queue()
    assert command()[0] == first
    assert (CallLogEntry.objects.count(), len(crm.uploads), len(crm.calls)) == (log_entries, uploads, 5)


@pytest.mark.usefixtures("_noon")
def test_calls_of_the_last_minutes_are_not_counted_yet(command, pbx, tenant):
    add_missed_call(pbx, NOON - timedelta(minutes=4))
    assert command()[0]["uis_calls"] == 0


@pytest.mark.usefixtures("_noon")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"slug": "unknown"}, 2),
        ({"since": "invalid"}, 2),
        ({"since": "2026-03-11", "till": "2026-03-10"}, 2),
    ],
)
def test_invalid_arguments_exit_with_code_2(command, tenant, arguments, code):
    with pytest.raises(CommandError) as raised:
        command(**arguments)
    assert raised.value.returncode == code


@pytest.mark.usefixtures("_noon")
@pytest.mark.parametrize("kind", ["503", "timeout"])
def test_outage_during_the_report_keeps_the_calls_found_so_far(command, pbx, uis_world, tenant, monkeypatch, kind):
    from telephony.uis import data_api

    monkeypatch.setattr(data_api, "PAGE", 2)
    monkeypatch.setattr(compare, "CHUNK", 2)
    for minute in range(5):
        add_missed_call(pbx, NOON - timedelta(hours=5, minutes=minute), f"7999000010{minute}")
    real = compare._compare

    def compare_then_break(*args, **kwargs):
        real(*args, **kwargs)
        uis_world.break_down(kind)

    monkeypatch.setattr(compare, "_compare", compare_then_break)
    with pytest.raises(CommandError) as raised:
        command()
    assert (raised.value.returncode, Call.objects.count()) == (1, 2)
    monkeypatch.setattr(compare, "_compare", real)
    uis_world.repair()
    report, _text = command()
    assert (report["uis_calls"], report["unexplained"], Call.objects.count()) == (5, 0, 5)


@pytest.mark.usefixtures("tenant")
def test_report_continues_after_waiting_for_points(pbx, command, uis_world, monkeypatch):
    from telephony.uis import data_api

    monkeypatch.setattr(data_api, "PAGE", 2)
    with time_machine.travel(NOON, tick=False) as clock:
        Tenant.objects.update(activated_at=NOON - timedelta(days=9))
        for minute in range(12):
            add_missed_call(pbx, NOON - timedelta(hours=5, minutes=minute), f"799900001{minute:02d}")
        pbx.minute_limit = 10
        waits = []

        def sleep(seconds):
            waits.append(seconds)
            clock.shift(seconds)

        monkeypatch.setattr(reconcile_calls.time, "sleep", sleep)
        uis_world.requests.clear()
        report, text = command()
    assert (report["uis_calls"], report["unexplained"]) == (12, 0)
    assert waits
    assert all(f" {seconds:.0f} " in text for seconds in waits)
    firsts = [request.params["date_from"] for request in uis_world.requests]
    assert (len(firsts), firsts) == (11, sorted(set(firsts))), "nothing is asked for twice"
    assert all(request.mnemonic is None for request in uis_world.requests)


@pytest.mark.usefixtures("_noon")
def test_used_up_daily_points_end_the_command_with_an_error(command, pbx, tenant, monkeypatch):
    monkeypatch.setattr(reconcile_calls.time, "sleep", lambda _seconds: None)
    pbx.day_limit = 0
    with pytest.raises(CommandError) as raised:
        command()
    assert raised.value.returncode == 1


# --- daily reconciliation


@pytest.mark.parametrize(
    ("zone", "uis_zone"),
    [
        ("Europe/Moscow", "Europe/Moscow"),
        ("Asia/Vladivostok", "Europe/Moscow"),
        ("America/New_York", "Europe/Moscow"),
        ("Europe/Moscow", "Pacific/Auckland"),
    ],
)
@pytest.mark.parametrize("day", [datetime(2026, 2, 28), datetime(2026, 3, 8), datetime(2026, 12, 31)])  # noqa: DTZ001
def test_day_is_the_tenants_local_day(pbx, tenant, run_queue, zone, uis_zone, day):
    pbx.timezone = uis_zone
    midnight = day.replace(tzinfo=ZoneInfo(zone))
    following = (day + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone))
    Tenant.objects.update(time_zone=zone, activated_at=midnight - timedelta(days=9), upload_window_days=400)
    type(tenant.uis).objects.update(time_zone=uis_zone)
    moments = [midnight - timedelta(seconds=1), midnight, following - timedelta(seconds=1), following]
    with time_machine.travel(following.astimezone(UTC) + timedelta(hours=4), tick=False):
        for number, moment in enumerate(moments):
            add_missed_call(pbx, moment, f"7999000010{number}")
        run_nightly_task(run_queue)
        run_nightly_task(run_queue)
    closed = DailyReconciliation.objects.filter(closed_at__isnull=False)
    assert list(closed.values_list("day", "uis_calls", "unexplained")) == [(day.date(), 2, 0)]


def test_each_day_is_compared_once_the_following_night(pbx, uis_world, crm, run_queue, tenant, stranger):
    with time_machine.travel(NOON, tick=False) as clock:
        Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON - timedelta(days=9))
        add_missed_call(pbx, NOON - timedelta(hours=5))
        clock.move_to(NOON + timedelta(hours=12, minutes=30))
        run_nightly_task(run_queue)
        assert DailyReconciliation.objects.filter(closed_at__isnull=False).count() == 0
        clock.move_to(NOON + timedelta(hours=15, minutes=30))
        run_nightly_task(run_queue)
        uis_world.requests.clear()
        run_nightly_task(run_queue)
        assert [request for request in uis_world.requests if request.token == pbx.token] == []
    day = DailyReconciliation.objects.get(tenant=tenant, day=NOON.date())
    assert (day.uis_calls, day.recovered, day.unexplained, len(crm.calls)) == (1, 1, 0, 1)


def test_days_of_failed_nights_are_compared_later(pbx, uis_world, crm, run_queue, tenant):
    with time_machine.travel(NOON, tick=False) as clock:
        Tenant.objects.update(activated_at=NOON - timedelta(days=9))
        run_nightly_task(run_queue)
        for day in range(3):
            add_missed_call(pbx, NOON + timedelta(days=day, hours=1), f"7999000010{day}")
        uis_world.break_down("503")
        clock.move_to(NOON + timedelta(days=3))
        run_nightly_task(run_queue)
        uis_world.repair()
        clock.move_to(NOON + timedelta(days=3, hours=1))
        run_nightly_task(run_queue)
        closed = DailyReconciliation.objects.filter(closed_at__isnull=False, uis_calls=1)
        assert (closed.count(), len(crm.calls)) == (3, 3)


def test_call_reported_late_is_found_the_next_night(pbx, crm, run_queue, tenant):
    with time_machine.travel(NOON, tick=False) as clock:
        Tenant.objects.update(activated_at=NOON - timedelta(days=9))
        late = add_missed_call(pbx, NOON - timedelta(hours=5))
        late.visible_at = NOON + timedelta(hours=20)
        clock.move_to(NOON + timedelta(hours=16))
        run_nightly_task(run_queue)
        assert DailyReconciliation.objects.get(day=NOON.date()).uis_calls == 0
        clock.move_to(NOON + timedelta(hours=40))
        run_nightly_task(run_queue)
        day = DailyReconciliation.objects.get(day=NOON.date())
    assert (day.uis_calls, day.recovered, len(crm.calls)) == (1, 1, 1)


def test_calls_before_activation_are_not_imported(pbx, crm, run_queue, tenant):
    with time_machine.travel(NOON, tick=False) as clock:
        Tenant.objects.update(activated_at=NOON)
        add_missed_call(pbx, NOON - timedelta(hours=5))
        clock.move_to(NOON + timedelta(hours=16))
        run_nightly_task(run_queue)
        assert (crm.calls, DailyReconciliation.objects.get(day=NOON.date()).uis_calls) == ([], 0)


@pytest.mark.usefixtures("_noon")
def test_day_with_waiting_calls_is_counted_again(pbx, crm, crm_world, run_queue, tenant):
    crm_world.break_down("503")
    add_missed_call(pbx, NOON - timedelta(hours=1))
    tasks.reconcile_all()
    run_queue()
    day = DailyReconciliation.objects.get()
    assert (day.day, day.waiting, day.uploaded, day.delivered_share) == (NOON.date(), 1, 0, 0.0)
    crm_world.repair()
    with time_machine.travel(NOON + timedelta(days=2), tick=False):
        task_queue.sweep()
        tasks.reconcile_all()
        run_queue()
    day.refresh_from_db()
    assert (day.waiting, day.uploaded, day.delivered_share) == (0, 1, 1.0)


@pytest.mark.usefixtures("_noon")
def test_comparing_part_of_a_day_keeps_the_unexplained_calls_of_the_rest(command, pbx, tenant, monkeypatch):
    from telephony.calls import pipeline

    add_missed_call(pbx, NOON - timedelta(hours=8))
    monkeypatch.setattr(pipeline, "create_from_report", lambda *_args, **_kwargs: 1 / 0)
    command()
    monkeypatch.undo()
    tasks.reconcile_calls(tenant.pk)
    assert DailyReconciliation.objects.get().unexplained == 1
    command(since="2026-03-10T02:00", till="2026-03-10T06:00")
    day = DailyReconciliation.objects.get()
    assert (day.uis_calls, day.waiting, day.unexplained) == (1, 1, 0), "it could be recorded now"


def test_admin_list_of_days_has_a_limited_query_count(admin_client, tenant, django_assert_max_num_queries):
    now = timezone.now()
    for number in range(20):
        values = {"uis_calls": 10, "uploaded": 7, "skipped": 2, "unexplained": int(number == 0)}
        DailyReconciliation.objects.create(
            tenant=tenant, day=(now - timedelta(days=number)).date(), counted_at=now, closed_at=now, **values
        )
    url = reverse("admin:telephony_dailyreconciliation_changelist")
    with django_assert_max_num_queries(9):
        html = admin_client.get(url).content.decode()
    assert html.count("87.5 %") == 20
    assert html.count("admin-failed") == 1
    assert admin_client.get(f"{url}?tenant__id__exact={tenant.pk}").status_code == 200


# --- the CRM's list of calls


@pytest.fixture
def verify_uploads(run_queue):
    """Verify, and once more some minutes later if something is missing."""

    def run(times=2):
        moment = timezone.now()
        for minutes in range(0, 6 * times, 6):
            with time_machine.travel(moment + timedelta(minutes=minutes)):
                if minutes:
                    crm_tasks.enqueue_due_work()
                else:
                    crm_tasks.verify_uploads_all()
                run_queue()

    return run


@pytest.fixture
def uploaded(pbx, notify, tenant):
    """Three calls that the CRM accepted an hour ago."""
    with time_machine.travel(timezone.now() - timedelta(hours=1)):
        for number in range(3):
            at = timezone.now() - timedelta(minutes=20 - 5 * number)
            notify(add_missed_call(pbx, at, f"7999000010{number}").notification("call_end"))


@pytest.mark.slow
def test_call_missing_in_the_crm_is_uploaded_again(crm, verify_uploads, uploaded, stranger):
    lost = crm.calls.pop(1)
    verify_uploads()
    assert sorted(call["externalId"] for call in crm.calls).count(lost["externalId"]) == 1
    call = Call.objects.get(session_id=lost["externalId"].removeprefix("uis-"))
    assert call.state == Call.State.UPLOADED
    assert list(call.history.values_list("step", flat=True)) == ["RECEIVED", "EVALUATE", "UPLOAD", "REUPLOAD", "UPLOAD"]
    assert UploadVerification.objects.get().missing == 1


def test_call_that_one_answer_lacks_stays_uploaded(crm, verify_uploads, uploaded, monkeypatch, stranger):
    """One of three, or all: the list may be empty or shortened once."""
    sent, real = len(crm.uploads), retailcrm_calls._rows
    for left in ([], [0, 2]):
        with monkeypatch.context() as patch:
            patch.setattr(retailcrm_calls, "_rows", lambda account, left=left: [real(account)[place] for place in left])
            verify_uploads(times=1)
        assert UploadVerification.objects.get().missing == 3 - len(left)
        assert set(Call.objects.values_list("state", flat=True)) == {"UPLOADED"}
        verify_uploads()
    assert (len(crm.uploads), UploadVerification.objects.get().missing) == (sent, 0)


def test_nothing_is_uploaded_if_no_call_is_missing(crm, verify_uploads, uploaded):
    sent = len(crm.uploads)
    verify_uploads()
    assert (len(crm.uploads), UploadVerification.objects.get().missing) == (sent, 0)


@pytest.mark.slow
def test_call_the_crm_never_lists_is_uploaded_again_only_once(crm, verify_uploads, uploaded, monkeypatch):
    monkeypatch.setattr(retailcrm_calls, "_rows", lambda _account: [])
    sent = len(crm.uploads)
    for hour in range(1, 4):
        with time_machine.travel(timezone.now() + timedelta(hours=hour)):
            verify_uploads()
    assert (len(crm.uploads) - sent, UploadVerification.objects.get().missing) == (1, 3)


def test_unsupported_call_list_is_not_requested_for_a_week(crm, crm_world, verify_uploads, uploaded, tenant):
    crm.scopes.discard("telephony_read")
    verify_uploads(times=1)
    assert UploadVerification.objects.get().is_supported
    verify_uploads()
    crm_world.requests.clear()
    verify_uploads()
    assert crm_world.requests == []
    tenant.crm.refresh_from_db()
    assert (UploadVerification.objects.get().is_supported, tenant.crm.denied_at) == (False, None)
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        Call.objects.update(started_at=timezone.now() - timedelta(hours=1))
        verify_uploads()
    assert [request.path.endswith("/telephony/calls") for request in crm_world.requests] == [True]


def test_call_older_than_the_crms_list_is_not_missing(crm, verify_uploads, uploaded):
    crm.calls.pop(0)
    sent = len(crm.uploads)
    verify_uploads()
    assert (UploadVerification.objects.get().missing, len(crm.uploads)) == (0, sent)


@pytest.mark.usefixtures("_noon")
def test_recovered_call_has_the_owner_by_the_rules(command, pbx, crm, run_queue, tenant):
    publish_rules_for_all(missed_owner="LAST_RUNG")
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(hours=6), rings=[IVAN, PETR])
    command()
    run_queue()
    assert crm.calls[0]["_manager"] == 28


@pytest.mark.usefixtures("_noon")
def test_call_on_the_border_of_two_periods_belongs_to_the_second(command, pbx, tenant):
    add_missed_call(pbx, NOON - timedelta(hours=5))
    assert command(since="2026-03-10T06:00", till="2026-03-10T07:00")[0]["uis_calls"] == 0
    assert command(since="2026-03-10T07:00+03:00", till="2026-03-10T05:00+00:00")[0]["uis_calls"] == 1
