"""UIS API points for each call of a client with 1,000 calls an hour, in simulated time, against the vendors' fakes.

Counted are the requests that UIS answers: legs and reports of the calls, reconciliation, and all other scheduled work.
Three hours of calls went before, because reconciliation compares them too. Notifications that only open and close
pop-ups cost no points and are left out, as are clicks, which use other points.
"""

import os
from collections import Counter
from datetime import timedelta

from tests.bench.figures import Figure

CALLS_AN_HOUR = 1000
LASTS = timedelta(minutes=20)  # an hour would take minutes
TARGET = 0.2
NAME = "UIS points for each of 1,000 calls an hour"
USES = {"get.call_legs_report": "legs of calls", "get.calls_report": "rows of UIS's report"}
OTHER = "other requests"


def measure() -> list[Figure]:
    """Play the hour on SQLite; return the points of each call, in all and by their use."""
    os.environ["DATABASE_URL"] = "sqlite:///:memory:"
    from tests.chaos.runner import set_up

    set_up()
    from tests.bench.busy_hour import play  # models need Django to be set up

    calls = round(CALLS_AN_HOUR * (LASTS / timedelta(hours=1)))
    used = Counter(USES.get(method, OTHER) for method in play(calls, lasts=LASTS))
    return [
        _figure(NAME, used.total() / calls, target=TARGET),
        *(_figure(f"{NAME}: {use}", used[use] / calls) for use in [*USES.values(), OTHER]),
    ]


def _figure(name: str, points: float, *, target: float | None = None) -> Figure:
    return Figure(name=name, variant="simulated", value=points, unit="points", target=target)
