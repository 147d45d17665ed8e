"""Why a recording cannot be played: codes and texts."""

from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices


class UnavailableReason(Choices):
    OFFBOARDED = "OFFBOARDED", _("The company is no longer connected. Its recordings are not available.")
    OFF = "OFF", _("The company has turned off recordings.")
    REVOKED = "REVOKED", _("The link to this recording has been revoked.")
    EXPIRED = "EXPIRED", _("The link to this recording has expired.")
    MISSING = "MISSING", _("UIS no longer has this recording.")
    NOT_ANSWERED = "NOT_ANSWERED", _("Nobody talked, so there is no recording.")
    UNKNOWN = "UNKNOWN", _("UIS has not reported the whole call yet.")
    NOT_READY = "NOT_READY", _("The recording is not ready at UIS yet.")
    NOT_FETCHED = "NOT_FETCHED", _("The call is skipped, so its recording was not requested from UIS.")
    NOT_RECORDED = "NOT_RECORDED", _("UIS does not record the talks of this employee.")
    NEVER_CAME = "NEVER_CAME", _("UIS had no recording of this call when we checked.")
    DENIED = "DENIED", _("UIS rejects the connector's access.")
    REFUSED = "REFUSED", _("UIS does not provide the recording.")
    UNAVAILABLE = "UNAVAILABLE", _("UIS is not responding. Try again in a minute.")
    BUSY = "BUSY", _("Too many recordings are being played. Try again in a few seconds.")

    @property
    def is_permanent(self) -> bool:
        """Whether a retry is useless, as far as is known: a recording that comes after all is played."""
        return self in {
            UnavailableReason.OFFBOARDED,
            UnavailableReason.OFF,
            UnavailableReason.REVOKED,
            UnavailableReason.EXPIRED,
            UnavailableReason.MISSING,
            UnavailableReason.NEVER_CAME,
        }


class RecordingUnavailable(Exception):
    """A recording cannot be played; `reason` is why."""

    def __init__(self, reason: UnavailableReason) -> None:
        super().__init__(reason.value)
        self.reason = reason
