"""An API key, stored as a hash."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.secret_tokens import DigestField
from tenants.models.tenant import Tenant


class ApiKey(models.Model):
    """A key of one tenant, or a staff key for all tenants."""

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("client"),
        help_text=_("If empty, a staff key with access to all clients."),
    )
    name = models.CharField(_("name"), max_length=100, help_text=_("For example, the program that uses it."))
    # The key itself is not stored: it is shown once.
    digest = DigestField()
    created_at = models.DateTimeField(_("created"), editable=False)
    # A staff key works as long as its creator has access.
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("by")
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.name
