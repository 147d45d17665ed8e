"""OutgoingRequest: a request to a vendor with its answer, kept once, and the calls that it was about."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from tenants.models import Tenant

LONGEST_METHOD = 120


class OutgoingRequest(models.Model):
    """One request that belongs to calls or to a command of the CRM; bodies are JSON without secrets."""

    class System(Choices):
        UIS = "UIS", "UIS"
        CRM = "retailCRM", "retailCRM"

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", verbose_name=_("client"))
    system = models.CharField(_("system"), max_length=9, choices=System.as_choices)
    method = models.CharField(_("method"), max_length=LONGEST_METHOD)
    sent_at = models.DateTimeField(_("sent"))
    duration_ms = models.PositiveIntegerField(_("ms"))
    status = models.PositiveSmallIntegerField(_("status"), null=True)  # of HTTP; no answer came: `error` says why
    error = models.TextField(_("error"), blank=True)
    request = models.TextField(_("request"), blank=True)
    response = models.TextField(_("response"), blank=True)
    # The command of the CRM that it was sent for; no foreign key, because that app is above this one.
    command_id = models.BigIntegerField(null=True, editable=False)

    class Meta:
        verbose_name = _("outgoing request")
        verbose_name_plural = _("outgoing requests")
        ordering = ("sent_at", "pk")
        indexes = [
            models.Index(fields=["tenant", "sent_at"], name="outgoing_request_of_tenant"),
            models.Index(
                fields=["tenant", "command_id"],
                name="outgoing_request_of_command",
                condition=models.Q(command_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.status or ''}".strip()


class RequestedCall(models.Model):
    """A call that an outgoing request was about; there may be no row of it yet."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", verbose_name=_("client"))
    request = models.ForeignKey(OutgoingRequest, models.CASCADE, related_name="calls", verbose_name=_("request"))
    session_id = models.BigIntegerField(_("session"))

    class Meta:
        verbose_name = _("call of an outgoing request")
        verbose_name_plural = _("calls of outgoing requests")
        constraints = [models.UniqueConstraint(fields=["tenant", "session_id", "request"], name="requested_call_once")]

    def __str__(self) -> str:
        return str(self.session_id)
