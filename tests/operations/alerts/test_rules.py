"""What is wrong, seen from the facts; no database."""

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
SLEEPY = WeeklyProfile([1 if hour % 24 == 12 else 0 for hour in range(HOURS_OF_WEEK)], 4)
MANY_TIMES, SHORT = 2 * HOUR, 10 * MINUTE


def client(pk=1, *, heard=MINUTE, habit=None, activated=30 * DAY, **more):
    work = more.pop("work", BusinessHours(time(9), time(18), on_weekends=False))
    return TenantSnapshot(
        pk=pk,
        zone=MOSCOW,
        business_hours=work,
        activated_at=NOW - activated,
        last_event_at=None if heard is None else NOW - heard,
        profile=habit,
        **more,
    )


def found(*clients, now=NOW, **facts):
    """Return the keys of all that is wrong."""
    clients = clients or (client(),)
    return {
        trouble.key for trouble in rules.find_problems(Snapshot(now=now, tenants=clients, last_event_at=NOW, **facts))
    }


def about(*clients, **facts):
    """Return the figures of the one thing that is wrong."""
    (trouble,) = rules.find_problems(Snapshot(now=NOW, tenants=clients or (client(),), last_event_at=NOW, **facts))
    return trouble.context


SILENT = (1, "NO_EVENTS", "NO_EVENTS")


def test_nothing_is_wrong_where_nothing_is():
    assert found() == set()
    assert rules.find_problems(Snapshot(now=NOW)) == []


def test_learned_silence_depends_on_how_many_would_have_called():
    assert found(client(heard=2 * HOUR, habit=BUSY)) == {SILENT}
    assert found(client(heard=DAY, habit=SLEEPY)) == set()
    assert about(client(heard=2 * HOUR, habit=BUSY)) == {
        "since": (NOW - 2 * HOUR).isoformat(),
        "by": "profile",
        "usual": 20,
    }


def test_nothing_is_silent_within_a_quarter_of_an_hour():
    frantic = WeeklyProfile([4000] * HOURS_OF_WEEK, 4)
    assert found(client(heard=14 * MINUTE, habit=frantic)) == set()
    assert found(client(heard=15 * MINUTE, habit=frantic)) == {SILENT}


def test_without_a_habit_working_hours_decide():
    assert found(client(heard=HOUR)) == {SILENT}
    assert found(client(heard=59 * MINUTE)) == set()
    assert found(client(heard=3 * HOUR, work=BusinessHours(time(11, 30), time(18), on_weekends=False))) == set()
    assert about(client(heard=None)) == {"since": None, "by": "hours"}


def test_habit_says_nothing_of_a_client_who_was_never_heard():
    assert found(client(heard=None, habit=SLEEPY)) == {SILENT}
    assert found(client(heard=None, activated=59 * MINUTE)) == set()


def test_what_was_before_he_came_back_is_no_silence():
    assert found(client(heard=90 * DAY, activated=10 * MINUTE, habit=BUSY)) == set()


def test_calls_that_uis_lists_and_nobody_told_of_are_proof():
    night = NOW.replace(hour=3)
    quiet = TenantSnapshot(
        pk=1,
        zone=MOSCOW,
        business_hours=BusinessHours(time(9), time(18), on_weekends=False),
        activated_at=NOW - 30 * DAY,
        last_event_at=night - HOUR,
        unreported_calls=3,
    )
    assert found(quiet, now=night) == {SILENT}
    assert about(client(heard=HOUR, unreported_calls=5)) == {"since": (NOW - HOUR).isoformat(), "by": "report", "calls": 5}
    assert found(client(heard=50 * MINUTE, unreported_calls=2)) == set()


def all_quiet(*habits, quiet_for=SHORT):
    clients = [client(pk, heard=quiet_for, habit=habit) for pk, habit in enumerate(habits, start=1)]
    troubles = rules.find_problems(Snapshot(now=NOW, tenants=clients, last_event_at=NOW - quiet_for))
    return {trouble.key for trouble in troubles if trouble.tenant_id is None}


def test_silence_of_all_shows_before_any_one_of_them_stands_out():
    assert all_quiet(*[BUSY] * 20) == {(None, "NO_EVENTS", "NO_EVENTS")}
    assert all_quiet(*[BUSY] * 20, quiet_for=4 * MINUTE) == set()
    assert all_quiet(*[BUSY] * 2) == set()
    assert all_quiet(*[SLEEPY] * 20) == set()


def test_silence_of_the_one_who_brings_the_calls_is_his_own():
    enormous = WeeklyProfile([4000] * HOURS_OF_WEEK, 4)
    few = WeeklyProfile([1] * HOURS_OF_WEEK, 4)
    assert all_quiet(enormous, few, few, few, few) == set()
    assert all_quiet(enormous, enormous, few, few) == {(None, "NO_EVENTS", "NO_EVENTS")}


def test_each_denial_has_a_key_of_its_own():
    doors = [Denied("uis", "ip_not_whitelisted", NOW), Denied("crm", "key", NOW)]
    assert found(client(denied=doors)) == {
        (1, "ACCESS_DENIED", "uis:ip_not_whitelisted"),
        (1, "ACCESS_DENIED", "crm:key"),
    }


