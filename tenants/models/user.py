"""The staff user; a model of our own, so that it can grow fields later."""

from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.crypto import salted_hmac


class User(AbstractUser):  # type: ignore[django-manager-missing]  # django-otp has no types
    """An operator or support agent. Clients have no account here: they use their activation link."""

    # Sessions of an older epoch are over; `staff_accounts.end_sessions` begins a new one.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)

    def get_session_auth_hash(self) -> str:
        """Return what each session must carry: it changes with the password and the epoch."""
        return self._session_hash()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for secret in settings.SECRET_KEY_FALLBACKS:
            yield self._session_hash(secret)

    def _session_hash(self, secret: str | bytes | None = None) -> str:
        state = f"{self.session_epoch} {self.password}"
        return salted_hmac("tenants.User.session", state, secret=secret, algorithm="sha256").hexdigest()
