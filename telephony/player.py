"""What the page of a call offers to hear, or why there is nothing; what became of the link; who listened."""

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
    """One recording: what it is of, and where the desk plays it."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who listened, and when."""

    at: str
    who: str


@dataclass(frozen=True, kw_only=True)
class RecordingPanel:
    """All that a page tells of a call's recording, in the language that is active."""

    tracks: Sequence[Track] = ()
    reason: Silence | None = None  # why there is nothing to hear
    says: str = ""  # the reason in a sentence
    link: RecordLink | None = None  # ours, where the CRM has one
    link_says: str = ""  # what the CRM has, and whether it works
    looks: Sequence[Listener] = ()


def recording_panel(call: Call, *, now: datetime) -> RecordingPanel:
    """Return what the page of a call shows of its recording. Asks nobody; five queries, however many parts there are.

    The call comes with all that a step looks at, as `Call.objects.whole()` brings it.
    """
    staff = Staff.of(call.tenant)
    heard = facts.heard_of(call.tenant, [call.session_id])[call.session_id]
    story = facts.story_of(call, heard, staff=staff)
    tracks = _tracks(call, story, staff)
    reason = _silence(call, story, staff, has_parts=bool(tracks), now=now)
    link = RecordLink.objects.filter(call=call).first()
    return RecordingPanel(
        tracks=() if reason else tracks,
        reason=reason,
        says=_says(call, reason, story, staff, now=now) if reason else "",
        link=link,
        link_says=str(_link_says(call, link, now=now)),
        looks=[_listener(look, call, now=now) for look in call.looks.filter(kind=Look.Kind.RECORDING)[:LOOKS_SHOWN]],
    )


def _silence(call: Call, story: Story, staff: Staff, *, has_parts: bool, now: datetime) -> Silence | None:
    """Return why there is nothing to hear, as far as our own rows tell."""
    if barred := listening.barred(call):
        return barred
    if call.recording_gone_at is not None:
        return Silence.GONE
    if has_parts:
        return None
    if call.result and not call.is_answered:
        return Silence.NOT_ANSWERED
    if not call.is_collected:
        return _untold(call)
    if call.state == State.COLLECTING:
        return Silence.NOT_READY
    return Silence.NONE_CAME if recording.expected(call, story, staff) else Silence.NOT_RECORDED


def _untold(call: Call) -> Silence:
    """Return why UIS has not told of the whole call."""
    if call.is_done:
        return Silence.NOT_ASKED
    return Silence.DENIED if call.tenant.uis.denied_at else Silence.NOT_TOLD


def _says(call: Call, reason: Silence, story: Story, staff: Staff, *, now: datetime) -> str:
    """Return the reason in a sentence, with what the desk knows besides."""
    return f"{reason.label} {_more(call, reason, story, staff, now=now)}".strip()


def _more(call: Call, reason: Silence, story: Story, staff: Staff, *, now: datetime) -> str:
    match reason:
        case Silence.NOT_READY:
            return _moment(call, _("It is waited for until %(moment)s."), recording.deadline(call), now)
        case Silence.GONE:
            return _moment(call, _("UIS was asked at %(moment)s."), call.recording_gone_at, now)
        case Silence.DENIED:
            return call.tenant.uis.get_denied_code_display()
        case Silence.NOT_ASKED:
            return call.get_kept_back_by_display()
        case Silence.NOT_RECORDED:
            return listed(_names(story, staff))
    return ""


def _moment(call: Call, sentence: Text, moment: datetime | None, now: datetime) -> str:
    return str(sentence) % {"moment": clock.said_at(call.tenant, moment, now=now)}


def _names(story: Story, staff: Staff) -> list[str]:
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
    """Return whose talk it is, from when on and how long."""
    person = staff.people.get(part.employee_id or 0)
    words = [str(person)] if person else []
    if part.talk is not None:
        words.append(date_format(part.talk.talk_began_at.astimezone(call.tenant.zone), clock.TIME))
        seconds = part.talk.talk_seconds
        words.append(ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds})
    return ", ".join(words) or gettext("Recording")


def _url(call: Call, number: int) -> str:
    return reverse("admin:telephony_call_play", args=[call.pk, number])


def _link_says(call: Call, link: RecordLink | None, *, now: datetime) -> Text:
    """Return what the CRM got to hear the call by."""
    if link is None:
        return _without_link(call)
    link.tenant = call.tenant
    if link.is_withdrawn:
        return _("The CRM has a link of ours, and that is withdrawn: it opens nothing.")
    until = links.ends_at(call)
    if until is None:
        return _("The CRM has a link of ours, and that works.")
    if until <= now:
        return _("The CRM has a link of ours, and its term is over: it opens nothing.")
    return _moment(call, _("The CRM has a link of ours, and that works until %(moment)s."), until, now)


def _without_link(call: Call) -> Text:
    if call.state != State.UPLOADED:
        return _("The CRM has no link to it yet.")
    if recording.was_passed(call, call.history.all()):
        return _("The CRM has UIS's own link, which we cannot withdraw.")
    return _("The CRM has no link of ours to it.")


def _listener(look: Look, call: Call, *, now: datetime) -> Listener:
    by_link = gettext("by the link in the CRM, from %(address)s") % {"address": look.address or "?"}
    return Listener(at=clock.said_at(call.tenant, look.at, now=now), who=look.username or by_link)
