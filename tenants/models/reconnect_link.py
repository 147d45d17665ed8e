"""The one-time link to a page that asks a client for the key that a vendor no longer accepts."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, generate_token, lost
from tenants.models.tenant import Tenant

RECONNECT_LINK_LIFETIME = timedelta(days=7)


class ReconnectLink(models.Model):
    """A client has one at most: a new one replaces it. It opens nothing but the fields of the keys it asks for."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="reconnect_link", verbose_name=_("client"))
    token = EncryptedTextField(default=generate_token, editable=False, if_undecryptable=lost)
    token_digest = DigestField(of="token")
    expires_at = models.DateTimeField(editable=False)
    asks_uis = models.BooleanField(default=False, editable=False)
    asks_crm = models.BooleanField(default=False, editable=False)
    used_at = models.DateTimeField(null=True, editable=False)  # when the last of these keys was accepted

    class Meta:
        verbose_name = _("link for a new key")
        verbose_name_plural = _("links for a new key")

    def __str__(self) -> str:
        return str(self.tenant)

    @property
    def created_at(self) -> datetime:
        return self.expires_at - RECONNECT_LINK_LIFETIME

    def is_open(self, *, now: datetime) -> bool:
        return self.used_at is None and self.expires_at > now
