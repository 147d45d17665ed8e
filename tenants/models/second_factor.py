"""The second factor of staff: one TOTP device per person, and recovery codes."""

import base64
import secrets
from datetime import datetime

from django.conf import settings
from django.db import models
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP

from connector_project.core.encrypted_fields import EncryptedTextField

SECRET_BYTES = 20
STEP_SECONDS, DIGITS = 30, 6
# The step before and the one after: the clock of a phone may be half a minute off.
TOLERANCE = 1
# After that many wrong codes in a row the pause between two guesses grows no more (2^6 = 64 seconds): a stranger who
# knows the password cannot shut the person out for good.
MOST_FAILURES = 7


def generate_secret() -> str:
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


class TotpDevice(ThrottlingMixin, Device):  # type: ignore[misc]  # django-otp has no types
    """An authenticator app; until its first code was right it is not confirmed."""

    secret = EncryptedTextField(default=generate_secret)  # base32, as the app reads it
    last_step = models.BigIntegerField(default=0)  # of the last accepted code: each is accepted once
    confirmed_at = models.DateTimeField(null=True)
    throttling_failure_count: int  # of django-otp

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "confirmed"], name="one_totp_device")]

    def verify_token(self, token: str, *, now: datetime) -> bool:
        """Return whether a code is right and new, and remember it. The row must be locked, and not be paused."""
        totp = TOTP(base64.b32decode(self.secret), step=STEP_SECONDS, digits=DIGITS)
        totp.time = now.timestamp()
        is_number = len(token) == DIGITS and token.isascii() and token.isdigit()
        if not (is_number and totp.verify(int(token), tolerance=TOLERANCE, min_t=self.last_step + 1)):
            self.throttle_increment()
            return False
        self.last_step = totp.t()
        self.throttle_reset()
        return True

    def throttle_increment(self, commit: bool = True) -> None:
        self.throttling_failure_count = min(self.throttling_failure_count, MOST_FAILURES - 1)
        super().throttle_increment(commit)

    def get_throttle_factor(self) -> int:
        return 1


class RecoveryCode(models.Model):
    """A code that replaces the authenticator app once; it is deleted when it is used."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, unique=True)

    def __str__(self) -> str:
        return f"recovery code {self.pk}"