def test_work_is_late_after_a_quarter_of_an_hour_and_a_vendor_away_after_half_of_one():
    assert found(overdue={1: NOW - 15 * MINUTE}) == {(1, "BACKLOG", "OVERDUE")}
    assert found(overdue={1: NOW - 14 * MINUTE}) == set()
    waiting = [Waiting(1, "CRM_UNAVAILABLE", 7, NOW - 30 * MINUTE), Waiting(1, "UIS_UNAVAILABLE", 7, NOW - 29 * MINUTE)]
    assert found(waiting=waiting) == {(1, "BACKLOG", "CRM_UNAVAILABLE")}
    assert about(waiting=waiting)["calls"] == 7


@pytest.mark.parametrize(
    ("failed", "call_totals", "is_wrong"),
    [
        ((5, 5), (50, 500), True),
        ((4, 4), (5, 500), False),
        ((5, 5), (51, 500), False),
        ((0, 3), (0, 15), True),
        ((0, 2), (0, 2), False),
        ((0, 3), (0, 16), False),
    ],
)
def test_failures_need_a_number_and_a_share(failed, begun, is_wrong):
    facts = {"failed": [Failed(1, "CRM_REFUSED", *failed)], "call_totals": {1: CallTotals(*begun)}}
    assert found(**facts) == ({(1, "FAILURE_RATE", "CRM_REFUSED")} if is_wrong else set())


def test_share_is_told_with_its_figures():
    facts = {"failed": [Failed(1, "INTERNAL_ERROR", 5, 9)], "call_totals": {1: CallTotals(20, 90)}}
    assert about(**facts) == {"failed": 5, "of": 20, "hours": 2}


def test_calls_nobody_can_explain_are_one_thing_however_many_days_they_are_of():
    days = [Unexplained(1, 4, date(2026, 11, 20), date(2026, 11, 22))]
    assert found(unexplained=days) == {(1, "UNEXPLAINED", "NOT_IN_REPORT")}
    assert about(unexplained=days) == {"calls": 4, "first": "2026-11-20", "last": "2026-11-22"}


def test_queue_without_a_worker_is_of_the_whole():
    assert found(queues_without_workers={"fast": NOW - HOUR}) == {(None, "WORKER", "NO_BEAT:fast")}


def test_clients_who_are_not_switched_on_have_no_troubles():
    facts = {
        "overdue": {2: NOW - HOUR},
        "waiting": [Waiting(2, "CRM_UNAVAILABLE", 7, NOW - HOUR)],
        "unexplained": [Unexplained(2, 4, date(2026, 11, 20), date(2026, 11, 22))],
        "failed": [Failed(2, "INTERNAL_ERROR", 5, 9)],
        "call_totals": {2: CallTotals(20, 90)},
    }
    assert found(**facts) == set()


def denied(*pks):
    door = Denied("uis", "ip_not_whitelisted", NOW)
    return [client(pk, denied=[door] if pk in pks else []) for pk in range(1, 7)]


def test_what_half_of_all_have_is_one_of_the_whole():
    key = ("ACCESS_DENIED", "uis:ip_not_whitelisted")
    assert found(*denied(1, 2)) == {(1, *key), (2, *key)}
    assert found(*denied(1, 2, 3)) == {(1, *key), (2, *key), (3, *key), (None, *key)}
    of_whole = rules.find_problems(Snapshot(now=NOW, tenants=denied(1, 2, 3), last_event_at=NOW))[0]
    assert (of_whole.context["clients"], of_whole.context["live"]) == (3, 6)


def test_work_that_nobody_takes_is_of_the_whole_with_few_of_many():
    late = {pk: NOW - pk * HOUR for pk in (1, 2, 3)}
    clients = [client(pk) for pk in range(1, 50)]
    of_whole = rules.find_problems(Snapshot(now=NOW, tenants=clients, last_event_at=NOW, overdue=late))[0]
    assert of_whole.key == (None, "BACKLOG", "OVERDUE")
    assert of_whole.context["since"] == (NOW - 3 * HOUR).isoformat()


def test_counts_of_many_are_added_up():
    waiting = [Waiting(pk, "CRM_UNAVAILABLE", pk, NOW.astimezone(UTC) - HOUR) for pk in (1, 2, 3)]
    of_whole = rules.find_problems(
        Snapshot(now=NOW, tenants=[client(pk) for pk in (1, 2, 3)], last_event_at=NOW, waiting=waiting)
    )[0]
    assert of_whole.context["calls"] == 6


def test_one_thing_may_be_the_reason_of_another():
    late, dead = (1, "BACKLOG", "OVERDUE"), (None, "WORKER", "NO_BEAT:default")
    assert rules.is_explained_by([late, dead], late)
    assert not rules.is_explained_by([late, dead], (1, "BACKLOG", "CRM_UNAVAILABLE"))
    shut = (1, "ACCESS_DENIED", "uis:account_inactive")
    assert rules.is_explained_by([shut], SILENT)
    assert not rules.is_explained_by(
        [(1, "ACCESS_DENIED", "crm:key"), (2, "ACCESS_DENIED", "uis:account_inactive")], SILENT
    )
    assert not rules.is_explained_by([late, dead], dead)
    assert rules.is_part_of([(None, "NO_EVENTS", "NO_EVENTS")], SILENT)
    assert not rules.is_part_of([(None, "NO_EVENTS", "NO_EVENTS")], (None, "NO_EVENTS", "NO_EVENTS"))
