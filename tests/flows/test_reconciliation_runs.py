"""Scheduled comparisons go on where they came to, part by part; what could not be compared is compared again."""

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import OperationalError
from django.utils import timezone

from connector_project.core.jobs import LEASE
from telephony import tasks
from telephony.calls import pipeline
from telephony.models import Call, DailyReconciliation, ReportCursor
from telephony.reconciliation import compare, runs, stats
from tenants.models import Tenant
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes import uis_data

pytestmark = pytest.mark.sampled(2)

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=MOSCOW)
TEN_MINUTES = timedelta(minutes=10)


class KilledError(BaseException):
    """Stands for a killed worker: no code catches it or cleans up."""


@pytest.fixture
def active(clock, tenant):
    """A client who was activated days ago."""
    Tenant.objects.update(activated_at=NOON - timedelta(days=9))
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def reconcile(clock, run_queue):
    """Let ten minutes pass, then run the task that is scheduled then; return how many tasks ran."""

    def run():
        clock.shift(TEN_MINUTES)
        tasks.reconcile_all()
        return run_queue()

    return run


@pytest.fixture
def close_days(clock, run_queue):
    """Let an hour pass, then run the task that is scheduled then."""

    def run():
        clock.shift(timedelta(hours=1))
        tasks.close_all()
        return run_queue()

    return run


@pytest.fixture
def small_parts(monkeypatch):
    from telephony.uis import data_api

    monkeypatch.setattr(data_api, "PAGE", 3)
    monkeypatch.setattr(compare, "PART_CALLS", 2)


@pytest.fixture
def requests_of(uis_world):
    def found(token="uis-token"):
        return [one for one in uis_world.requests if (one.method, one.token) == ("get.calls_report", token)]

    return found


def add_missed_calls(pbx, moments):
    return [
        pbx.call(contact=f"7999001{number:04d}", number=NUMBER, started_at=at, rings=[IVAN])
        for number, at in enumerate(moments)
    ]


def hourly(since, count):
    return [since + timedelta(hours=number) for number in range(count)]


def unexplained():
    return sum(DailyReconciliation.objects.values_list("unexplained", flat=True))


# --- where a run begins


@pytest.mark.parametrize(
    ("why", "hours"), [("no workers", 6), ("no workers", 48), ("paused", 6), ("access denied", 6), ("UIS is away", 6)]
)
def test_calls_of_any_outage_are_found_by_the_first_run_after_it(
    pbx, uis_world, crm, reconcile, clock, active, stranger, why, hours
):
    reconcile()
    missing = add_missed_calls(pbx, hourly(timezone.now() + TEN_MINUTES, hours))
    if why == "paused":
        active.pause()
    elif why == "access denied":
        active.uis.suspend("ip_not_whitelisted", "no", now=timezone.now())
    elif why == "UIS is away":
        uis_world.break_down("503", token=pbx.token)
    for _hour in range(hours):
        clock.shift(timedelta(hours=1) - TEN_MINUTES)
        if why != "no workers":
            reconcile()
        else:
            clock.shift(TEN_MINUTES)
    assert Call.objects.count() == 0
    uis_world.repair()
    active.resume()
    active.uis.refresh_from_db()
    active.uis.restore()
    reconcile()
    assert Call.objects.filter(tenant=active).count() == len(missing)


def test_run_without_an_outage_asks_once(pbx, reconcile, requests_of, active):
    reconcile()
    add_missed_calls(pbx, [NOON])
    before = len(requests_of())
    reconcile()
    assert len(requests_of()) == before + 1


def test_days_closed_meanwhile_are_not_compared_again(pbx, reconcile, close_days, clock, requests_of, active):
    reconcile()
    clock.shift(timedelta(days=2))
    close_days()
    before = len(requests_of())
    reconcile()
    sent = [request.params["date_from"] for request in requests_of()[before:]]
    assert sent == ["2026-03-12 00:00:00"]


def test_call_that_lasted_through_a_run_is_found_by_the_next(pbx, reconcile, active):
    began_at = NOON - timedelta(hours=1)
    call = add_missed_calls(pbx, [began_at])[0]
    call.visible_at = NOON + timedelta(minutes=15)
    reconcile()
    assert Call.objects.count() == 0
    reconcile()
    assert Call.objects.get().session_id == call.session_id


def test_no_call_outside_the_upload_window_is_compared(pbx, reconcile, clock, requests_of, active):
    reconcile()
    clock.shift(timedelta(days=60))
    before = len(requests_of())
    reconcile()
    assert requests_of()[before].params["date_from"] == f"{timezone.now() - timedelta(days=30):%Y-%m-%d} 12:20:00"


# --- parts


