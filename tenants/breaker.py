"""When a vendor that does not answer is asked again: a growing pause, then one request to see. Pure."""

from datetime import datetime, timedelta

PAUSES_SECONDS = (5, 15, 30, 60, 120, 300)
# Who looks whether the vendor is back has so long; then somebody else may look.
PROBE_TERM = timedelta(minutes=1)
# A person's card or click is tried as long as this many requests in a row have not failed.
PATIENCE = 3
# Of the work that nobody waits for, one account takes so much of the workers' time at once, however slow it is.
AT_ONCE = 2


def pause(failures: int, *, wait: float | None) -> timedelta:
    """Return how long to leave a vendor alone after so many failures in a row; never shorter than it asked for."""
    seconds = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1]
    return timedelta(seconds=max(seconds, wait or 0))


def keeps_out(failures: int, retry_at: datetime | None, *, is_live: bool, now: datetime) -> bool:
    """Whether nothing should be sent now; what a person waits for is kept out only when it is hopeless."""
    is_resting = retry_at is not None and now < retry_at
    return is_resting and (not is_live or failures >= PATIENCE)
