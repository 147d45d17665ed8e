"""View model of the recording panel on a call's page: tracks, link status and who listened."""

from datetime import datetime
from functools import cached_property

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text, join_limited
from telephony.calls import recording_selection
from telephony.calls.recording_selection import Part
from telephony.calls.sources import Sources
from telephony.models import AccessLogEntry, Call, RecordingLink, State
from telephony.models.choices import NEEDED_RIGHTS
from telephony.recordings import links, stream
from telephony.recordings.unavailable import UnavailableReason
from tenants import datetime_display

PLAYS_SHOWN = 10
_WITHDRAWN = {UnavailableReason.NEVER_CAME, UnavailableReason.NOT_RECORDED, UnavailableReason.MISSING}


class RecordingPanel:
    """The panel of a call that is loaded by `Call.objects.with_related()`, in the active language.

    Makes no remote calls, and five queries for any number of tracks.
    """

    def __init__(self, call: Call, *, now: datetime) -> None:
        self.call, self.now = call, now
        known = Sources.load(call.tenant, [call.session_id])
        self._staff, (self._resolution, _owner) = known.staff, known.resolve(call)
        self._parts = recording_selection.parts(call, self._resolution)
        self.link = RecordingLink.objects.filter(call=call).first()  # our link, if the CRM has one
        if self.link:
            self.link.tenant = call.tenant

    @cached_property
    def reason(self) -> UnavailableReason | None:
        """Why nothing can be played, as far as our rows show."""
        call = self.call
        if blocked := stream.blocked_reason(call):
            return blocked
        if call.recording_missing_since is not None and call.recording_url:
            return UnavailableReason.MISSING
        if self._parts:
            return None
        if call.result and not call.is_answered:
            return UnavailableReason.NOT_ANSWERED
        if not call.has_legs:
            return self._missing_legs_reason()
        if call.state == State.FETCHING_LEGS:
            return UnavailableReason.NOT_READY
        if recording_selection.expected(call, self._resolution, self._staff):
            return stream.absence_reason(call, now=self.now)
        return UnavailableReason.NOT_RECORDED

    @cached_property
    def message(self) -> str:
        """The reason as a sentence, with details."""
        return f"{self.reason.label} {self._details(self.reason)}".strip() if self.reason else ""

    @cached_property
    def tracks(self) -> list[tuple[str, str]]:
        """The title and URL of each recording that the admin can play."""
        if self.reason:
            return []
        titles = [self._title(part) for part in self._parts]
        if len(titles) > 1:
            titles = [f"{number}. {title}" for number, title in enumerate(titles, start=1)]
        whole = [gettext("The whole call")] if recording_selection.whole_call_url(self.call, self._resolution) else []
        numbers = range(1 - len(whole), len(titles) + 1)
        url = "admin:telephony_call_play"
        return [
            (title, reverse(url, args=[self.call.pk, number]))
            for number, title in zip(numbers, [*whole, *titles], strict=True)
        ]

    @cached_property
    def link_message(self) -> str:
        """The CRM's link and its status."""
        if self.link is None:
            return str(self._without_link())
        until = links.ends_at(self.call)
        if self.link.is_revoked:
            return gettext("The CRM has a revoked recording link.")
        if until is not None and until <= self.now:
            return gettext("The CRM has an expired recording link.")
        if self.reason == UnavailableReason.NOT_READY:
            return gettext(
                "The CRM has our recording link: it says that the recording is not ready, and plays it then."
            )
        if self.reason in _WITHDRAWN:
            return gettext("The recording link in the CRM is withdrawn. It works again if a recording comes.")
        if until is None:
            return gettext("The CRM has a working recording link.")
        return self._with_time(_("The CRM has a recording link that works until %(moment)s."), until)

    @cached_property
    def plays(self) -> list[tuple[str, str]]:
        """When and by whom the recording was played, latest first."""
        entries = self.call.access_log.filter(kind=AccessLogEntry.Kind.RECORDING)[:PLAYS_SHOWN]
        anonymous = gettext("by link from the CRM, address %(address)s")
        return [
            (
                datetime_display.format_short(self.call.tenant, entry.at, now=self.now),
                entry.username or anonymous % {"address": entry.address or "?"},
            )
            for entry in entries
        ]

    def _missing_legs_reason(self) -> UnavailableReason:
        """Return why the legs have not been fetched."""
        if self.call.is_done:
            return UnavailableReason.NOT_FETCHED
        uis = self.call.tenant.uis
        is_denied = uis.denied_at or NEEDED_RIGHTS[State.FETCHING_LEGS] in uis.denials
        return UnavailableReason.DENIED if is_denied else UnavailableReason.UNKNOWN

    def _details(self, reason: UnavailableReason) -> str:
        call = self.call
        match reason:
            case UnavailableReason.NOT_READY:
                is_waiting = call.state == State.FETCHING_LEGS
                until = recording_selection.deadline(call) if is_waiting else recording_selection.expected_until(call)
                return self._with_time(_("Waiting for it until %(moment)s."), until)
            case UnavailableReason.MISSING:
                return self._with_time(_("Last checked: %(moment)s."), call.recording_missing_since)
            case UnavailableReason.DENIED:
                return next((one.label for one in call.tenant.uis.denied.values()), "")
            case UnavailableReason.NOT_FETCHED:
                return call.get_skip_reason_display()
            case UnavailableReason.NOT_RECORDED:
                known = self._staff.employees
                talkers = dict.fromkeys(self._resolution.talker_ids)
                return join_limited(known[uis_id] for uis_id in talkers if uis_id in known)
        return ""

    def _with_time(self, sentence: Text, moment: datetime | None) -> str:
        return str(sentence) % {"moment": datetime_display.format_short(self.call.tenant, moment, now=self.now)}

    def _title(self, part: Part) -> str:
        """Return the employee, start and duration of the talk."""
        employee = self._staff.employees.get(part.employee_id or 0)
        details = [str(employee)] if employee else []
        if part.talk is not None:
            at, seconds = part.talk.talk_started_at.astimezone(self.call.tenant.zone), part.talk.talk_seconds
            details.append(date_format(at, datetime_display.TIME))
            details.append(ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds})
        return ", ".join(details) or gettext("Recording")

    def _without_link(self) -> Text:
        if self.call.state != State.UPLOADED:
            return _("The CRM has no recording link yet.")
        if recording_selection.was_passed(self.call, self.call.history.all()):
            return _("The CRM has UIS's own link, which we cannot revoke.")
        return _("The CRM has no recording link from us.")
