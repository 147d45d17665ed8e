"""The DailyReconciliation model: the calls of UIS's report for one day and client, counted by status."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from telephony.models.call import Call
from tenants.models import Tenant

_OPEN = [Call.State.SETTLING, Call.State.COLLECTING, Call.State.OWNING, Call.State.READY]
# The statuses of a call, mutually exclusive; a call in none of them is unexplained.
STANDINGS = {
    "uploaded": Q(state=Call.State.UPLOADED),
    "skipped": Q(state=Call.State.SKIPPED) & ~Q(kept_back_by=""),
    "waiting": Q(state__in=_OPEN, stopped_at=None, next_attempt_at__isnull=False),
    "failed": Q(state__in=_OPEN, stopped_at__isnull=False) & ~Q(cause=""),
}


class LedgerDay(models.Model):
    """One day of one client, from midnight to midnight in their time zone."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="ledger", verbose_name=_("client"))
    day = models.DateField(_("day"))
    uis_calls = models.PositiveIntegerField(_("calls in UIS"), default=0)
    uploaded = models.PositiveIntegerField(_("uploaded"), default=0)
    skipped = models.PositiveIntegerField(_("skipped by a rule"), default=0)
    waiting = models.PositiveIntegerField(_("waiting"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    missing = models.PositiveIntegerField(default=0, editable=False)  # sessions of UIS's report without a row of ours
    unexplained = models.PositiveIntegerField(_("unexplained"), default=0)
    recovered = models.PositiveIntegerField(_("recovered by reconciliation"), default=0)
    counted_at = models.DateTimeField(_("counted"))
    settled_at = models.DateTimeField(_("fully compared"), null=True)

    class Meta:
        verbose_name = _("daily reconciliation")
        verbose_name_plural = _("reconciliation by day")
        ordering = ("-day", "tenant_id")
        constraints = [models.UniqueConstraint(fields=["tenant", "day"], name="ledger_day_once_per_tenant")]
        indexes = [
            models.Index(fields=["-day", "tenant"], name="ledger_newest"),
            models.Index(fields=["tenant", "day"], name="ledger_unexplained", condition=Q(unexplained__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.day}"

    @property
    def delivered_share(self) -> float | None:
        """Share of the calls due for upload that were uploaded, 0 to 1; None if none was due."""
        due = self.uis_calls - self.skipped
        return self.uploaded / due if due > 0 else None
