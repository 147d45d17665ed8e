"""The pauses between two attempts of one call."""

from datetime import UTC, datetime, timedelta

import pytest

from telephony.models import Call, FailureReason

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
SAMPLES = 200  # the jitter is random


def pauses(attempts, **more):
    """Return samples of the pause in seconds after this many attempts."""
    for _sample in range(SAMPLES):
        call = Call(attempts=attempts, retry_window_started_at=NOW)
        call.delay(FailureReason.UIS_UNAVAILABLE, now=NOW, **more)
        yield (call.next_attempt_at - NOW) / timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 10), (2, 30), (3, 60), (4, 300), (5, 900), (6, 1700), (7, 1700), (50, 1700)],
)
def test_pause_grows_to_half_an_hour_with_some_jitter(attempts, seconds):
    samples = list(pauses(attempts))
    assert seconds <= min(samples) < max(samples) <= seconds + min(seconds / 5, 60) < 1800


@pytest.mark.parametrize("wait", [45, 86_000])
def test_pause_requested_by_the_vendor_is_kept_with_some_jitter(wait):
    """UIS says to wait until midnight once the points of the day are spent: a part of it would be hours."""
    samples = list(pauses(7, wait=float(wait)))
    assert wait <= min(samples) < max(samples) <= wait + min(wait / 5, 60)
