"""What the last look into the CRM's own list of calls found."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant


class Lookup(models.Model):
    """The last look of one client."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="lookup", verbose_name=_("client"))
    is_served = models.BooleanField(_("the CRM shows its calls"), default=True)
    looked_at = models.DateTimeField(_("looked"))
    sampled = models.PositiveIntegerField(_("calls looked for"), default=0)
    lost = models.PositiveIntegerField(_("of these not found"), default=0)

    class Meta:
        verbose_name = _("look into the CRM's list")
        verbose_name_plural = _("looks into the CRM's list")

    def __str__(self) -> str:
        return str(self.tenant)
