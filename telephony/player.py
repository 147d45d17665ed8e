"""View model of the recording panel on a call's page: tracks, link status and who listened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from telephony import facts, links, listening, recording
from telephony.facts import Staff
from telephony.models import Call, Look, RecordLink, State
from telephony.recording import Part
from telephony.silence import Silence
from telephony.story import Story
from tenants import clock
from tenants.finding import Text, listed

LOOKS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Track:
    """One recording that the admin can play."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Listener:
    at: str
    who: str


@dataclass(frozen=True, kw_only=True)
class RecordingPanel:
    """Contents of the panel, in the active language."""

    tracks: Sequence[Track] = ()
    reason: Silence | None = None  # why nothing can be played
    says: str = ""  # the reason as a sentence
    link: RecordLink | None = None  # our link, if the CRM has one
    link_says: str = ""  # the CRM's link and its status
    looks: Sequence[Listener] = ()


def recording_panel(call: Call, *, now: datetime) -> RecordingPanel:
    """Build the panel without remote calls. Five queries for any number of tracks.

    Load the call with `Call.objects.with_related()`.
    """
    staff = Staff.of(call.tenant)
    events = facts.heard_of(call.tenant, [call.session_id])[call.session_id]
    story = facts.story_of(call, events, staff=staff)
    tracks = _tracks(call, story, staff)
    reason = _unavailable_reason(call, story, staff, has_parts=bool(tracks), now=now)
    link = RecordLink.objects.filter(call=call).first()
    return RecordingPanel(
        tracks=() if reason else tracks,
        reason=reason,
        says=_says(call, reason, story, staff, now=now) if reason else "",
        link=link,
        link_says=str(_link_says(call, link, now=now)),
        looks=[_listener(entry, call, now=now) for entry in call.looks.filter(kind=Look.Kind.RECORDING)[:LOOKS_SHOWN]],
    )


def _unavailable_reason(call: Call, story: Story, staff: Staff, *, has_parts: bool, now: datetime) -> Silence | None:
    """Return why nothing can be played, as far as our rows show."""
    if barred := listening.barred(call):
        return barred
    if call.recording_gone_at is not None:
        return Silence.GONE
    if has_parts:
        return None
    if call.result and not call.is_answered:
        return Silence.NOT_ANSWERED
    if not call.is_collected:
        return _missing_legs_reason(call)
    if call.state == State.COLLECTING:
        return Silence.NOT_READY
    return Silence.NONE_CAME if recording.expected(call, story, staff) else Silence.NOT_RECORDED


def _missing_legs_reason(call: Call) -> Silence:
    """Return why the legs have not been fetched."""
    if call.is_done:
        return Silence.NOT_ASKED
    return Silence.DENIED if call.tenant.uis.denied_at else Silence.NOT_TOLD


def _says(call: Call, reason: Silence, story: Story, staff: Staff, *, now: datetime) -> str:
    """Return the reason as a sentence, with details."""
    return f"{reason.label} {_details(call, reason, story, staff, now=now)}".strip()


def _details(call: Call, reason: Silence, story: Story, staff: Staff, *, now: datetime) -> str:
    match reason:
        case Silence.NOT_READY:
            return _with_time(call, _("Waiting for it until %(moment)s."), recording.deadline(call), now)
        case Silence.GONE:
            return _with_time(call, _("Last checked: %(moment)s."), call.recording_gone_at, now)
        case Silence.DENIED:
            return call.tenant.uis.get_denied_code_display()
        case Silence.NOT_ASKED:
            return call.get_kept_back_by_display()
        case Silence.NOT_RECORDED:
            return listed(_talker_names(story, staff))
    return ""


def _with_time(call: Call, sentence: Text, moment: datetime | None, now: datetime) -> str:
    return str(sentence) % {"moment": clock.said_at(call.tenant, moment, now=now)}


def _talker_names(story: Story, staff: Staff) -> list[str]:
    return [str(staff.people[one]) for one in dict.fromkeys(story.talker_ids) if one in staff.people]


def _tracks(call: Call, story: Story, staff: Staff) -> list[Track]:
    parts = recording.parts(call, story)
    titles = [_title(call, part, staff) for part in parts]
    tracks = [
        Track(title=f"{number}. {title}" if len(parts) > 1 else title, url=_url(call, number))
        for number, title in enumerate(titles, start=1)
    ]
    whole = [Track(title=gettext("The whole call"), url=_url(call, 0))] if recording.whole(story) else []
    return [*whole, *tracks]


def _title(call: Call, part: Part, staff: Staff) -> str:
    """Return the employee, start and duration of the talk."""
    person = staff.people.get(part.employee_id or 0)
    details = [str(person)] if person else []
    if part.talk is not None:
        details.append(date_format(part.talk.talk_began_at.astimezone(call.tenant.zone), clock.TIME))
        seconds = part.talk.talk_seconds
        details.append(ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds})
    return ", ".join(details) or gettext("Recording")


def _url(call: Call, number: int) -> str:
    return reverse("admin:telephony_call_play", args=[call.pk, number])


def _link_says(call: Call, link: RecordLink | None, *, now: datetime) -> Text:
    if link is None:
        return _without_link(call)
    link.tenant = call.tenant
    if link.is_withdrawn:
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
    if recording.was_passed(call, call.history.all()):
        return _("The CRM has UIS's own link, which we cannot revoke.")
    return _("The CRM has no recording link from us.")


def _listener(entry: Look, call: Call, *, now: datetime) -> Listener:
    anonymous = gettext("by link from the CRM, address %(address)s") % {"address": entry.address or "?"}
    return Listener(at=clock.said_at(call.tenant, entry.at, now=now), who=entry.username or anonymous)
