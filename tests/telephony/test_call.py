"""A call's own pauses between two tries."""

from datetime import UTC, datetime, timedelta

import pytest

from telephony.models import Call, FailureReason

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
DRAWN = 200  # the jitter is drawn at random


def pauses(attempts, **more):
    """Return how many seconds a call waits after so many tries, as often as it is drawn."""
    for _time in range(DRAWN):
        call = Call(attempts=attempts, retry_window_started_at=NOW)
        call.postpone(FailureReason.UIS_UNAVAILABLE, now=NOW, **more)
        yield (call.next_attempt_at - NOW) / timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 10), (2, 30), (3, 60), (4, 300), (5, 900), (6, 3600), (7, 10_800), (8, 10_800), (50, 10_800)],
)
def test_pause_grows_to_three_hours_and_jitter_makes_it_a_fifth_longer_at_most(attempts, seconds):
    drawn = list(pauses(attempts))
    assert seconds <= min(drawn) < max(drawn) <= 1.2 * seconds


def test_pause_the_vendor_names_is_never_shortened_nor_much_longer():
    drawn = list(pauses(7, wait=45.0))
    assert 45 <= min(drawn) < max(drawn) <= 1.2 * 45
