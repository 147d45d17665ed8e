"""The DailyReconciliation model: the calls of UIS's report for one day and client, counted by status."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from telephony.models.call import Call
from telephony.models.choices import OPEN_STATES
from tenants.models import Tenant

# The statuses of a call, mutually exclusive; a call in none of them is unexplained.
STATUS_CONDITIONS = {
    "uploaded": Q(state=Call.State.UPLOADED),
    "skipped": Q(state=Call.State.SKIPPED) & ~Q(skip_reason=""),
    "waiting": Q(state__in=OPEN_STATES, failed_at=None, next_attempt_at__isnull=False),
    "failed": Q(state__in=OPEN_STATES, failed_at__isnull=False) & ~Q(reason=""),
}


class DailyReconciliation(models.Model):
    """One day of one client, from midnight to midnight in their time zone."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="reconciliations", verbose_name=_("client"))
    day = models.DateField(_("day"))
    uis_calls = models.PositiveIntegerField(_("calls in UIS"), default=0)
    uploaded = models.PositiveIntegerField(_("uploaded"), default=0)
    skipped = models.PositiveIntegerField(_("skipped by a rule"), default=0)
    waiting = models.PositiveIntegerField(_("waiting"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    # Sessions of UIS's report without a row of ours, and when they began, in Unix seconds. A negative session is a row
    # that could not be read.
    missing = models.JSONField(default=dict, editable=False)
    unexplained = models.PositiveIntegerField(_("unexplained"), default=0)
    recovered = models.PositiveIntegerField(_("recovered by reconciliation"), default=0)
    counted_at = models.DateTimeField(_("counted"))
    closed_at = models.DateTimeField(_("fully compared"), null=True)

    class Meta:
        verbose_name = _("daily reconciliation")
        verbose_name_plural = _("reconciliation by day")
        ordering = ("-day", "tenant_id")
        constraints = [models.UniqueConstraint(fields=["tenant", "day"], name="reconciliation_once_per_day")]
        indexes = [
            models.Index(fields=["-day", "tenant"], name="reconciliation_newest"),
            models.Index(fields=["tenant", "day"], name="reconciliation_unexplained", condition=Q(unexplained__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.day}"

    @property
    def delivered_share(self) -> float | None:
        """Share of the calls due for upload that were uploaded, 0 to 1; None if none was due."""
        due = self.uis_calls - self.skipped
        return self.uploaded / due if due > 0 else None
