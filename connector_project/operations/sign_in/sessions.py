"""Sessions of staff: 12 hours at most, 30 minutes without activity, and whether the second factor was given.

The times are in the session itself, so they hold with every session backend.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import django_otp
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from tenants import second_factor
from tenants.models import TotpDevice

STARTED, ACTIVE, VERIFIED = "signed_in_at", "active_at", "verified_at"
# The session was made by a password alone, and the person has a second factor.
DUE = "second_factor_due"
# The app that this session sets up.
PENDING = "second_factor_pending"
# A page that asks for news by itself sends this header; such a request is no activity.
BACKGROUND_HEADER = "X-Background"
ACTIVITY_PRECISION = timedelta(minutes=1)  # not every request writes the session
# For so long after a code, the second factor may be replaced.
RECENT = timedelta(minutes=10)


def start(*, request: HttpRequest, user: Any, **_signal: Any) -> None:
    """Begin a session after a password (receiver of Django's user_logged_in)."""
    now = timezone.now().timestamp()
    session = request.session
    session.update({STARTED: now, ACTIVE: now, DUE: second_factor.find_device(user) is not None})
    # A session of the same person goes on, but not as verified.
    for name in (VERIFIED, PENDING, django_otp.DEVICE_ID_SESSION_KEY):
        session.pop(name, None)


def is_over(request: HttpRequest, *, now: datetime) -> bool:
    """Return whether a session has lasted too long, or was idle for too long."""
    started, active = _time(request, STARTED), _time(request, ACTIVE)
    if started is None or active is None:
        return True
    lifetime = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    return now >= started + lifetime or now >= active + timedelta(seconds=settings.STAFF_IDLE_SECONDS)


def touch(request: HttpRequest, *, now: datetime) -> None:
    """Note the activity of a person."""
    active = _time(request, ACTIVE)
    if BACKGROUND_HEADER not in request.headers and (active is None or now >= active + ACTIVITY_PRECISION):
        request.session[ACTIVE] = now.timestamp()


def is_complete(request: HttpRequest, user: Any) -> bool:
    """Return whether this session has given everything that signing in asks for."""
    return bool(user.is_verified()) or not needs_second_factor(request)


def needs_second_factor(request: HttpRequest) -> bool:
    return settings.STAFF_SECOND_FACTOR == "required" or bool(request.session.get(DUE))


def verify(request: HttpRequest, device: TotpDevice, *, now: datetime) -> None:
    """Make this session a verified one, under a new key."""
    request.session.cycle_key()
    django_otp.login(request, device)
    request.session.update({VERIFIED: now.timestamp(), DUE: False})


def is_recently_verified(request: HttpRequest, *, now: datetime) -> bool:
    verified = _time(request, VERIFIED)
    return verified is not None and now < verified + RECENT


def _time(request: HttpRequest, name: str) -> datetime | None:
    stamp = request.session.get(name)
    return datetime.fromtimestamp(stamp, tz=UTC) if isinstance(stamp, int | float) else None
