"""The alert rules: problems found in a snapshot; no database."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from connector_project.core.business_hours import BusinessHours
from connector_project.operations.alerts import rules
from connector_project.operations.alerts.no_events import HOURS_OF_WEEK, WeeklyProfile
from connector_project.operations.alerts.snapshot import (
    CallTotals,
    Denied,
    Failed,
    Snapshot,
    TenantSnapshot,
    Unexplained,
    Waiting,
)

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 23, 12, tzinfo=MOSCOW)  # a Monday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BUSY = WeeklyProfile([40] * HOURS_OF_WEEK, 4)
QUIET = WeeklyProfile([1 if hour % 24 == 12 else 0 for hour in range(HOURS_OF_WEEK)], 4)
SHORT = 10 * MINUTE


def tenant(pk=1, *, last_event_ago=MINUTE, profile=None, activated_ago=30 * DAY, **more):
    work = more.pop("work", BusinessHours(time(9), time(18), on_weekends=False))
    return TenantSnapshot(
        pk=pk,
        zone=MOSCOW,
        business_hours=work,
        activated_at=NOW - activated_ago,
        last_event_at=None if last_event_ago is None else NOW - last_event_ago,
        profile=profile,
        **more,
    )


def found(*tenants, now=NOW, **values):
    """Return the keys of all problems."""
    tenants = tenants or (tenant(),)
    return {
        problem.key for problem in rules.find_problems(Snapshot(now=now, tenants=tenants, last_event_at=NOW, **values))
    }


def context_of(*tenants, **values):
    """Return the context of the only problem."""
    (problem,) = rules.find_problems(Snapshot(now=NOW, tenants=tenants or (tenant(),), last_event_at=NOW, **values))
    return problem.context


NO_EVENTS_KEY = (1, "NO_EVENTS", "NO_EVENTS")


def test_healthy_snapshot_has_no_problems():
    assert found() == set()
    assert rules.find_problems(Snapshot(now=NOW)) == []


def test_no_events_depends_on_the_traffic_profile():
    assert found(tenant(last_event_ago=2 * HOUR, profile=BUSY)) == {NO_EVENTS_KEY}
    assert found(tenant(last_event_ago=DAY, profile=QUIET)) == set()
    assert context_of(tenant(last_event_ago=2 * HOUR, profile=BUSY)) == {
        "since": (NOW - 2 * HOUR).isoformat(),
        "by": "habit",
        "usual": 20,
    }


def test_no_events_takes_at_least_fifteen_minutes():
    very_busy = WeeklyProfile([4000] * HOURS_OF_WEEK, 4)
    assert found(tenant(last_event_ago=14 * MINUTE, profile=very_busy)) == set()
    assert found(tenant(last_event_ago=15 * MINUTE, profile=very_busy)) == {NO_EVENTS_KEY}


def test_no_events_without_a_profile_uses_business_hours():
    assert found(tenant(last_event_ago=HOUR)) == {NO_EVENTS_KEY}
    assert found(tenant(last_event_ago=59 * MINUTE)) == set()
    assert (
        found(tenant(last_event_ago=3 * HOUR, work=BusinessHours(time(11, 30), time(18), on_weekends=False))) == set()
    )
    assert context_of(tenant(last_event_ago=None)) == {"since": None, "by": "hours"}


def test_no_events_before_the_first_event_ignores_the_profile():
    assert found(tenant(last_event_ago=None, profile=QUIET)) == {NO_EVENTS_KEY}
    assert found(tenant(last_event_ago=None, activated_ago=59 * MINUTE)) == set()


def test_no_events_ignores_the_time_before_activation():
    assert found(tenant(last_event_ago=90 * DAY, activated_ago=10 * MINUTE, profile=BUSY)) == set()


def test_unreported_calls_prove_no_events():
    night = NOW.replace(hour=3)
    quiet = TenantSnapshot(
        pk=1,
        zone=MOSCOW,
        business_hours=BusinessHours(time(9), time(18), on_weekends=False),
        activated_at=NOW - 30 * DAY,
        last_event_at=night - HOUR,
        unreported_calls=3,
    )
    assert found(quiet, now=night) == {NO_EVENTS_KEY}
    assert context_of(tenant(last_event_ago=HOUR, unreported_calls=5)) == {
        "since": (NOW - HOUR).isoformat(),
        "by": "list",
        "calls": 5,
    }
    assert found(tenant(last_event_ago=50 * MINUTE, unreported_calls=2)) == set()


def all_quiet(*profiles, quiet_for=SHORT):
    tenants = [tenant(pk, last_event_ago=quiet_for, profile=profile) for pk, profile in enumerate(profiles, start=1)]
    problems = rules.find_problems(Snapshot(now=NOW, tenants=tenants, last_event_at=NOW - quiet_for))
    return {problem.key for problem in problems if problem.tenant_id is None}


def test_no_events_of_all_tenants_is_found_earlier():
    assert all_quiet(*[BUSY] * 20) == {(None, "NO_EVENTS", "NO_EVENTS")}
    assert all_quiet(*[BUSY] * 20, quiet_for=4 * MINUTE) == set()
    assert all_quiet(*[BUSY] * 2) == set()
    assert all_quiet(*[QUIET] * 20) == set()


def test_no_events_of_the_busiest_tenant_is_not_system_wide():
    enormous = WeeklyProfile([4000] * HOURS_OF_WEEK, 4)
    few = WeeklyProfile([1] * HOURS_OF_WEEK, 4)
    assert all_quiet(enormous, few, few, few, few) == set()
    assert all_quiet(enormous, enormous, few, few) == {(None, "NO_EVENTS", "NO_EVENTS")}


def test_each_denial_has_its_own_key():
    denials = [Denied("uis", "ip_not_whitelisted", NOW), Denied("crm", "key", NOW)]
    assert found(tenant(denied=denials)) == {
        (1, "ACCESS_DENIED", "uis:ip_not_whitelisted"),
        (1, "ACCESS_DENIED", "crm:key"),
    }


def test_backlog_thresholds():
    assert found(overdue={1: NOW - 15 * MINUTE}) == {(1, "BACKLOG", "OVERDUE")}
    assert found(overdue={1: NOW - 14 * MINUTE}) == set()
    waiting = [Waiting(1, "CRM_UNAVAILABLE", 7, NOW - 30 * MINUTE), Waiting(1, "UIS_UNAVAILABLE", 7, NOW - 29 * MINUTE)]
    assert found(waiting=waiting) == {(1, "BACKLOG", "CRM_UNAVAILABLE")}
    assert context_of(waiting=waiting)["calls"] == 7


@pytest.mark.parametrize(
    ("failed", "call_totals", "is_problem"),
    [
        ((5, 5), (50, 500), True),
        ((4, 4), (5, 500), False),
        ((5, 5), (51, 500), False),
        ((0, 3), (0, 15), True),
        ((0, 2), (0, 2), False),
        ((0, 3), (0, 16), False),
    ],
)
def test_failure_rate_needs_a_count_and_a_share(failed, call_totals, is_problem):
    totals = {1: CallTotals(*call_totals)}
    assert found(failed=[Failed(1, "CRM_REFUSED", *failed)], call_totals=totals) == (
        {(1, "FAILURE_RATE", "CRM_REFUSED")} if is_problem else set()
    )


def test_failure_rate_context_has_the_counts():
    values = {"failed": [Failed(1, "INTERNAL_ERROR", 5, 9)], "call_totals": {1: CallTotals(20, 90)}}
    assert context_of(**values) == {"failed": 5, "of": 20, "hours": 2}


def test_unexplained_calls_of_several_days_are_one_problem():
    days = [Unexplained(1, 4, date(2026, 11, 20), date(2026, 11, 22))]
    assert found(unexplained=days) == {(1, "UNEXPLAINED", "NOT_IN_REPORT")}
    assert context_of(unexplained=days) == {"calls": 4, "first": "2026-11-20", "last": "2026-11-22"}


def test_queue_without_a_worker_is_system_wide():
    assert found(queues_without_workers={"fast": NOW - HOUR}) == {(None, "WORKER", "NO_HEARTBEAT:fast")}


def test_tenants_that_are_not_live_have_no_problems():
    values = {
        "overdue": {2: NOW - HOUR},
        "waiting": [Waiting(2, "CRM_UNAVAILABLE", 7, NOW - HOUR)],
        "unexplained": [Unexplained(2, 4, date(2026, 11, 20), date(2026, 11, 22))],
        "failed": [Failed(2, "INTERNAL_ERROR", 5, 9)],
        "call_totals": {2: CallTotals(20, 90)},
    }
    assert found(**values) == set()


def denied(*pks):
    denial = Denied("uis", "ip_not_whitelisted", NOW)
    return [tenant(pk, denied=[denial] if pk in pks else []) for pk in range(1, 7)]


def test_problem_of_half_of_the_tenants_is_system_wide():
    key = ("ACCESS_DENIED", "uis:ip_not_whitelisted")
    assert found(*denied(1, 2)) == {(1, *key), (2, *key)}
    assert found(*denied(1, 2, 3)) == {(1, *key), (2, *key), (3, *key), (None, *key)}
    system_wide = rules.find_problems(Snapshot(now=NOW, tenants=denied(1, 2, 3), last_event_at=NOW))[0]
    assert (system_wide.context["clients"], system_wide.context["live"]) == (3, 6)


def test_overdue_work_of_three_tenants_is_system_wide():
    overdue = {pk: NOW - pk * HOUR for pk in (1, 2, 3)}
    tenants = [tenant(pk) for pk in range(1, 50)]
    system_wide = rules.find_problems(Snapshot(now=NOW, tenants=tenants, last_event_at=NOW, overdue=overdue))[0]
    assert system_wide.key == (None, "BACKLOG", "OVERDUE")
    assert system_wide.context["since"] == (NOW - 3 * HOUR).isoformat()


def test_system_wide_counts_are_summed():
    waiting = [Waiting(pk, "CRM_UNAVAILABLE", pk, NOW.astimezone(UTC) - HOUR) for pk in (1, 2, 3)]
    system_wide = rules.find_problems(
        Snapshot(now=NOW, tenants=[tenant(pk) for pk in (1, 2, 3)], last_event_at=NOW, waiting=waiting)
    )[0]
    assert system_wide.context["calls"] == 6


def test_problem_explained_by_another_or_part_of_it():
    overdue, no_worker = (1, "BACKLOG", "OVERDUE"), (None, "WORKER", "NO_HEARTBEAT:default")
    assert rules.is_explained_by([overdue, no_worker], overdue)
    assert not rules.is_explained_by([overdue, no_worker], (1, "BACKLOG", "CRM_UNAVAILABLE"))
    denied_key = (1, "ACCESS_DENIED", "uis:account_inactive")
    assert rules.is_explained_by([denied_key], NO_EVENTS_KEY)
    assert not rules.is_explained_by(
        [(1, "ACCESS_DENIED", "crm:key"), (2, "ACCESS_DENIED", "uis:account_inactive")], NO_EVENTS_KEY
    )
    assert not rules.is_explained_by([overdue, no_worker], no_worker)
    assert rules.is_part_of([(None, "NO_EVENTS", "NO_EVENTS")], NO_EVENTS_KEY)
    assert not rules.is_part_of([(None, "NO_EVENTS", "NO_EVENTS")], (None, "NO_EVENTS", "NO_EVENTS"))
