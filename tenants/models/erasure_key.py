"""The key of the tokens that stand for a tenant's erased numbers."""

from django.db import models

from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import generate_token
from tenants.models.tenant import Tenant


class ErasureKey(models.Model):
    """A random key, so that a token is of use without it neither to us nor to a person with a copy of the database.

    It is encrypted like all keys, and re-encrypted by `reencrypt_keys`: tokens stay the same when keys are rotated.
    """

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="erasure_key")
    key = EncryptedTextField(editable=False, default=generate_token)

    def __str__(self) -> str:
        return str(self.tenant)  # Never the key.
