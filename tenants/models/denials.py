"""What a vendor denies to one account: recorded by the request that was refused, lifted when the same is allowed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core.http_client import ACCOUNT, MODULE, AccessDenied
from connector_project.core.task_queue import enqueue
from tenants import access_errors
from tenants.access_errors import FORGET_AFTER, RIGHT_PROBE_PAUSE, SWITCHED_OFF, Denial

# Until then a denial of everything is confirmed, or was a stray answer.
CONFIRM_WITHIN = timedelta(minutes=1)
IDENTITY = {"brand", "access_token", "address", "key"}  # the fields that say which account it is


class AccessDenials(models.Model):
    """Several denials may hold at once, each of its own subject; one of everything suspends the connection.

    The row holds them, so that a request needs no further query to know them.
    """

    PROBE_TASK = ""  # checks whether the vendor accepts our key

    denials = models.JSONField(default=dict, editable=False)  # by subject, as access_errors.Denial
    # Since when everything is denied: follows from `denials`.
    denied_at = models.DateTimeField(_("access denied since"), null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def denied(self) -> dict[str, Denial]:
        """What is denied now, by subject: what denies everything first."""
        return access_errors.from_json(self.denials)

    @property
    def suspension(self) -> Denial | None:
        """Why everything is denied; None if it is not."""
        return next((one for one in self.denied.values() if not one.right), None)

    @property
    def denied_code(self) -> str:
        return self.suspension.code if self.suspension else ""

    def denial_of(self, right: str, *, now: datetime) -> Denial | None:
        """Return what keeps a request that needs this right from being sent; a denied right is tried now and then."""
        if self.suspension or self.try_right(right, now=now):
            return self.suspension
        return self.denied[right]

    def record_denial(self, exc: Exception, *, is_confirmed: bool = False, now: datetime) -> None:
        """Record what the vendor denies, if that is the error; the denial holds until the same is allowed.

        One answer is no verdict on an account: unless it is confirmed, the probe asks once more. It also looks at once
        whether our module is switched off, if a request was refused for that.
        """
        if not isinstance(exc, AccessDenied) or self.pk is None:
            return
        is_answer = exc.code not in access_errors.OWN_REFUSALS
        if is_answer and exc.subject in {ACCOUNT, MODULE} and exc.subject not in self.denials and not is_confirmed:
            with transaction.atomic():
                enqueue(self.PROBE_TASK, self.tenant_id)  # type: ignore[attr-defined]
            if exc.subject == ACCOUNT:
                return
        self.suspend(exc.code, str(exc), subject=exc.subject, now=now)

    def suspend(self, code: str, detail: str, *, subject: str = ACCOUNT, now: datetime) -> None:
        """Record a denial; other ones stay in force beside it."""
        with self._changing_denials() as denied:
            # Each time that people switch the module off counts: it may come after an edit that switched it on.
            is_known = subject in denied and subject != SWITCHED_OFF
            since = denied[subject].since if is_known else now
            denied[subject] = Denial(subject, code, detail, since=since, retry_at=now + RIGHT_PROBE_PAUSE)

    def lift(self, *subjects: str) -> bool:
        """Lift these denials, unless they are newer than this object knows; return whether one was lifted."""
        known = self.denied
        if known.keys().isdisjoint(subjects):
            return False
        with self._changing_denials() as denied:
            same = [one for one in known.keys() & denied & set(subjects) if denied[one].since == known[one].since]
            for subject in same:
                del denied[subject]
        return bool(same)

    def restore(self, *, is_new_account: bool = False) -> None:
        """Try everything again with new settings; in the same account people have switched our module off as before."""
        with self._changing_denials() as denied:
            for subject in denied.keys() - (set() if is_new_account else {SWITCHED_OFF}):
                del denied[subject]

    def try_anew(self, changed: Mapping[str, Any]) -> None:
        """Lift the denials after a change of these fields, given with their old values.

        A new key of a live client is verified at once.
        """
        self.restore(is_new_account="address" in changed)
        tenant = self.tenant  # type: ignore[attr-defined]
        if tenant.is_live and not IDENTITY.isdisjoint(changed):
            enqueue(self.PROBE_TASK, tenant.pk)

    @classmethod
    def forget_unused(cls, *, now: datetime) -> None:
        """Lift denials of rights that nothing has needed for long: their feature may be switched off by now."""
        for connection in cls._default_manager.exclude(denials={}).only("denials"):
            unused = [one for one in connection.denied.values() if one.right and one.retry_at < now - FORGET_AFTER]
            connection.lift(*(one.subject for one in unused))

    def try_right(self, right: str, *, now: datetime) -> bool:
        """Return whether a request that needs this right may be sent; while it is denied, by one worker at a time."""
        if right not in self.denials:
            return True
        with self._changing_denials() as denied:
            denial = denied.get(right)
            is_free = denial is None or denial.retry_at <= now
            if denial and is_free:
                denied[right] = replace(denial, retry_at=now + RIGHT_PROBE_PAUSE)
        return is_free

    def try_rights_now(self, *, now: datetime) -> None:
        """Let the next request try each right that is denied."""
        with self._changing_denials() as denied:
            for subject, denial in denied.items():
                denied[subject] = replace(denial, retry_at=min(denial.retry_at, now))

    def next_try_at(self, subject: str, *, now: datetime) -> datetime:
        """Return when what was denied just now may be tried again, if nothing lifts the denial before."""
        denial = self.denied.get(subject)
        return denial.retry_at if denial and denial.right else now + CONFIRM_WITHIN

    def _row(self) -> models.QuerySet[Self]:
        return type(self)._default_manager.filter(pk=self.pk)

    @contextmanager
    def _changing_denials(self) -> Iterator[dict[str, Denial]]:
        """Lock the row, and store what the body makes of its denials."""
        with transaction.atomic():
            stored = self._row().select_for_update().values_list("denials", flat=True).get()
            denied = access_errors.from_json(stored)
            yield denied
            self.denials = access_errors.to_json(denied.values())
            self.denied_at = self.suspension.since if self.suspension else None
            if self.denials != stored:
                self._row().update(denials=self.denials, denied_at=self.denied_at)
