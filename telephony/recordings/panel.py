"""View model of the recording panel on a call's page: tracks, link status and who listened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text, join_limited
from telephony.calls import recording_selection
from telephony.calls.recording_selection import Part
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import AccessLogEntry, Call, RecordingLink, State
from telephony.recordings import links, stream
from telephony.recordings.unavailable import UnavailableReason
from tenants import datetime_display

PLAYS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Track:
    """One recording that the admin can play."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Listen:
    at: str
    user: str


@dataclass(frozen=True, kw_only=True)
class RecordingPanel:
    """Contents of the panel, in the active language."""

    tracks: Sequence[Track] = ()
    reason: UnavailableReason | None = None  # why nothing can be played
    message: str = ""  # the reason as a sentence
    link: RecordingLink | None = None  # our link, if the CRM has one
    link_message: str = ""  # the CRM's link and its status
    plays: Sequence[Listen] = ()


def recording_panel(call: Call, *, now: datetime) -> RecordingPanel:
    """Build the panel without remote calls. Five queries for any number of tracks.

    Load the call with `Call.objects.with_related()`.
    """
    known = Sources.load(call.tenant, [call.session_id])
    staff, (resolution, _owner) = known.staff, known.resolve(call)
    tracks = _tracks(call, resolution, staff)
    reason = _unavailable_reason(call, resolution, staff, has_parts=bool(tracks), now=now)
    link = RecordingLink.objects.filter(call=call).first()
    return RecordingPanel(
        tracks=() if reason else tracks,
        reason=reason,
        message=_message(call, reason, resolution, staff, now=now) if reason else "",
        link=link,
        link_message=str(_link_message(call, link, now=now)),
        plays=[
            _listen(entry, call, now=now)
            for entry in call.access_log.filter(kind=AccessLogEntry.Kind.RECORDING)[:PLAYS_SHOWN]
        ],
    )


def _unavailable_reason(
    call: Call, resolution: CallResolution, staff: StaffDirectory, *, has_parts: bool, now: datetime
) -> UnavailableReason | None:
    """Return why nothing can be played, as far as our rows show."""
    if blocked := stream.blocked_reason(call):
        return blocked
    if call.recording_missing_since is not None:
        return UnavailableReason.MISSING
    if has_parts:
        return None
    if call.result and not call.is_answered:
        return UnavailableReason.NOT_ANSWERED
    if not call.has_legs:
        return _missing_legs_reason(call)
    if call.state == State.FETCHING_LEGS:
        return UnavailableReason.NOT_READY
    return (
        UnavailableReason.NEVER_CAME
        if recording_selection.expected(call, resolution, staff)
        else UnavailableReason.NOT_RECORDED
    )


def _missing_legs_reason(call: Call) -> UnavailableReason:
    """Return why the legs have not been fetched."""
    if call.is_done:
        return UnavailableReason.NOT_FETCHED
    return UnavailableReason.DENIED if call.tenant.uis.denied_at else UnavailableReason.UNKNOWN


def _message(
    call: Call, reason: UnavailableReason, resolution: CallResolution, staff: StaffDirectory, *, now: datetime
) -> str:
    """Return the reason as a sentence, with details."""
    return f"{reason.label} {_details(call, reason, resolution, staff, now=now)}".strip()


def _details(
    call: Call, reason: UnavailableReason, resolution: CallResolution, staff: StaffDirectory, *, now: datetime
) -> str:
    match reason:
        case UnavailableReason.NOT_READY:
            return _with_time(call, _("Waiting for it until %(moment)s."), recording_selection.deadline(call), now)
        case UnavailableReason.MISSING:
            return _with_time(call, _("Last checked: %(moment)s."), call.recording_missing_since, now)
        case UnavailableReason.DENIED:
            return call.tenant.uis.get_denied_code_display()
        case UnavailableReason.NOT_FETCHED:
            return call.get_skip_reason_display()
        case UnavailableReason.NOT_RECORDED:
            return join_limited(_talker_names(resolution, staff))
    return ""


def _with_time(call: Call, sentence: Text, moment: datetime | None, now: datetime) -> str:
    return str(sentence) % {"moment": datetime_display.format_short(call.tenant, moment, now=now)}


def _talker_names(resolution: CallResolution, staff: StaffDirectory) -> list[str]:
    return [str(staff.employees[one]) for one in dict.fromkeys(resolution.talker_ids) if one in staff.employees]


def _tracks(call: Call, resolution: CallResolution, staff: StaffDirectory) -> list[Track]:
    parts = recording_selection.parts(call, resolution)
    titles = [_title(call, part, staff) for part in parts]
    tracks = [
        Track(title=f"{number}. {title}" if len(parts) > 1 else title, url=_url(call, number))
        for number, title in enumerate(titles, start=1)
    ]
    whole = (
        [Track(title=gettext("The whole call"), url=_url(call, 0))]
        if recording_selection.whole_call_url(resolution)
        else []
    )
    return [*whole, *tracks]


def _title(call: Call, part: Part, staff: StaffDirectory) -> str:
    """Return the employee, start and duration of the talk."""
    employee = staff.employees.get(part.employee_id or 0)
    details = [str(employee)] if employee else []
    if part.talk is not None:
        details.append(date_format(part.talk.talk_started_at.astimezone(call.tenant.zone), datetime_display.TIME))
        seconds = part.talk.talk_seconds
        details.append(ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds})
    return ", ".join(details) or gettext("Recording")


def _url(call: Call, number: int) -> str:
    return reverse("admin:telephony_call_play", args=[call.pk, number])


def _link_message(call: Call, link: RecordingLink | None, *, now: datetime) -> Text:
    if link is None:
        return _without_link(call)
    link.tenant = call.tenant
    if link.is_revoked:
        return _("The CRM has a revoked recording link.")
    until = links.ends_at(call)
    if until is None:
        return _("The CRM has a working recording link.")
    if until <= now:
        return _("The CRM has an expired recording link.")
    return _with_time(call, _("The CRM has a recording link that works until %(moment)s."), until, now)


def _without_link(call: Call) -> Text:
    if call.state != State.UPLOADED:
        return _("The CRM has no recording link yet.")
    if recording_selection.was_passed(call, call.history.all()):
        return _("The CRM has UIS's own link, which we cannot revoke.")
    return _("The CRM has no recording link from us.")


def _listen(entry: AccessLogEntry, call: Call, *, now: datetime) -> Listen:
    anonymous = gettext("by link from the CRM, address %(address)s") % {"address": entry.address or "?"}
    return Listen(at=datetime_display.format_short(call.tenant, entry.at, now=now), user=entry.username or anonymous)
