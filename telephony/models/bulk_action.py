"""The BulkAction model: one action on many rows, its progress and result."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet


class BulkAction(LeasedJob):
    """One action on every row that a filter matches."""

    class Kind(Choices):
        RETRY = "RETRY", _("retry calls")
        SKIP = "SKIP", _("skip calls permanently")
        REPROCESS = "REPROCESS", _("reprocess notifications")

    class State(Choices):
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")
        CANCELLED = "CANCELLED", pgettext_lazy("bulk action", "cancelled")
        FAILED = "FAILED", _("failed")

    kind = models.CharField(_("what"), max_length=24, choices=Kind.as_choices)
    filters = models.JSONField(default=dict)  # the filters, as in the query string of the list
    reason = models.TextField(_("reason"), blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("requested by")
    )
    requested_at = models.DateTimeField(_("requested"))
    total = models.PositiveIntegerField(_("selected"))  # when the action was requested
    done = models.PositiveIntegerField(_("done"), default=0)
    skipped = models.PositiveIntegerField(_("unchanged"), default=0)
    done_by_tenant = models.JSONField(default=dict)  # count by client
    last_pk = models.BigIntegerField(default=0)  # primary key of the last processed row
    max_pk = models.BigIntegerField()  # largest primary key at the time of the request: newer rows are not included
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.RUNNING)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = LeasedQuerySet["BulkAction"].as_manager()

    class Meta:
        verbose_name = _("bulk action")
        verbose_name_plural = _("bulk actions")
        ordering = ("-requested_at", "-pk")
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="bulk_action_due", condition=models.Q(next_attempt_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def share(self) -> float:
        """Progress, 0 to 1."""
        if self.state == self.State.DONE or not self.total:
            return 1.0
        return min(1.0, (self.done + self.skipped) / self.total)

    def end(self, state: State, *, now: datetime) -> None:
        self.state, self.ended_at = state, now
        self.release(None)
