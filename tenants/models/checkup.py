"""What the last look at a client found, kept so that a list of a thousand clients asks nobody."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class CheckUp(models.Model):
    """The last check-up of one client."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="checkup", verbose_name=_("client"))
    asked_at = models.DateTimeField(null=True)  # somebody waits for one that has not ended yet
    checked_at = models.DateTimeField(_("checked"), null=True)
    findings = models.JSONField(default=list)  # [{"check": code, "ok": bool, "about": {…}}], in the order of the checks
    failing = models.PositiveSmallIntegerField(_("checks that fail"), default=0)

    class Meta:
        verbose_name = _("check-up")
        verbose_name_plural = _("check-ups")

    def __str__(self) -> str:
        return str(self.tenant)
