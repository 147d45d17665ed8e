"""Erasure: the request of a person that a phone number is deleted from all rows of one client."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from tenants.models import Tenant


class Erasure(LeasedJob):
    """One number of one client. The number itself is deleted when the erasure is done; a token of it stays."""

    class State(Choices):
        RUNNING = "RUNNING", pgettext_lazy("erasure", "running")
        CHECKING = "CHECKING", _("done; checked once more in some minutes")
        DONE = "DONE", pgettext_lazy("erasure", "done")
        FAILED = "FAILED", pgettext_lazy("erasure", "failed")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="erasures", verbose_name=_("client"))
    number = EncryptedTextField(editable=False, blank=True)
    token = models.CharField(_("token of the number"), max_length=64)
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.RUNNING)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("requested by")
    )
    requested_at = models.DateTimeField(_("requested"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    # The table in progress, and the last primary key that was searched, as text.
    position = models.JSONField(default=dict, editable=False)
    erased = models.JSONField(_("changed rows by table"), default=dict)

    objects = LeasedQuerySet["Erasure"].as_manager()

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures of numbers")
        ordering = ("-requested_at", "-pk")
        permissions = [("erase_number", "Can erase a phone number")]
        indexes = [
            models.Index(fields=["tenant", "-requested_at"], name="erasure_of_tenant"),
            models.Index(
                fields=["next_attempt_at"], name="erasure_due", condition=models.Q(next_attempt_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
