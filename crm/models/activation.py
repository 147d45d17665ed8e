"""How far a client's activation has come: what lets his page show each step, and be left and reopened."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant


class Activation(models.Model):
    """The one activation of a client, begun by a press of the button."""

    class Step(models.TextChoices):
        UIS = "UIS", _("The key of UIS is tried")
        CRM = "CRM", _("The key of the CRM is tried")
        PEOPLE = "PEOPLE", _("Employees and numbers are brought from UIS")
        LINK = "LINK", _("Employees are linked to users of the CRM, telephony is registered there")
        ON = "ON", _("The connection is switched on")

    class State(models.TextChoices):
        NEW = "NEW", _("not begun")
        RUNNING = "RUNNING", _("running")
        FAILED = "FAILED", _("stopped")
        DONE = "DONE", _("done")

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="activation", verbose_name=_("client"))
    state = models.CharField(_("state"), max_length=7, choices=State.choices, default=State.NEW)
    # The one at work, or that failed.
    step = models.CharField(_("step"), max_length=6, choices=Step.choices, default=Step.UIS)
    pressed_at = models.DateTimeField(_("pressed"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    next_attempt_at = models.DateTimeField(null=True)  # when the sweep takes up what a killed worker left
    code = models.CharField(_("cause"), max_length=60, blank=True)
    about = models.JSONField(default=dict)  # what its sentence names
    attempts = models.PositiveSmallIntegerField(default=0)  # on the client's page, since `attempts_since`
    attempts_since = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("activation")
        verbose_name_plural = _("activations")
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="activation_due",
                condition=models.Q(next_attempt_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_step_display()}"
