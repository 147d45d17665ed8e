"""The RecordingLink model: our own link to the recording of a call."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, generate_token
from telephony.models.call import Call
from tenants.models import Tenant


class RecordingLink(models.Model):
    """The link to one call's recording that the CRM has. The token is encrypted: a database copy alone is useless."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="recording_links", verbose_name=_("client"))
    call = models.OneToOneField(Call, models.CASCADE, related_name="recording_link", verbose_name=_("call"))
    digest = DigestField(of="token")
    token = EncryptedTextField(editable=False)  # needed again when an upload is repeated
    issued_at = models.DateTimeField(_("issued"))
    revoked_at = models.DateTimeField(pgettext_lazy("recording link", "revoked"), null=True)

    class Meta:
        verbose_name = _("recording link")
        verbose_name_plural = _("recording links")
        indexes = [models.Index(fields=["tenant", "-issued_at"], name="recording_link_of_tenant")]

    def __str__(self) -> str:
        return str(self.call)  # Never the token.

    @classmethod
    def for_call(cls, call: Call, *, now: datetime) -> "RecordingLink":
        """Return a new unsaved link."""
        return cls(tenant=call.tenant, call=call, token=generate_token(), issued_at=now)

    @property
    def is_revoked(self) -> bool:
        """Whether this link was revoked, or all links of the client issued until then."""
        all_revoked_at = self.tenant.recording_links_revoked_at
        return self.revoked_at is not None or (all_revoked_at is not None and self.issued_at <= all_revoked_at)
