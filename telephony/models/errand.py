"""What a person asked to be done with many rows at once: which, how far it has come, and what it came to."""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from telephony.models.due import LEASE


class ErrandQuerySet(models.QuerySet["Errand"]):
    """The errands of anybody."""

    def due(self, *, now: datetime) -> "ErrandQuerySet":
        """Those with a part to be done."""
        return self.filter(state=Errand.State.RUNNING, next_attempt_at__lte=now).order_by("next_attempt_at", "pk")

    def claim(self, pk: int, *, now: datetime) -> "Errand | None":
        """Take one for this worker: attempt counted, lease set, in one UPDATE."""
        token = uuid.uuid4()
        self.due(now=now).filter(pk=pk).order_by().update(
            claim_token=token, attempts=models.F("attempts") + 1, next_attempt_at=now + LEASE
        )
        return self.select_related("by").filter(pk=pk, claim_token=token).first()


class Errand(models.Model):
    """One thing to be done with every row a filter chooses."""

    class Kind(models.TextChoices):
        TRY_AGAIN = "TRY_AGAIN", _("try calls again")
        SKIP = "SKIP", _("skip calls for good")
        READ_AGAIN = "READ_AGAIN", _("read notifications again")

    class State(models.TextChoices):
        RUNNING = "RUNNING", _("at work")
        DONE = "DONE", _("done")
        CANCELLED = "CANCELLED", _("broken off")
        FAILED = "FAILED", _("stopped by a fault of the connector")

    kind = models.CharField(_("what"), max_length=10, choices=Kind.choices)
    chosen = models.JSONField(default=dict)  # the filter, as the list's address writes it
    reason = models.TextField(_("reason"), blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("by"))
    asked_at = models.DateTimeField(_("asked"))
    total = models.PositiveIntegerField(_("chosen"))  # when it was asked for
    done = models.PositiveIntegerField(_("done"), default=0)
    left = models.PositiveIntegerField(_("left alone"), default=0)
    done_of = models.JSONField(default=dict)  # how many of which client
    reached = models.BigIntegerField(default=0)  # the key of the row it stands at
    last = models.BigIntegerField()  # the newest key when it was asked for: what comes later is not meant
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RUNNING)
    attempts = models.PositiveIntegerField(default=0)  # since a part last came to an end
    next_attempt_at = models.DateTimeField(null=True)
    claim_token = models.UUIDField(null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = ErrandQuerySet.as_manager()

    class Meta:
        verbose_name = _("order for many rows")
        verbose_name_plural = _("orders for many rows")
        ordering = ("-asked_at", "-pk")
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="errand_due", condition=models.Q(next_attempt_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        if self.state == self.State.DONE or not self.total:
            return 1.0
        return min(1.0, (self.done + self.left) / self.total)

    def end(self, state: State, *, now: datetime) -> None:
        """Come to an end, whichever."""
        self.state, self.ended_at, self.next_attempt_at, self.claim_token = state, now, None, None
