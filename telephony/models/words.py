"""TextChoices of calls: states, steps, directions, results, failure reasons."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class State(models.TextChoices):
    """Processing state of a call."""

    SETTLING = "SETTLING", _("waiting for further events")
    COLLECTING = "COLLECTING", _("fetching legs and recording")
    OWNING = "OWNING", _("asking the CRM for the manager")
    READY = "READY", _("ready to upload")
    UPLOADED = "UPLOADED", _("uploaded")
    SKIPPED = "SKIPPED", _("skipped by a rule")


# States whose step sends requests to UIS or to the CRM.
OF_UIS = [State.COLLECTING]
OF_CRM = [State.OWNING, State.READY]


class Step(models.TextChoices):
    """What an entry of the call log is about."""

    RECORD = "RECORD", _("notification from UIS")
    SETTLE = "SETTLE", _("events evaluated")
    COLLECT = "COLLECT", _("legs and recording requested from UIS")
    OWNER = "OWNER", _("manager requested from the CRM")
    UPLOAD = "UPLOAD", _("uploaded to the CRM")
    PERSON = "PERSON", _("retried by a person")
    SKIP = "SKIP", _("permanently skipped by a person")
    RECONCILE = "RECONCILE", _("found in UIS's report, no notification was received")
    LOOKUP = "LOOKUP", _("not found in the CRM, uploaded again")
    LATE = "LATE", _("a talk was reported after the upload as missed; the CRM accepts no correction")


class Direction(models.TextChoices):
    IN = "in", _("incoming")
    OUT = "out", _("outgoing")


class Result(models.TextChoices):
    """How a call ended for the customer."""

    ANSWERED = "ANSWERED", _("answered")
    NO_ANSWER = "NO_ANSWER", _("no answer")
    BUSY = "BUSY", _("busy")
    FAILED = "FAILED", pgettext_lazy("call result", "failed")
    NOT_ALLOWED = "NOT_ALLOWED", _("not allowed")
    UNKNOWN = "UNKNOWN", _("unknown")


class Who(models.TextChoices):
    """Who has to act so that a call can continue."""

    CLIENT = "CLIENT", _("the client")
    OPERATOR = "OPERATOR", _("the operator")
    DEVELOPERS = "DEVELOPERS", _("the developers")
    UIS = "UIS", _("UIS")
    CRM = "CRM", _("the CRM")


class Cause(models.TextChoices):
    """Why a call is waiting or has failed."""

    NONE = "", ""
    UIS_UNAVAILABLE = "UIS_UNAVAILABLE", _("UIS could not be reached or asked us to wait")
    UIS_POINTS = "UIS_POINTS", _("UIS API points exhausted")
    CRM_UNAVAILABLE = "CRM_UNAVAILABLE", _("the CRM could not be reached or asked us to wait")
    NOT_SETTLED = "NOT_SETTLED", _("waiting a few seconds for further events")
    LEGS_NOT_READY = "LEGS_NOT_READY", _("UIS does not show the whole call yet")
    RECORDING_NOT_READY = "RECORDING_NOT_READY", _("waiting for the recording")
    UIS_DENIED = "UIS_DENIED", _("UIS rejects our access")
    CRM_DENIED = "CRM_DENIED", _("the CRM rejects our access")
    UIS_REFUSED = "UIS_REFUSED", _("UIS refused the request")
    CRM_REFUSED = "CRM_REFUSED", _("the CRM refused this call")
    UNEXPECTED_REPLY = "UNEXPECTED_REPLY", _("the answer was not as documented: the connector must be changed")
    OUR_FAULT = "OUR_FAULT", _("internal error: tell the developers of the connector")
    UNKNOWN_TO_UIS = "UNKNOWN_TO_UIS", _("UIS does not know this call")

    @property
    def who(self) -> Who:
        return _WHO[self]


_WHO = {
    Cause.NONE: Who.OPERATOR,
    Cause.UIS_UNAVAILABLE: Who.UIS,
    Cause.UIS_POINTS: Who.CLIENT,
    Cause.CRM_UNAVAILABLE: Who.CRM,
    Cause.NOT_SETTLED: Who.UIS,
    Cause.LEGS_NOT_READY: Who.UIS,
    Cause.RECORDING_NOT_READY: Who.UIS,
    Cause.UIS_DENIED: Who.CLIENT,
    Cause.CRM_DENIED: Who.CLIENT,
    Cause.UIS_REFUSED: Who.OPERATOR,
    Cause.CRM_REFUSED: Who.OPERATOR,
    Cause.UNEXPECTED_REPLY: Who.DEVELOPERS,
    Cause.OUR_FAULT: Who.DEVELOPERS,
    Cause.UNKNOWN_TO_UIS: Who.UIS,
}
