"""The words of the ledger: states, steps, directions, results, causes."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """How far a call has come."""

    SETTLING = "SETTLING", _("waiting whether more is told")
    COLLECTING = "COLLECTING", _("collecting legs and recording")
    OWNING = "OWNING", _("asking the CRM for the manager")
    READY = "READY", _("ready to upload")
    UPLOADED = "UPLOADED", _("uploaded")
    SKIPPED = "SKIPPED", _("skipped by a rule")


# Which account the next step asks something of.
OF_UIS = [State.COLLECTING]
OF_CRM = [State.OWNING, State.READY]


class Step(models.TextChoices):
    """What a try was about."""

    RECORD = "RECORD", _("told by UIS")
    SETTLE = "SETTLE", _("all that was told weighed up")
    COLLECT = "COLLECT", _("legs and recording asked of UIS")
    OWNER = "OWNER", _("manager asked of the CRM")
    UPLOAD = "UPLOAD", _("uploaded to the CRM")
    PERSON = "PERSON", _("set going again by a person")
    SKIP = "SKIP", _("skipped for good by a person")
    RECONCILE = "RECONCILE", _("found in UIS's list, no notification told of it")
    LOOKUP = "LOOKUP", _("not found in the CRM, uploaded again")
    LATE = "LATE", _("told of a talk after the call was uploaded as missed; the CRM takes no correction")


class Direction(models.TextChoices):
    """Which way a call went."""

    IN = "in", _("incoming")
    OUT = "out", _("outgoing")


class Result(models.TextChoices):
    """How a call ended for the customer."""

    ANSWERED = "ANSWERED", _("answered")
    NO_ANSWER = "NO_ANSWER", _("no answer")
    BUSY = "BUSY", _("busy")
    FAILED = "FAILED", _("failed")
    NOT_ALLOWED = "NOT_ALLOWED", _("not allowed")
    UNKNOWN = "UNKNOWN", _("unknown")


class Who(models.TextChoices):
    """Who has to act so that a call goes on."""

    CLIENT = "CLIENT", _("the client")
    OPERATOR = "OPERATOR", _("the operator")
    DEVELOPERS = "DEVELOPERS", _("the developers")
    UIS = "UIS", _("UIS")
    CRM = "CRM", _("the CRM")


class Cause(models.TextChoices):
    """Why a call is not where it should be: the reason of a wait or of a stop."""

    NONE = "", ""
    UIS_UNAVAILABLE = "UIS_UNAVAILABLE", _("UIS could not be reached or asked us to wait")
    UIS_POINTS = "UIS_POINTS", _("the points of UIS are used up for now")
    CRM_UNAVAILABLE = "CRM_UNAVAILABLE", _("the CRM could not be reached or asked us to wait")
    NOT_SETTLED = "NOT_SETTLED", _("waiting some seconds whether more is told of the call")
    LEGS_NOT_READY = "LEGS_NOT_READY", _("UIS does not show the whole call yet")
    RECORDING_NOT_READY = "RECORDING_NOT_READY", _("waiting for the recording")
    UIS_DENIED = "UIS_DENIED", _("UIS does not let us in")
    CRM_DENIED = "CRM_DENIED", _("the CRM does not let us in")
    UIS_REFUSED = "UIS_REFUSED", _("UIS refused the request")
    CRM_REFUSED = "CRM_REFUSED", _("the CRM refused this call")
    UNEXPECTED_REPLY = "UNEXPECTED_REPLY", _("the answer was not as documented: the connector must be changed")
    OUR_FAULT = "OUR_FAULT", _("a fault of the connector: tell its developers")
    UNKNOWN_TO_UIS = "UNKNOWN_TO_UIS", _("UIS does not know this call")

    @property
    def who(self) -> Who:
        """Who has to act."""
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
