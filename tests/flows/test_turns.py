"""Old calls have their turns, however many live calls there are."""

from datetime import timedelta

import pytest
from django.utils import timezone

from telephony.models import Call
from telephony.reconciliation import compare
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

LIVE_EVERY = timedelta(seconds=15)


@pytest.fixture
def work(clock, pbx, notify):
    """Let time pass with an answered call every fifteen seconds, and the sweep every minute."""

    def run(duration):
        for number in range(int(duration / LIVE_EVERY)):
            started_at = timezone.now() - timedelta(seconds=40)
            notify(
                pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=started_at).notification(
                    "call_end"
                )
            )
            clock.shift(LIVE_EVERY)
            if number % 4 == 3:
                task_queue.sweep()

    return run


@pytest.fixture
def old_calls(tenant, pbx, clock):
    """Create answered calls of yesterday that reconciliation finds."""

    def create(count):
        day = timezone.now() - timedelta(days=1)
        for number in range(count):
            at = day + timedelta(seconds=100 * number)
            pbx.call(contact=f"79995{number:06}", number=NUMBER, talks=[(IVAN, 20)], started_at=at)
        compare.reconcile(tenant, since=day - timedelta(hours=1), till=day + timedelta(hours=5), now=timezone.now())
        assert Call.objects.filter(is_low_priority=True, state="FETCHING_LEGS").count() == count

    return create


def uploaded_of(crm, count):
    return [call for call in crm.calls if call["phone"] in {f"+79995{number:06}" for number in range(count)}]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("minutes", [6, pytest.param(120, marks=pytest.mark.exhaustive)])
def test_old_calls_are_collected_among_live_ones(old_calls, work, pbx, crm, uis_world, stranger, minutes):
    """With few points, too, as long as the reserve is not touched; and they cost the live ones nothing."""
    pbx.minute_limit = 20
    work(timedelta(minutes=2))
    old_calls(30)
    before = len(uis_world.requests)
    work(timedelta(minutes=4))
    assert len(uploaded_of(crm, 30)) == 30
    work(timedelta(minutes=minutes - 4))
    live = Call.objects.filter(contact=CONTACT)
    assert live.filter(state="UPLOADED").count() >= live.count() - 8
    requests = [one for one in uis_world.requests[before:] if one.method == "get.call_legs_report"]
    assert len(requests) <= minutes * 3 + 5


@pytest.mark.exhaustive
@pytest.mark.slow
def test_old_calls_leave_the_reserve_of_points_to_live_ones(old_calls, work, pbx, crm):
    work(timedelta(minutes=2))
    pbx.spent["data"] += [timezone.now() - timedelta(minutes=2)] * 170
    pbx.day_limit = len(pbx.spent["data"]) + 30
    old_calls(3)
    work(timedelta(minutes=3))
    assert uploaded_of(crm, 3) == []
    assert Call.objects.filter(contact=CONTACT, state="UPLOADED").count() >= 12
