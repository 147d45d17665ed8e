"""Why a recording cannot be heard: the code, and the sentence that tells it to a person."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Silence(models.TextChoices):
    """The reason why there is nothing to hear."""

    LEFT = "LEFT", _("The company is not connected any more, and its recordings are not given out.")
    OFF = "OFF", _("Recordings are switched off by the company's own rule.")
    WITHDRAWN = "WITHDRAWN", _("The link to this recording has been withdrawn.")
    EXPIRED = "EXPIRED", _("The link to this recording was good for a term only, and that is over.")
    GONE = "GONE", _("UIS does not keep this recording any more.")
    NOT_ANSWERED = "NOT_ANSWERED", _("Nobody talked, so there is nothing to hear.")
    NOT_TOLD = "NOT_TOLD", _("UIS has not told of the whole call yet.")
    NOT_READY = "NOT_READY", _("UIS has not got the recording ready yet.")
    NOT_ASKED = "NOT_ASKED", _("The call is not passed on, so UIS was not asked for its recording.")
    NOT_RECORDED = "NOT_RECORDED", _("UIS does not record the talks of this employee.")
    NONE_CAME = "NONE_CAME", _("UIS had no recording when it was asked for one.")
    DENIED = "DENIED", _("UIS does not let the connector in.")
    REFUSED = "REFUSED", _("UIS does not give the recording out.")
    AWAY = "AWAY", _("UIS does not answer at the moment. Try again in a minute.")
    BUSY = "BUSY", _("Too many recordings are being played at the moment. Try again in a few seconds.")

    @property
    def is_for_good(self) -> bool:
        """Whether it is of no use to try again."""
        return self in {Silence.LEFT, Silence.OFF, Silence.WITHDRAWN, Silence.EXPIRED, Silence.GONE}


class Unheard(Exception):
    """A recording cannot be heard; `reason` says why."""

    def __init__(self, reason: Silence) -> None:
        super().__init__(reason.value)
        self.reason = reason
