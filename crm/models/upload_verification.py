"""UploadVerification: the result of the last comparison with the CRM's call list."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant


class UploadVerification(models.Model):
    """The last verification of one client."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="upload_verification", verbose_name=_("client"))
    is_supported = models.BooleanField(_("supported by the CRM"), default=True)
    checked_at = models.DateTimeField(_("checked"))
    sampled = models.PositiveIntegerField(_("calls checked"), default=0)
    missing = models.PositiveIntegerField(_("calls missing"), default=0)
    absent = models.JSONField(default=dict, editable=False)  # sessions that the CRM did not list, and since when
    refused_since = models.DateTimeField(null=True, editable=False)  # since when the CRM refuses the list
    read_again_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("upload verification")
        verbose_name_plural = _("upload verifications")

    def __str__(self) -> str:
        return str(self.tenant)
