"""An API key, stored as a hash."""

from collections.abc import Collection
from datetime import date
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from connector_project.core.secret_tokens import DigestField
from tenants.models.tenant import Tenant


class ApiKey(models.Model):
    """A key of one tenant, or a staff key for all tenants that its maker may see."""

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("client"),
        help_text=_("If empty, a staff key: it reads what you may see, with your rights on the day of the request."),
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
    valid_until = models.DateField(
        _("valid until"), null=True, blank=True, help_text=_("The last day, in UTC. If empty, until it is revoked.")
    )

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def visible_condition(cls, tenant_ids: Collection[int], user: Any) -> Q:
        """Return which keys a user with a set of tenants sees: those of the tenants, and their own staff keys."""
        return Q(tenant__in=tenant_ids) | Q(tenant=None, created_by=user)

    @property
    def has_maker(self) -> bool:
        """Whether the person who created the key is still here."""
        return self.created_by is not None and self.created_by.is_active and self.created_by.is_staff

    def is_valid(self, *, today: date) -> bool:
        """Whether the key is neither revoked nor past its end, and a staff key has its maker."""
        is_over = self.valid_until is not None and self.valid_until < today
        return self.revoked_at is None and not is_over and (self.tenant_id is not None or self.has_maker)
