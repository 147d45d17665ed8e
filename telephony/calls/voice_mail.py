"""Whether a missed call may have a voice mail, so that UIS's report is asked for it before the upload.

No notification tells of a voice mail: only the report does, and an uploaded call cannot be changed. Most missed calls
have none and go up from their notifications alone. One fact is enough to ask:

- the extension of somebody whose phone rang has voice mail switched on;
- the call went on after the wait, though nobody talked: of a missed call both durations are equal;
- this virtual number had a voice mail in the report lately. A scenario's voice mail belongs to no extension, and
  whether its time counts as waiting is not documented. The comparisons learn it from the rows they read anyway.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from telephony.calls.evidence import load
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import StaffDirectory
from telephony.models import Call
from telephony.uis.types import EndedEvent
from tenants.models import Tenant, VirtualNumber

# How long a missed call waits for it, from when we know of the call, whatever UIS does. Like a recording it may come
# after the report shows the call.
WAIT = timedelta(minutes=2)
PAUSES_SECONDS = (15, 45, 60)
SHORTEST = 5  # seconds of a greeting and a word: more than durations differ by rounding
LEARNED_FOR = timedelta(days=30)


def deadline(call: Call) -> datetime:
    """Return when the call is uploaded at the latest, with a voice mail or without."""
    return call.retry_window_started_at + WAIT


def next_check_at(call: Call, *, now: datetime) -> datetime:
    """Return when UIS is asked again; at the deadline at the latest."""
    pause = PAUSES_SECONDS[min(call.attempts, len(PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), deadline(call))


def needs_report(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> bool:
    """Whether a missed call, which needs nothing else of UIS, is asked for because of a voice mail."""
    return is_awaited(call, resolution, staff, now=now) and load(call.uis_snapshot).row is None


def is_awaited(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> bool:
    """Whether a call that is missed waits for a voice mail that the report does not show so far."""
    if not call.tenant.rules.send_recording or now >= deadline(call) or not _may_exist(resolution, staff, now=now):
        return False
    row = load(call.uis_snapshot).row
    return not (row and row.voice_mail_ids)


def _may_exist(resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> bool:
    rung = (staff.employees.get(uis_id) for uis_id in resolution.rung_employee_ids)
    had_one_at = staff.voice_mails.get(resolution.number)
    return (
        any(person is not None and person.has_voice_mail for person in rung)
        or resolution.after_wait_seconds >= SHORTEST
        or (had_one_at is not None and now - had_one_at <= LEARNED_FOR)
    )


def learn(tenant: Tenant, reported: Iterable[EndedEvent]) -> None:
    """Store which virtual numbers have a voice mail in these rows of the report. No query where none has."""
    latest: dict[str, datetime] = {}
    for row in reported:
        if row.voice_mail_ids and row.number and row.started_at:
            latest[row.number] = max(row.started_at, latest.get(row.number, row.started_at))
    for number, at in latest.items():
        earlier = Q(voice_mail_at=None) | Q(voice_mail_at__lt=at)
        VirtualNumber.objects.filter(earlier, tenant=tenant, number=number).update(voice_mail_at=at)
