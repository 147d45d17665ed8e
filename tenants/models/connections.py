"""What a tenant's accounts at UIS and retailCRM have in common: key changes and the circuit breaker."""

from collections.abc import Mapping
from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.circuit_breaker import LIVE_FAILURE_THRESHOLD, PROBE_TERM, backoff
from tenants.models.denials import AccessDenials
from tenants.models.held_account import HeldAccount


def normalise_address(address: str) -> str:
    """Return an account's URL in the form we store and compare: lower case, without a trailing slash."""
    return address.strip().rstrip("/").lower()


class Connection(HeldAccount, AccessDenials):
    """The common part: key changes and the circuit breaker."""

    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)  # requests in a row without a reply
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def is_circuit_open(self, *, is_live: bool, now: datetime) -> bool:
        """Return whether nothing should be sent now; for live work only after several failures in a row."""
        is_backing_off = self.retry_at is not None and now < self.retry_at
        return is_backing_off and (not is_live or self.consecutive_failures >= LIVE_FAILURE_THRESHOLD)

    def record_failure(self, *, wait: float | None, is_live: bool, now: datetime) -> None:
        """Count a request without a reply, and set the next attempt; `wait` is the vendor's Retry-After in seconds.

        Requests that failed at the same time count once, except live ones: each of them blocks a worker.
        """
        if self.pk is None:
            return  # An unsaved connection: its keys are only being tested.
        mine = self._row()
        if not is_live:
            mine = mine.exclude(consecutive_failures=self.consecutive_failures + 1, retry_at__gt=now)
        retry_at = now + backoff(self.consecutive_failures + 1, wait=wait)
        mine.update(consecutive_failures=models.F("consecutive_failures") + 1, retry_at=retry_at)
        self.refresh_from_db(fields=["consecutive_failures", "retry_at"])

    def record_success(self, *proven: str) -> bool:
        """Record a reply, and the subjects it proves to be allowed; return whether what waited may go on."""
        is_lifted = bool(self.denials) and self.lift(*proven)
        if not self.consecutive_failures:
            return is_lifted
        self.consecutive_failures, self.retry_at = 0, None
        failing = self._row().filter(consecutive_failures__gt=0)
        return failing.update(consecutive_failures=0, retry_at=None) == 1 or is_lifted

    def try_half_open(self, *, now: datetime) -> bool:
        """Return whether this worker may send the half-open probe; other workers may not for one minute."""
        due = self._row().filter(consecutive_failures__gt=0, retry_at__lte=now)
        if due.update(retry_at=now + PROBE_TERM) != 1:
            return False
        self.retry_at = now + PROBE_TERM
        return True

    def return_half_open(self) -> None:
        """Let the next worker send the half-open probe: this one had nothing to ask."""
        unused = type(self)._default_manager.filter(pk=self.pk, consecutive_failures__gt=0, retry_at=self.retry_at)
        unused.update(retry_at=timezone.now())

    def is_paused(self, *, now: datetime) -> bool:
        """Return whether requests wait for the vendor."""
        return bool(self.denials) or (self.retry_at is not None and self.retry_at > now)

    def end_pause(self, *, now: datetime) -> None:
        """Let the next request try whether the vendor answers, and allows what it denied."""
        self._row().filter(retry_at__gt=now).update(retry_at=now)
        self.try_rights_now(now=now)

    def change(self, **values: str) -> bool:
        """Store the values that are not empty; a change lifts the denials. Return whether anything changed.

        Raises ValidationError.
        """
        values = self.complete(values)
        changed = {name: old for name, value in values.items() if (old := getattr(self, name)) != value}
        for name in changed:
            setattr(self, name, values[name])
        if changed:
            self.clean_fields(exclude={field.name for field in self._meta.fields} - set(changed))
            self.save(update_fields=list(changed))
            self.try_anew(changed)
        return bool(changed)

    def complete(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values to store for those that were entered: an empty one means no change."""
        return {name: value for name, value in values.items() if value}
