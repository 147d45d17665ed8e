"""TrafficProfile: a client's usual calls per hour of the week, to tell missing events from a quiet hour."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant


class TrafficProfile(models.Model):
    """Number of calls in each hour of the week in the client's time zone, summed over the last weeks."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="traffic_profile", verbose_name=_("client"))
    hours = models.JSONField(default=list)  # 168 counts; the first is Monday 00:00-01:00
    weeks = models.PositiveSmallIntegerField(default=0)  # number of weeks; 0 while there is too little data
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("traffic profile")
        verbose_name_plural = _("traffic profiles")

    def __str__(self) -> str:
        return str(self.tenant)
