"""What a day of one client came to: every call of UIS's own list, by how it ended."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from telephony.models.call import Call
from tenants.models import Tenant

_OPEN = [Call.State.SETTLING, Call.State.COLLECTING, Call.State.OWNING, Call.State.READY]
# How a call can have ended; no call is in two of these, and one that is in none of them is unexplained.
STANDINGS = {
    "uploaded": Q(state=Call.State.UPLOADED),
    "skipped": Q(state=Call.State.SKIPPED) & ~Q(kept_back_by=""),
    "waiting": Q(state__in=_OPEN, stopped_at=None, next_attempt_at__isnull=False),
    "failed": Q(state__in=_OPEN, stopped_at__isnull=False) & ~Q(cause=""),
}


class LedgerDay(models.Model):
    """One day of one client, from midnight to midnight by his clock."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="ledger", verbose_name=_("client"))
    day = models.DateField(_("day"))
    uis_calls = models.PositiveIntegerField(_("calls in UIS"), default=0)
    uploaded = models.PositiveIntegerField(_("uploaded"), default=0)
    skipped = models.PositiveIntegerField(_("skipped by a rule"), default=0)
    waiting = models.PositiveIntegerField(_("waiting"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    missing = models.PositiveIntegerField(default=0, editable=False)  # sessions of UIS's list without a row of ours
    unexplained = models.PositiveIntegerField(_("unexplained"), default=0)
    recovered = models.PositiveIntegerField(_("recovered by reconciliation"), default=0)
    counted_at = models.DateTimeField(_("counted"))
    settled_at = models.DateTimeField(_("compared as a whole"), null=True)

    class Meta:
        verbose_name = _("day of the ledger")
        verbose_name_plural = _("ledger by day")
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
        """The part of the calls due to the CRM that is there, 0 to 1; None where none was due."""
        due = self.uis_calls - self.skipped
        return self.uploaded / due if due > 0 else None
