"""Why the CRM has no recording or voice mail of a call, or a link that plays none. Pure."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from connector_project.core.check_results import Responsible
from connector_project.operations.explain.data import CallData
from connector_project.operations.explain.parts import Diagnosis
from telephony.calls import recording_selection
from telephony.models import State
from tenants import datetime_display


def find_missing(data: CallData) -> Iterator[Diagnosis]:
    """Yield why there is none, for an uploaded call."""
    call = data.call
    if call.state != State.UPLOADED:
        return
    has_link = recording_selection.was_passed(call, data.log_entries)
    if call.is_answered and has_link:
        if not call.recording_url:
            yield _late_recording(data)
    elif call.is_answered:
        yield _without_link(data)
    elif call.is_missed and call.recording_url and call.rule_version.value.send_recording and not has_link:
        message = _("UIS had the voice mail only after the upload, so the CRM has no link: play it here.")
        yield Diagnosis("VOICE_MAIL_LATE", message, responsible=Responsible.UIS)


def _without_link(data: CallData) -> Diagnosis:
    call, person = data.call, data.call.employee
    if not call.rule_version.value.send_recording:
        return Diagnosis("RECORDING_NOT_PASSED", _("By the rules, the recording link is not sent."))
    if call.recording_url:
        message = _("UIS had a recording only after the upload, without a link: play it here.")
        return Diagnosis("RECORDING_LATE", message, responsible=Responsible.UIS)
    if person is not None and not recording_selection.is_recorded(person.recording_mode, call.direction):
        message = _("UIS does not record the calls of %(person)s: recording is switched off there.")
        return Diagnosis("RECORDING_OFF", message % {"person": data.person(person)}, responsible=Responsible.CLIENT)
    message = _("UIS had no recording: the call was uploaded without a link.")
    return Diagnosis("RECORDING_LATE", message, responsible=Responsible.UIS)


def _late_recording(data: CallData) -> Diagnosis:
    """The CRM has our link, but UIS has no recording so far."""
    until = recording_selection.expected_until(data.call)
    if data.call.awaits_recording and data.now < until:
        message = _(
            "UIS has no recording yet. The link in the CRM plays it when it comes; until %(moment)s it says so."
        )
        moment = datetime_display.format_short(data.call.tenant, until, now=data.now)
        return Diagnosis("RECORDING_LATE", message % {"moment": moment}, responsible=Responsible.UIS)
    message = _("UIS never had a recording, so the link in the CRM is withdrawn. It works again if one comes.")
    return Diagnosis("RECORDING_NEVER_CAME", message, responsible=Responsible.UIS)
