"""The Notification model: each received webhook and its outcome."""

import hashlib
from datetime import datetime, timedelta
from typing import Self

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from tenants.models import Tenant

# Long enough for the request that stored the row to process it; the sweep processes the rest.
REPROCESS_AFTER = timedelta(seconds=60)
LONGEST_EVENT = 40
# The fields that processing writes; the body, the largest part of the row, is never rewritten.
PROCESSING_FIELDS = [
    *["key", "event", "session_id", "employee_uis_id", "happened_at"],
    *["outcome", "reason", "detail", "next_attempt_at"],
]


class Notification(models.Model):
    """One webhook request of UIS."""

    class Outcome(Choices):
        RECEIVED = "RECEIVED", _("not processed yet")
        QUEUED = "QUEUED", _("queued")
        DONE = "DONE", _("done")
        REPEATED = "REPEATED", _("duplicate")
        DROPPED = "DROPPED", _("dropped")
        UNREADABLE = "UNREADABLE", _("unreadable")

    class Reason(Choices):
        NONE = "", ""
        EMPTY = "EMPTY", _("the body is empty")
        NOT_JSON = "NOT_JSON", _("the body is not JSON: check the template for missing commas and brackets")
        NO_EVENT = "NO_EVENT", _("the template has no field “event”")
        UNKNOWN_EVENT = "UNKNOWN_EVENT", _("the field “event” has an unknown value")
        NO_SESSION = "NO_SESSION", _("call_session_id is missing or was not filled in")
        STALE = "STALE", _("received too late for a pop-up")
        CALL_OVER = "CALL_OVER", _("the call ended before the pop-up could be shown")
        COLLEAGUE_ANSWERED = "COLLEAGUE_ANSWERED", _("a colleague had already answered")
        PAUSED = "PAUSED", _("the client is paused or not activated: no pop-ups")
        CRM_DENIED = "CRM_DENIED", _("the CRM rejects our access")
        NO_EMPLOYEE = "NO_EMPLOYEE", _("UIS named no employee")
        UNKNOWN_EMPLOYEE = (
            "UNKNOWN_EMPLOYEE",
            _("the employee is not in our list, or has neither extension nor CRM user"),
        )
        ALREADY_SHOWN = "ALREADY_SHOWN", _("the pop-up is already on the screen")
        RULE = "RULE", _("suppressed by a rule")
        CRM_AWAY = "CRM_AWAY", _("the CRM was not answering")
        CRM_FAILED = "CRM_FAILED", _("the CRM did not accept the pop-up")
        NOTHING_TO_DO = "NOTHING_TO_DO", _("nothing to do")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="notifications", verbose_name=_("client"))
    received_at = models.DateTimeField(_("received"))
    event_in_url = models.CharField(_("event in the URL"), max_length=LONGEST_EVENT, blank=True)
    via_old_hook = models.BooleanField(default=False, editable=False)  # received at the webhook URL before rotation
    query = models.TextField(_("query"), blank=True)
    body = models.TextField(_("body"), blank=True)
    digest = models.CharField(max_length=64)
    repeats = models.PositiveIntegerField(_("repeats"), default=0)
    key = models.CharField(max_length=200, null=True, editable=False)  # noqa: DJ001 -- unprocessed rows have none, and NULL is not unique
    event = models.CharField(_("event"), max_length=20, blank=True)
    session_id = models.BigIntegerField(_("session"), null=True)
    employee_uis_id = models.BigIntegerField(null=True)
    happened_at = models.DateTimeField(_("happened"), null=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.as_choices, default=Outcome.RECEIVED)
    reason = models.CharField(_("reason"), max_length=24, choices=Reason.as_choices, blank=True, default=Reason.NONE)
    detail = models.TextField(_("detail"), blank=True)
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-received_at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="notification_stored_once"),
            models.UniqueConstraint(fields=["tenant", "key"], name="notification_processed_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "session_id"], name="notification_by_session"),
            models.Index(
                fields=["next_attempt_at"],
                name="notification_pending",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["-received_at", "-id"], name="notification_newest"),
            models.Index(fields=["tenant", "-received_at"], name="notification_of_tenant"),
            models.Index(fields=["tenant", "event", "-received_at"], name="notification_of_event"),
            models.Index(
                fields=["tenant", "event_in_url", "reason", "-received_at"],
                name="notification_unreadable",
                condition=models.Q(outcome="UNREADABLE"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event or self.event_in_url or '?'} {self.session_id or ''}"

    @classmethod
    def store(
        cls, tenant: Tenant, *, event: str, query: str, body: str, now: datetime, via_old_hook: bool = False
    ) -> Self | None:
        """Store a webhook as received. For a duplicate, count it on the existing row and return None."""
        digest = hashlib.sha256("\0".join((event, query, body)).encode(errors="surrogatepass")).hexdigest()
        # PostgreSQL accepts no NUL in a text, and the URL is not under our control.
        body, event = body.replace("\0", "\ufffd"), event.replace("\0", "\ufffd")[:LONGEST_EVENT]
        try:
            with transaction.atomic():
                return cls.objects.create(
                    tenant=tenant,
                    received_at=now,
                    event_in_url=event,
                    via_old_hook=via_old_hook,
                    query=query,
                    body=body,
                    digest=digest,
                    next_attempt_at=now + REPROCESS_AFTER,
                )
        except IntegrityError:
            cls.objects.filter(tenant=tenant, digest=digest).update(repeats=models.F("repeats") + 1)
            return None

    def close(self, outcome: Outcome, reason: str = "", detail: str = "") -> None:
        """Save the outcome; the row is not processed again."""
        self.outcome, self.reason, self.detail = outcome, reason, detail
        self.next_attempt_at = None
        self.save(update_fields=PROCESSING_FIELDS)

    def mark_queued(self, *, until: datetime) -> None:
        """Leave it to a task; the sweep enqueues it again after `until`, because the push may be lost."""
        self.outcome, self.next_attempt_at = self.Outcome.QUEUED, until
        self.save(update_fields=PROCESSING_FIELDS)
