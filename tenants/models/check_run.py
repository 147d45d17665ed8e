"""The stored results of a tenant's last check run, so that the list of tenants needs no request."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class CheckRun(models.Model):
    """The last check run of one tenant."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="check_run", verbose_name=_("client"))
    requested_at = models.DateTimeField(null=True)  # a run was requested and has not finished
    checked_at = models.DateTimeField(_("checked"), null=True)
    results = models.JSONField(default=list)  # [{"check": code, "ok": bool, "params": {…}}], in the order of the checks
    failing = models.JSONField(default=dict, editable=False)  # by code, as `operations.checks.history` writes it
    failed_count = models.PositiveSmallIntegerField(_("failed checks"), default=0)

    class Meta:
        verbose_name = _("check run")
        verbose_name_plural = _("check runs")

    def __str__(self) -> str:
        return str(self.tenant)
