"""A key of ours that other tools read with: kept as a hash, so that whoever sees the row cannot use it."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class ApiToken(models.Model):
    """One key, of one client or of a member of staff."""

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_tokens",
        verbose_name=_("client"),
        help_text=_("Empty: a key of the staff, which reads all clients."),
    )
    name = models.CharField(_("for what"), max_length=100, help_text=_("Such as the program that reads with it."))
    digest = models.CharField(max_length=64, unique=True, editable=False)
    made_at = models.DateTimeField(_("made"), editable=False)
    # A key of the staff reads as long as whoever made it may.
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("by")
    )
    used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ("-made_at", "-pk")

    def __str__(self) -> str:
        return self.name