def test_outage_of_uis_between_two_parts_loses_no_part(pbx, uis_world, reconcile, requests_of, active, small_parts):
    reconcile()
    add_missed_calls(pbx, hourly(NOON - timedelta(hours=2), 9))
    with time_machine.travel(NOON + timedelta(hours=8), tick=False):
        tasks.reconcile_all()
        step = iter(range(100))
        task_queue.drain(pick=lambda task: task.endswith("reconcile_calls") and next(step) < 4)
        found = Call.objects.count()
        assert 0 < found < 9
        came_to = ReportCursor.objects.get(tenant=active).compared_until
        uis_world.break_down("503")
        task_queue.drain()
        uis_world.repair()
    before = len(requests_of())
    with time_machine.travel(NOON + timedelta(hours=8, minutes=10), tick=False):
        tasks.reconcile_all()
        task_queue.drain()
        assert requests_of()[before].params["date_from"] == f"{came_to.astimezone(MOSCOW):%Y-%m-%d %H:%M:%S}"
        assert Call.objects.count() == 9


def test_calls_of_an_interrupted_run_are_found_though_it_ended_late(pbx, uis_world, reconcile, clock, active):
    """What UIS showed only after the part with its time was compared."""
    late = add_missed_calls(pbx, [NOON - timedelta(hours=1)])[0]
    late.visible_at = NOON + timedelta(hours=1)
    ReportCursor.objects.create(
        tenant=active,
        kind="RECENT",
        run_since=NOON - timedelta(hours=3),
        run_till=NOON,
        compared_until=NOON - timedelta(minutes=1),
        next_attempt_at=NOON,
    )
    clock.shift(timedelta(hours=10))
    reconcile()
    assert [call.session_id for call in Call.objects.all()] == [late.session_id]


def test_run_of_before_the_client_came_back_is_not_continued(pbx, reconcile, clock, requests_of, active):
    """What came while they were away, another connector may have uploaded."""
    add_missed_calls(pbx, hourly(NOON - timedelta(days=5), 3))
    began_at = NOON - timedelta(days=6)
    ReportCursor.objects.create(
        tenant=active, kind="RECENT", run_since=began_at, run_till=NOON, compared_until=began_at, next_attempt_at=NOON
    )
    Tenant.objects.update(activated_at=NOON)
    reconcile()
    assert [request.params["date_from"] for request in requests_of()] == ["2026-03-10 09:10:00"]
    assert Call.objects.count() == 0


def test_few_requests_an_hour_are_enough_to_close_many_days(pbx, close_days, clock, active, small_parts, crm):
    """The client comes back after weeks, and UIS gives little at a time."""
    Tenant.objects.update(activated_at=NOON - timedelta(days=20))
    DailyReconciliation.objects.create(
        tenant=active, day=(NOON - timedelta(days=15)).date(), counted_at=NOON, closed_at=NOON
    )
    add_missed_calls(pbx, hourly(NOON - timedelta(days=15), 16))
    pbx.minute_limit = 8  # less the reserve for live calls
    for _hour in range(6):
        close_days()
    closed = DailyReconciliation.objects.filter(tenant=active, closed_at__isnull=False, day__lt=NOON.date())
    assert closed.count() == 15
    assert sum(closed.values_list("uis_calls", flat=True)) == 16
    assert Call.objects.count() == 16


def test_killed_worker_is_followed_after_its_lease(pbx, reconcile, clock, requests_of, active, monkeypatch):
    add_missed_calls(pbx, [NOON - timedelta(hours=1)])

    def kill(*_args, **_more):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(ReportCursor.objects.get_queryset().__class__, "release_all", lambda *_args, **_more: None)
        patch.setattr(compare, "compare_period", kill)
        with pytest.raises(KilledError):
            tasks.reconcile_calls(active.pk)
    clock.shift(timedelta(minutes=2))
    tasks.reconcile_calls(active.pk)
    assert requests_of() == [], "another worker may be at it"
    clock.shift(LEASE)
    tasks.reconcile_calls(active.pk)
    assert Call.objects.count() == 1


# --- what is not complete


@pytest.fixture
def lost_row(monkeypatch):
    """Let UIS count one call more than it sends, until the returned function is called."""
    real, is_lost = uis_data.select, [True]

    def select(rows, columns, params, **more):
        page, total = real(rows, columns, params, **more)
        return page, total + (is_lost[0] and "date_from" in params)

    monkeypatch.setattr(uis_data, "select", select)
    return lambda: is_lost.__setitem__(0, False)


def cursor(kind="RECENT"):
    return ReportCursor.objects.get(kind=kind)


def test_run_that_is_not_sent_whole_does_not_count(pbx, reconcile, active, lost_row):
    add_missed_calls(pbx, [NOON - timedelta(hours=1)])
    reconcile()
    assert (Call.objects.count(), cursor().completed_until) == (1, None), "what came is recorded"
    lost_row()
    reconcile()
    assert cursor().completed_until is not None


def test_run_that_is_never_sent_whole_goes_on_in_the_end(pbx, reconcile, active, lost_row):
    for _run in range(runs.INCOMPLETE_RUNS - 1):
        reconcile()
        assert cursor().completed_until is None
    reconcile()
    assert cursor().completed_until is not None


def test_day_that_is_not_sent_whole_is_closed_later(pbx, close_days, clock, active, lost_row):
    clock.shift(timedelta(hours=16))
    close_days()
    assert not DailyReconciliation.objects.filter(closed_at__isnull=False).exists()
    lost_row()
    close_days()
    assert DailyReconciliation.objects.filter(closed_at__isnull=False).exists()


