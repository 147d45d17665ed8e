"""How long a call is retried: what counts as an attempt, the delays between attempts, and when it fails."""

import random
from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.http_client import RemoteUnavailable
from connector_project.core.jobs import LeasedJob
from telephony.models.choices import FailureReason
from tenants.models import Connection

SUSPECT_AFTER_ATTEMPTS = 3  # failed attempts after which a call may itself be the cause
RETRY_WINDOW = timedelta(days=3)
RETRY_DELAYS_SECONDS = (10, 30, 60, 300, 900, 1700)  # with the jitter never half an hour without a try
MAX_JITTER_SECONDS = 60.0
# An answer that is not as documented may be an accident: so many in a row are not.
MAX_UNEXPECTED_REPLIES = 8
# A call that waits for one of these was not tried: nobody has seen it.
WAITING_REASONS = frozenset(
    {
        FailureReason.UIS_UNAVAILABLE,
        FailureReason.UIS_QUOTA,
        FailureReason.UIS_DENIED,
        FailureReason.CRM_UNAVAILABLE,
        FailureReason.CRM_DENIED,
    }
)


class RetriedJob(LeasedJob):
    """A leased job whose step is retried, for the reason it has, until it succeeds or fails."""

    reason = models.CharField(
        _("reason"), max_length=24, choices=FailureReason.as_choices, blank=True, default=FailureReason.NONE
    )
    detail = models.TextField(_("detail"), blank=True)
    failed_at = models.DateTimeField(_("failed at"), null=True)
    retry_window_started_at = models.DateTimeField(_("retries counted from"))
    # When this step was first tried, since the call last waited for a vendor or for access.
    first_attempt_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True

    def postpone_until(self, moment: datetime, reason: FailureReason, detail: str = "") -> None:
        """Stay in this state until `moment`, for the given reason.

        Where the call only waits for a vendor or for access, the attempt does not count, and the days in which it may
        be retried begin anew.
        """
        if reason in WAITING_REASONS:
            self.attempts, self.first_attempt_at = max(self.attempts - 1, 0), None
        self.reason, self.detail = reason, detail
        self.release(moment)

    def postpone(self, reason: FailureReason, detail: str = "", *, now: datetime) -> None:
        """Retry after an increasing delay; fail after three days of tries."""
        self.first_attempt_at = self.first_attempt_at or now
        if now - self.first_attempt_at > RETRY_WINDOW and self.attempts > SUSPECT_AFTER_ATTEMPTS:
            return self.fail(reason, detail, now=now)
        return self.delay(reason, detail, now=now)

    def delay(self, reason: FailureReason, detail: str = "", *, now: datetime, wait: float | None = None) -> None:
        """Retry after an increasing delay, or after the vendor's own `wait` in seconds."""
        pause = wait if wait is not None else RETRY_DELAYS_SECONDS[min(self.attempts, len(RETRY_DELAYS_SECONDS)) - 1]
        # Jitter only adds to the delay: a retry before the vendor's `wait` would be rejected.
        jitter = random.uniform(0, min(pause / 5, MAX_JITTER_SECONDS))  # noqa: S311 -- no secret depends on it
        self.reason, self.detail = reason, detail
        return self.release(now + timedelta(seconds=pause + jitter))

    def postpone_for_vendor(
        self, vendor: Connection, fault: RemoteUnavailable, reason: FailureReason, *, now: datetime
    ) -> None:
        """Retry when the vendor may be back; if it was already unavailable, the call was not the cause.

        However long it lasts, no call fails for it: the vendor may answer everything else. A fault that the connection
        did not count never reached the vendor: our own rate limit was exhausted.
        """
        if not vendor.consecutive_failures:
            pause = fault.wait or RETRY_DELAYS_SECONDS[0]
            return self.postpone_until(now + timedelta(seconds=pause), reason, str(fault))
        if vendor.consecutive_failures == 1:
            return self.delay(reason, str(fault), now=now, wait=fault.wait)
        return self.postpone_until(vendor.retry_at or now, reason, str(fault))

    def postpone_unexpected(self, reason: FailureReason, detail: str, *, now: datetime) -> None:
        """Retry after an answer that was not as documented; after several in a row the call fails."""
        if self.reason != reason:
            self.attempts = 1
        if self.attempts >= MAX_UNEXPECTED_REPLIES:
            return self.fail(reason, detail, now=now)
        return self.postpone(reason, detail, now=now)

    def fail(self, reason: FailureReason, detail: str = "", *, now: datetime) -> None:
        """Stop retrying; a person must act."""
        self.reason, self.detail, self.failed_at = reason, detail, now
        self.release(None)
