"""Who looked at what is hidden from most: one row for each look. It holds no number: only of which call."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from tenants.models.tenant import Tenant


class Look(models.Model):
    """One look of one person at the hidden part of one call."""

    class Kind(models.TextChoices):
        NUMBER = "NUMBER", _("whole number")
        RECORDING = "RECORDING", pgettext_lazy("look", "recording")

    # Rows outlive their client, as those of the journal do.
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="looks", verbose_name=_("client"))
    tenant_name = models.CharField(_("name"), max_length=200)
    at = models.DateTimeField(_("at"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("by"))
    kind = models.CharField(_("what"), max_length=10, choices=Kind.choices)
    session_id = models.BigIntegerField(_("session"))

    class Meta:
        verbose_name = _("look")
        verbose_name_plural = _("journal of looks")
        ordering = ("-at", "-pk")
        indexes = [
            models.Index(fields=["-at", "-id"], name="look_newest"),
            models.Index(fields=["tenant", "-at"], name="look_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.session_id}"
