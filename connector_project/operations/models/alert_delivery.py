"""AlertDelivery: one row per alert, channel and language."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet


class AlertDelivery(LeasedJob):
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
    language = models.CharField(_("language"), max_length=2, choices=settings.LANGUAGES, default="ru")
    subject = models.CharField(_("subject"), max_length=250)
    body = models.TextField(_("text"))
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.WAITING)
    created_at = models.DateTimeField(_("created, UTC"))
    detail = models.TextField(_("detail"), blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = LeasedQuerySet["AlertDelivery"].as_manager()

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ("-created_at", "-pk")
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="alert_delivery_due", condition=Q(next_attempt_at__isnull=False)
            ),
            models.Index(fields=["-created_at", "-id"], name="alert_delivery_newest"),
        ]

    def __str__(self) -> str:
        return self.subject
