"""MarketplaceRegistration: a request of the CRM's marketplace that was accepted."""

from django.db import models

from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField
from tenants.models import Tenant


class MarketplaceRegistration(models.Model):
    """An accepted request. Its signature has no time, so it is kept, also after its client's data is deleted."""

    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="marketplace_registrations")
    digest = DigestField()  # of the signature, and so of the key
    address = models.TextField()  # as sent; it is not signed
    accepted_at = models.DateTimeField()
    one_time_token = EncryptedTextField()  # for the same answer if the request is repeated at once

    def __str__(self) -> str:
        return self.address