def test_period_that_is_not_sent_whole_has_unexplained_calls_and_closes_no_day(pbx, active, lost_row):
    add_missed_calls(pbx, [NOON - timedelta(hours=30)])
    period = {"since": NOON - timedelta(days=2), "till": NOON - timedelta(hours=9)}
    first = compare.reconcile(active, now=NOON, **period)
    assert (first.stats.uis_calls, first.stats.waiting, first.stats.unexplained) == (2, 1, 1)
    assert not DailyReconciliation.objects.filter(closed_at__isnull=False).exists()
    lost_row()
    assert compare.reconcile(active, now=NOON, **period).stats.unexplained == 0
    assert DailyReconciliation.objects.filter(closed_at__isnull=False).exists()


@pytest.fixture
def break_create(monkeypatch):
    """Let the creation of some calls fail for the first `times` tries, of all calls together."""

    def run(*sessions, times=None):
        real, tries = pipeline.create_from_report, itertools.count(1)

        def create(tenant, reported, **more):
            if reported.session_id in sessions and (times is None or next(tries) <= times):
                raise OperationalError("deadlock detected")
            return real(tenant, reported, **more)

        monkeypatch.setattr(pipeline, "create_from_report", create)

    return run


def test_call_that_fails_once_is_created_by_the_same_run(pbx, reconcile, active, break_create):
    bad, _good = add_missed_calls(pbx, hourly(NOON - timedelta(hours=2), 2))
    break_create(bad.session_id, times=1)
    reconcile()
    assert (Call.objects.count(), unexplained()) == (2, 0)
    assert cursor().completed_until is not None


def test_call_that_fails_for_a_run_is_explained_by_the_next(pbx, reconcile, active, break_create):
    bad, _good = add_missed_calls(pbx, hourly(NOON - timedelta(hours=2), 2))
    break_create(bad.session_id, times=2)
    reconcile()
    assert (Call.objects.count(), unexplained(), cursor().completed_until) == (1, 1, None)
    day = DailyReconciliation.objects.get(tenant=active)
    assert (day.uis_calls, day.unexplained) == (2, 1)
    reconcile()
    day.refresh_from_db()
    assert (Call.objects.count(), day.uis_calls, day.unexplained) == (2, 2, 0)


def test_call_that_always_fails_stops_no_other(pbx, reconcile, clock, active, break_create):
    bad = add_missed_calls(pbx, [NOON - timedelta(hours=1)])[0]
    break_create(bad.session_id)
    for number in range(5):
        pbx.call(contact=CONTACT, number=NUMBER, started_at=timezone.now() - timedelta(minutes=6), rings=[IVAN])
        reconcile()
        assert (Call.objects.count(), unexplained()) == (number + 1, 1)
    clock.shift(timedelta(hours=6))
    reconcile()
    assert cursor().completed_until > timezone.now() - TEN_MINUTES
    assert unexplained() == 1


def test_missing_call_that_a_webhook_tells_of_is_explained(pbx, reconcile, notify, active, break_create, clock):
    bad = add_missed_calls(pbx, [NOON - timedelta(hours=2)])[0]
    break_create(bad.session_id)
    reconcile()
    assert unexplained() == 1
    clock.shift(timedelta(hours=5))
    notify(bad.notification("call_end"))
    reconcile()
    assert unexplained() == 0


# --- counts


def test_all_open_days_are_counted_in_turns(pbx, reconcile, active, monkeypatch):
    monkeypatch.setattr(stats, "OPEN_DAYS_COUNTED", 2)
    for number in range(1, 6):
        day = (NOON - timedelta(days=number)).date()
        DailyReconciliation.objects.create(
            tenant=active, day=day, waiting=1, uis_calls=1, counted_at=NOON - timedelta(days=number), closed_at=NOON
        )
        Call.objects.create(
            tenant=active,
            session_id=number,
            state="READY",
            report_date=day,
            failed_at=NOON,
            reason="CRM_REFUSED",
            started_at=NOON - timedelta(days=number),
            ended_at=NOON - timedelta(days=number),
            retry_window_started_at=NOON,
        )
    for _run in range(3):
        reconcile()
    assert set(DailyReconciliation.objects.filter(uis_calls=1).values_list("waiting", "failed")) == {(0, 1)}


def test_comparison_without_calls_takes_few_statements(active, clock, django_assert_num_queries):
    """Each client's runs every ten minutes: they are loaded, claimed and released, and nothing is counted."""
    tasks.reconcile_calls(active.pk)
    clock.shift(TEN_MINUTES)
    with django_assert_num_queries(4):
        tasks.reconcile_calls(active.pk)


def test_comparison_without_calls_counts_open_days_again(active, clock):
    """A call that waited then may be in the CRM now."""
    tasks.reconcile_calls(active.pk)
    day = DailyReconciliation.objects.earliest("day")
    DailyReconciliation.objects.filter(pk=day.pk).update(uis_calls=1, waiting=1)
    clock.shift(TEN_MINUTES)
    tasks.reconcile_calls(active.pk)
    day.refresh_from_db()
    assert (day.uis_calls, day.waiting) == (0, 0)
