"""When a client's phones ring: what tells a silence from a quiet hour."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant


class Rhythm(models.Model):
    """How many calls one client had in each hour of the week, by his clock, over his last weeks taken together."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="rhythm", verbose_name=_("client"))
    hours = models.JSONField(default=list)  # 168 counts; the first is of the hour in which Monday begins
    weeks = models.PositiveSmallIntegerField(default=0)  # over how many; 0 while there are too few to learn from
    learned_at = models.DateTimeField()

    class Meta:
        verbose_name = _("rhythm")
        verbose_name_plural = _("rhythms")

    def __str__(self) -> str:
        return str(self.tenant)
