"""The inbox: each webhook as it came, and what was made of it."""

import hashlib
from datetime import datetime, timedelta
from typing import Self

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant

# Long enough for the request that stored the row to decide it; the sweep takes what is left.
UNDECIDED_AFTER = timedelta(seconds=60)
LONGEST_EVENT = 40
# All that a decision writes: the body, which is the bulk of the row, is never written again.
DECIDED = [
    *["key", "event", "session_id", "employee_uis_id", "happened_at"],
    *["outcome", "reason", "detail", "next_attempt_at"],
]


class Notification(models.Model):
    """One webhook of UIS."""

    class Outcome(models.TextChoices):
        RECEIVED = "RECEIVED", _("not yet looked at")
        QUEUED = "QUEUED", _("on its way")
        DONE = "DONE", _("done")
        REPEATED = "REPEATED", _("a repeat")
        DROPPED = "DROPPED", _("dropped")
        UNREADABLE = "UNREADABLE", _("unreadable")

    class Reason(models.TextChoices):
        NONE = "", ""
        EMPTY = "EMPTY", _("the body is empty")
        NOT_JSON = "NOT_JSON", _("the body is not JSON: check the template for missing commas and brackets")
        NO_EVENT = "NO_EVENT", _("the template has no field “event”")
        UNKNOWN_EVENT = "UNKNOWN_EVENT", _("the field “event” holds a word we do not know")
        NO_SESSION = "NO_SESSION", _("call_session_id is missing or was not filled in")
        STALE = "STALE", _("it came too late for a pop-up")
        CALL_OVER = "CALL_OVER", _("the call was over before the pop-up could be shown")
        COLLEAGUE_ANSWERED = "COLLEAGUE_ANSWERED", _("a colleague had answered already")
        PAUSED = "PAUSED", _("the client is paused or not activated: no pop-ups")
        CRM_DENIED = "CRM_DENIED", _("the CRM does not let us in")
        NO_EMPLOYEE = "NO_EMPLOYEE", _("UIS named no employee")
        UNKNOWN_EMPLOYEE = (
            "UNKNOWN_EMPLOYEE",
            _("the employee is not in our list, or has neither extension nor CRM user"),
        )
        ALREADY_SHOWN = "ALREADY_SHOWN", _("the card is on the screen already")
        RULE = "RULE", _("kept back by a rule")
        CRM_AWAY = "CRM_AWAY", _("the CRM had not answered several times in a row")
        CRM_FAILED = "CRM_FAILED", _("the CRM did not take it")
        NOTHING_TO_DO = "NOTHING_TO_DO", _("nothing to do")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="notifications", verbose_name=_("client"))
    received_at = models.DateTimeField(_("received"))
    path_event = models.CharField(_("event in the address"), max_length=LONGEST_EVENT, blank=True)
    is_old_address = models.BooleanField(default=False, editable=False)  # it came to the address before the present one
    query = models.TextField(_("query"), blank=True)
    body = models.TextField(_("body"), blank=True)
    digest = models.CharField(max_length=64)
    repeats = models.PositiveIntegerField(_("repeats"), default=0)
    key = models.CharField(max_length=200, null=True, editable=False)  # noqa: DJ001 -- undecided rows have none, and many may
    event = models.CharField(_("event"), max_length=20, blank=True)
    session_id = models.BigIntegerField(_("session"), null=True)
    employee_uis_id = models.BigIntegerField(null=True)
    happened_at = models.DateTimeField(_("happened"), null=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices, default=Outcome.RECEIVED)
    reason = models.CharField(_("reason"), max_length=24, choices=Reason.choices, blank=True, default=Reason.NONE)
    detail = models.TextField(_("detail"), blank=True)
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-received_at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="notification_stored_once"),
            models.UniqueConstraint(fields=["tenant", "key"], name="notification_decided_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "session_id"], name="notification_by_session"),
            models.Index(
                fields=["next_attempt_at"],
                name="notification_undecided",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["-received_at", "-id"], name="notification_newest"),
            models.Index(fields=["tenant", "-received_at"], name="notification_of_tenant"),
            models.Index(fields=["tenant", "event", "-received_at"], name="notification_of_event"),
            models.Index(
                fields=["tenant", "path_event", "reason", "-received_at"],
                name="notification_unreadable",
                condition=models.Q(outcome="UNREADABLE"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event or self.path_event or '?'} {self.session_id or ''}"

    @classmethod
    def store(
        cls, tenant: Tenant, *, event: str, query: str, body: str, now: datetime, is_old_address: bool = False
    ) -> Self | None:
        """Commit a webhook as it came; a body that came before is counted on its row, and None returned."""
        digest = hashlib.sha256("\0".join((event, query, body)).encode(errors="surrogatepass")).hexdigest()
        # PostgreSQL takes no NUL in a text, and anybody can write anything into an address.
        body, event = body.replace("\0", "\ufffd"), event.replace("\0", "\ufffd")[:LONGEST_EVENT]
        try:
            with transaction.atomic():
                return cls.objects.create(
                    tenant=tenant,
                    received_at=now,
                    path_event=event,
                    is_old_address=is_old_address,
                    query=query,
                    body=body,
                    digest=digest,
                    next_attempt_at=now + UNDECIDED_AFTER,
                )
        except IntegrityError:
            cls.objects.filter(tenant=tenant, digest=digest).update(repeats=models.F("repeats") + 1)
            return None

    def close(self, outcome: Outcome, reason: str = "", detail: str = "") -> None:
        """Write how it ended; nothing will look at it again."""
        self.outcome, self.reason, self.detail = outcome, reason, detail
        self.next_attempt_at = None
        self.save(update_fields=DECIDED)

    def hand_on(self, *, until: datetime) -> None:
        """Leave it to a task; the sweep looks again after `until`, for the push may be lost."""
        self.outcome, self.next_attempt_at = self.Outcome.QUEUED, until
        self.save(update_fields=DECIDED)
