"""AlertDelivery: one row per alert and channel."""

import uuid
from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices

LEASE = timedelta(minutes=3)  # longer than the task time-out
PAUSES_SECONDS = (30, 60, 120, 300, 900, 1800, 3600)
MOST_TRIES = 79  # with these pauses, three days


class AlertDelivery(models.Model):
    """An alert to be sent. The receiver recognises a repeat by `message_id`."""

    class Channel(Choices):
        MAIL = "MAIL", _("e-mail")
        WEBHOOK = "WEBHOOK", _("webhook")

    class State(Choices):
        WAITING = "WAITING", pgettext_lazy("message", "waiting")
        SENT = "SENT", pgettext_lazy("message", "sent")
        FAILED = "FAILED", pgettext_lazy("message", "failed")

    message_id = models.UUIDField(default=uuid.uuid4, editable=False)
    channel = models.CharField(_("channel"), max_length=7, choices=Channel.as_choices)
    subject = models.CharField(_("subject"), max_length=250)
    body = models.TextField(_("text"))
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.WAITING)
    created_at = models.DateTimeField(_("created"))
    next_attempt_at = models.DateTimeField(_("next try"), null=True)
    attempts = models.PositiveIntegerField(_("tries"), default=0)
    detail = models.TextField(_("detail"), blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ("-created_at", "-pk")
        indexes = [
            models.Index(fields=["next_attempt_at"], name="post_due", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["-created_at", "-id"], name="post_newest"),
        ]

    def __str__(self) -> str:
        return self.subject

    def claim(self, *, now: datetime) -> bool:
        """Claim the alert for this worker; False if another worker has it."""
        due = type(self).objects.filter(pk=self.pk, state=self.State.WAITING, next_attempt_at__lte=now)
        is_ours = due.update(attempts=F("attempts") + 1, next_attempt_at=now + LEASE) == 1
        self.refresh_from_db()
        return is_ours

    def postpone(self, detail: str, *, now: datetime, wait: float | None = None) -> None:
        """Retry after a growing delay, or after the receiver's longer `wait` in seconds; finally give up."""
        if self.attempts >= MOST_TRIES:
            return self.close(self.State.FAILED, detail, now=now)
        pause = PAUSES_SECONDS[min(self.attempts, len(PAUSES_SECONDS)) - 1]
        self.detail, self.next_attempt_at = detail, now + timedelta(seconds=max(pause, wait or 0))
        self.save(update_fields=["detail", "next_attempt_at"])

    def close(self, state: State, detail: str = "", *, now: datetime) -> None:
        self.state, self.detail, self.ended_at, self.next_attempt_at = state, detail, now, None
        self.save(update_fields=["state", "detail", "ended_at", "next_attempt_at"])
