"""TextChoices of calls: states, steps, directions, results, failure reasons."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.check_results import Responsible
from connector_project.core.choices import Choices


class State(Choices):
    """Processing state of a call."""

    DEBOUNCING = "DEBOUNCING", _("waiting for further events")
    FETCHING_LEGS = "FETCHING_LEGS", _("fetching legs and recording")
    RESOLVING_OWNER = "RESOLVING_OWNER", _("asking the CRM for the manager")
    READY = "READY", _("ready to upload")
    UPLOADED = "UPLOADED", _("uploaded")
    SKIPPED = "SKIPPED", _("skipped by a rule")


PLAIN_SOURCE = "va"  # UIS's word for a call of the PBX, as nearly all are
OPEN_STATES = [State.DEBOUNCING, State.FETCHING_LEGS, State.RESOLVING_OWNER, State.READY]
# States whose step sends requests to UIS or to the CRM.
UIS_STATES = [State.FETCHING_LEGS]
CRM_STATES = [State.RESOLVING_OWNER, State.READY]
# The vendors' names of the rights without which a step can do nothing.
NEEDED_RIGHTS = {State.FETCHING_LEGS: "get.call_legs_report", State.READY: "telephony_write (calls/upload)"}


class Step(Choices):
    """What an entry of the call log is about."""

    RECEIVED = "RECEIVED", _("notification from UIS")
    EVALUATE = "EVALUATE", _("events evaluated")
    FETCH_LEGS = "FETCH_LEGS", _("legs and recording requested from UIS")
    RESOLVE_OWNER = "RESOLVE_OWNER", _("manager requested from the CRM")
    UPLOAD = "UPLOAD", _("uploaded to the CRM")
    RETRIED = "RETRIED", _("retried by a person")
    SKIP = "SKIP", _("permanently skipped by a person")
    RECONCILE = "RECONCILE", _("found in UIS's report, no notification was received")
    REUPLOAD = "REUPLOAD", _("not found in the CRM, uploaded again")
    REOPENED = "REOPENED", _("reopened: UIS told more about the skipped call")
    WAIT_ENDED = "WAIT_ENDED", _("the wait for a voice mail is over")
    LATE_RECORDING = "LATE_RECORDING", _("a recording came after the upload")
    LATE_ANSWER = "LATE_ANSWER", _("an answer was reported after the upload without one; the CRM accepts no correction")


class Direction(Choices):
    IN = "in", _("incoming")
    OUT = "out", _("outgoing")


class Result(Choices):
    """How a call ended for the customer."""

    ANSWERED = "ANSWERED", _("answered")
    NO_ANSWER = "NO_ANSWER", _("no answer")
    BUSY = "BUSY", _("busy")
    FAILED = "FAILED", pgettext_lazy("call result", "failed")
    NOT_ALLOWED = "NOT_ALLOWED", _("not allowed")
    UNKNOWN = "UNKNOWN", _("unknown")


class ImportChoice(Choices):
    """Which calls an import of past calls hands over: the CRM's triggers run for each. The safest comes first."""

    WITHOUT_MISSED = "WITHOUT_MISSED", _("all but missed calls")
    UNANSWERED = "UNANSWERED", _("only missed calls that nobody has answered since")
    ALL = "ALL", _("all calls")


class FailureReason(Choices):
    """Why a call is waiting or has failed."""

    NONE = "", ""
    UIS_UNAVAILABLE = "UIS_UNAVAILABLE", _("UIS could not be reached or asked us to wait")
    UIS_QUOTA = "UIS_QUOTA", _("UIS API points exhausted")
    CRM_UNAVAILABLE = "CRM_UNAVAILABLE", _("the CRM could not be reached or asked us to wait")
    DEBOUNCE = "DEBOUNCE", _("waiting a few seconds for further events")
    LEGS_NOT_READY = "LEGS_NOT_READY", _("UIS does not show the whole call yet")
    RECORDING_NOT_READY = "RECORDING_NOT_READY", _("waiting for the recording")
    VOICE_MAIL_NOT_READY = "VOICE_MAIL_NOT_READY", _("waiting for a voice mail")
    REPORT_NOT_READY = "REPORT_NOT_READY", _("waiting for UIS's report, which the field map needs")
    UIS_DENIED = "UIS_DENIED", _("UIS rejects our access")
    CRM_DENIED = "CRM_DENIED", _("the CRM rejects our access")
    UIS_REFUSED = "UIS_REFUSED", _("UIS refused the request")
    CRM_REFUSED = "CRM_REFUSED", _("the CRM refused this call")
    CRM_NOT_TAKEN = "CRM_NOT_TAKEN", _("the CRM accepted the request, but did not take this call")
    UNEXPECTED_REPLY = "UNEXPECTED_REPLY", _("the answer was not as documented: the connector must be changed")
    INTERNAL_ERROR = "INTERNAL_ERROR", _("internal error: tell the developers of the connector")
    UNKNOWN_TO_UIS = "UNKNOWN_TO_UIS", _("UIS does not know this call")

    @property
    def responsible(self) -> Responsible:
        return _RESPONSIBLE[self]


_RESPONSIBLE = {
    FailureReason.NONE: Responsible.OPERATOR,
    FailureReason.UIS_UNAVAILABLE: Responsible.UIS,
    FailureReason.UIS_QUOTA: Responsible.CLIENT,
    FailureReason.CRM_UNAVAILABLE: Responsible.CRM,
    FailureReason.DEBOUNCE: Responsible.UIS,
    FailureReason.LEGS_NOT_READY: Responsible.UIS,
    FailureReason.RECORDING_NOT_READY: Responsible.UIS,
    FailureReason.VOICE_MAIL_NOT_READY: Responsible.UIS,
    FailureReason.REPORT_NOT_READY: Responsible.UIS,
    FailureReason.UIS_DENIED: Responsible.CLIENT,
    FailureReason.CRM_DENIED: Responsible.CLIENT,
    FailureReason.UIS_REFUSED: Responsible.OPERATOR,
    FailureReason.CRM_REFUSED: Responsible.OPERATOR,
    FailureReason.CRM_NOT_TAKEN: Responsible.CRM,
    FailureReason.UNEXPECTED_REPLY: Responsible.DEVELOPERS,
    FailureReason.INTERNAL_ERROR: Responsible.DEVELOPERS,
    FailureReason.UNKNOWN_TO_UIS: Responsible.UIS,
}
