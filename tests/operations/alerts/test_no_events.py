"""When missing events are a problem: from the calls of past weeks, in tenant local time; no database."""

from datetime import UTC, datetime, time, timedelta
from math import exp, isclose
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_project.operations.alerts.no_events import (
    NoEvents,
    chance,
    is_unlikely,
    missing_events,
    missing_events_of_all,
)
from connector_project.operations.models import TrafficProfile
from connector_project.operations.models.traffic_profile import HOURS_OF_WEEK
from tenants.models import Tenant

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, tzinfo=MOSCOW)  # a Monday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BUSY, QUIET = [40] * HOURS_OF_WEEK, [1 if hour % 24 == 12 else 0 for hour in range(HOURS_OF_WEEK)]


def weekly(counts, *, weeks=4, zone="Europe/Moscow"):
    return TrafficProfile(tenant=Tenant(time_zone=zone), hours=counts, weeks=weeks)


def profile(zone="Europe/Moscow", **hours):
    """Return a profile from `mon_10=8` and the like; all other hours have no calls."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    counts = [0] * HOURS_OF_WEEK
    for name, count in hours.items():
        day, hour = name.split("_")
        counts[days.index(day) * 24 + int(hour)] = count
    return weekly(counts, zone=zone)


def at(text, zone=MOSCOW):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def test_expected_calls_uses_the_same_hours_of_the_week():
    busy = profile(mon_10=80, mon_11=40, tue_10=500)
    assert busy.expected_calls(at("2026-11-23T10:00"), at("2026-11-23T12:00")) == 120
    assert busy.expected_calls(at("2026-11-22T10:00"), at("2026-11-22T12:00")) == 0


def test_expected_calls_of_part_of_an_hour():
    busy = profile(mon_10=80, mon_11=40)
    assert busy.expected_calls(at("2026-11-23T10:30"), at("2026-11-23T11:15")) == 50


def test_expected_calls_uses_the_local_hour():
    nine_in_moscow = at("2026-11-23T09:00").astimezone(UTC)
    assert profile(mon_9=60).expected_calls(nine_in_moscow, nine_in_moscow + HOUR) == 60
    assert profile("Europe/Berlin", mon_9=60).expected_calls(nine_in_moscow, nine_in_moscow + HOUR) == 0
    # Half past eleven there: an hour of ours is half of one and half of the next.
    halves = profile("Asia/Kolkata", mon_11=60, mon_12=20)
    assert halves.expected_calls(nine_in_moscow, nine_in_moscow + HOUR) == 40


def test_expected_calls_across_a_change_of_clocks():
    nights = profile("Europe/Berlin", sun_1=1, sun_2=10, sun_3=100)
    # In Berlin clocks go back at three on 25 October 2026, and forward at two on 29 March.
    autumn = nights.expected_calls(at("2026-10-25T01:00", BERLIN), at("2026-10-25T04:00", BERLIN))
    spring = nights.expected_calls(at("2026-03-29T01:00", BERLIN), at("2026-03-29T04:00", BERLIN))
    assert (autumn, spring) == (121, 101)


def test_expected_calls_looks_back_two_weeks_at_most():
    one_a_week = profile(mon_10=1)
    assert one_a_week.expected_calls(at("2020-01-01T00:00"), at("2026-11-25T00:00")) == 2


@given(calls=st.floats(0, 500), weeks=st.integers(2, 4))
def test_chance_approaches_poisson_with_more_weeks(calls, weeks):
    assert exp(-calls / weeks) <= chance(calls, weeks) + 1e-12
    assert isclose(chance(calls, 100_000), exp(-calls / 100_000), rel_tol=1e-2)


@given(calls=st.floats(0, 500), more=st.floats(0, 100))
def test_chance_decreases_with_more_expected_calls(calls, more):
    assert chance(calls + more, 4) <= chance(calls, 4)


@pytest.mark.parametrize(
    ("a_day", "least", "most"), [(400, 0.2, 0.4), (50, 1.5, 3.0), (5, 15, 25)], ids=["busy", "usual", "sleepy"]
)
def test_no_events_is_found_after_hours_that_depend_on_traffic(a_day, least, most):
    # Nine hours a day, five days a week, four weeks.
    an_hour = a_day / 9
    usual = weekly([round(an_hour * 4)] * 45 + [0] * (HOURS_OF_WEEK - 45))
    found_after_hours = next(
        tenths / 10 for tenths in range(1000) if is_unlikely(an_hour * 4 * tenths / 10, 4, yearly=usual.yearly)
    )
    assert least <= found_after_hours <= most


def test_tenant_without_traffic_is_never_unlikely():
    assert not is_unlikely(0, 4, yearly=profile().yearly)


def tenant(*, profile=None, activated_ago=30 * DAY, opens_at=time(9)):
    found = Tenant(opens_at=opens_at, activated_at=NOW - activated_ago)
    if profile:
        TrafficProfile(tenant=found, hours=profile, weeks=4)  # which the tenant knows from then on
    return found


def missing(last_event_ago, *, reported=0, now=NOW, **values):
    """Return how missing events are noticed."""
    last = None if last_event_ago is None else now - last_event_ago
    context = missing_events(tenant(**values), last_event_at=last, unreported_calls=reported, now=now)
    return context and context["by"]


def test_no_events_depends_on_the_traffic_profile():
    assert missing(2 * HOUR, profile=BUSY) == "profile"
    assert missing(DAY, profile=QUIET) is None
    busy = tenant(profile=BUSY)
    assert missing_events(busy, last_event_at=NOW - 2 * HOUR, now=NOW) == {"by": "profile", "usual": 20}


def test_no_events_takes_at_least_fifteen_minutes():
    very_busy = [4000] * HOURS_OF_WEEK
    assert missing(14 * MINUTE, profile=very_busy) is None
    assert missing(15 * MINUTE, profile=very_busy) == "profile"


def test_no_events_without_a_profile_uses_business_hours():
    assert missing(HOUR) == "hours"
    assert missing(59 * MINUTE) is None
    assert missing(3 * HOUR, opens_at=time(11, 30)) is None
    assert missing(None) == "hours"


def test_no_events_before_the_first_event_ignores_the_profile():
    assert missing(None, profile=QUIET) == "hours"
    assert missing(None, activated_ago=59 * MINUTE) is None


def test_no_events_ignores_the_time_before_activation():
    assert missing(90 * DAY, activated_ago=10 * MINUTE, profile=BUSY) is None


def test_unreported_calls_prove_no_events():
    assert missing(HOUR, reported=3, now=NOW.replace(hour=3)) == "report"
    assert missing_events(tenant(), last_event_at=NOW - HOUR, unreported_calls=5, now=NOW) == {
        "by": "report",
        "calls": 5,
    }
    assert missing(50 * MINUTE, reported=2) is None


def all_missing(*profiles, quiet_for=10 * MINUTE):
    """Return whether the events of all tenants together are missing."""
    tenants = [tenant(profile=profile) for profile in profiles]
    return missing_events_of_all(tenants, since=NOW - quiet_for, now=NOW) is not None


def test_no_events_of_all_tenants_is_found_earlier():
    assert all_missing(*[BUSY] * 20)
    assert not all_missing(*[BUSY] * 20, quiet_for=4 * MINUTE)
    assert not all_missing(*[BUSY] * 2)
    assert not all_missing(*[QUIET] * 20)


def test_no_events_of_the_busiest_tenant_is_not_system_wide():
    enormous, few = [4000] * HOURS_OF_WEEK, [1] * HOURS_OF_WEEK
    assert not all_missing(enormous, few, few, few, few)
    assert all_missing(enormous, enormous, few, few)


def test_no_events_is_explained_by_the_tenants_suspended_uis_connection():
    key, denied = (1, "NO_EVENTS", "NO_EVENTS"), (1, "ACCESS_DENIED", "uis:account_inactive")
    assert NoEvents().is_explained(key, [key, denied])
    assert not NoEvents().is_explained(key, [(1, "ACCESS_DENIED", "crm:key"), (2, *denied[1:])])
    assert not NoEvents().is_explained((None, *key[1:]), [(None, *denied[1:])])
