"""UIS API quota in points per minute and day, with a reserve for live calls. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connector_project.core.http_client import LONGEST_WAIT
from connector_project.core.jobs import CLOCKS_APART
from telephony.uis.types import Limits

RESERVED_SHARE = 0.2
LEAST_RESERVED_A_MINUTE = 5
# With more than this share left nobody has to wait, so that what is stored need not be the last word.
PLENTY_SHARE = 0.5
STORED_FOR = timedelta(hours=1)


def to_json(limits: Limits, *, now: datetime) -> dict[str, Any]:
    """Return the limits of a reply as JSON to store."""
    return {**limits, "at": now.isoformat()}


def is_news(quota: Mapping[str, Any], stored: Mapping[str, Any], *, now: datetime) -> bool:
    """Return whether other processes must know of this quota: not as long as there is plenty, before and after."""
    if not (_is_plenty(stored) and _is_plenty(quota)):
        return True
    return not -CLOCKS_APART <= now - datetime.fromisoformat(stored["at"]) < STORED_FOR


def seconds_to_wait(quota: Mapping[str, Any], *, is_live: bool, now: datetime) -> float:
    """Return the seconds until the next request is allowed; 0 if there are points, or nothing is known.

    What UIS said is believed for half an hour at most: the client may have bought more points since.
    """
    if not quota:
        return 0.0
    passed = now - datetime.fromisoformat(quota["at"])
    wait = max(_wait_for(quota, unit, is_live=is_live, passed=passed) for unit in ("minute", "day"))
    return max(0.0, min(wait, LONGEST_WAIT - passed.total_seconds()))


def is_low_today(quota: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether only the reserve of the daily points is left."""
    return bool(quota) and _wait_for(quota, "day", is_live=False, passed=now - datetime.fromisoformat(quota["at"])) > 0


def _is_plenty(quota: Mapping[str, Any]) -> bool:
    """Return whether much more than the reserve is left, of both units."""
    return all(_is_plenty_of(quota, unit) for unit in ("minute", "day"))


def _is_plenty_of(quota: Mapping[str, Any], unit: str) -> bool:
    remaining, limit = quota.get(f"{unit}_remaining"), quota.get(f"{unit}_limit")
    if remaining is None or not limit:
        return False
    return bool(remaining > max(limit * PLENTY_SHARE, 2 * _reserve(quota, unit)))


def _wait_for(quota: Mapping[str, Any], unit: str, *, is_live: bool, passed: timedelta) -> float:
    remaining, reset = quota.get(f"{unit}_remaining"), quota.get(f"{unit}_reset")
    if remaining is None or reset is None or passed < -CLOCKS_APART or passed.total_seconds() >= reset:
        return 0.0  # Told in the future: the clock was set back since, so ask UIS anew.
    passed = max(passed, timedelta(0))  # Told by a machine whose clock is ahead.
    reserve = 0 if is_live else _reserve(quota, unit)
    return float(reset - passed.total_seconds()) if remaining <= reserve else 0.0


def _reserve(quota: Mapping[str, Any], unit: str) -> int:
    share = int((quota.get(f"{unit}_limit") or 0) * RESERVED_SHARE)
    return max(share, LEAST_RESERVED_A_MINUTE) if unit == "minute" else share
