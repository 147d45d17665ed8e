"""Activation: the state of a client's activation."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from tenants.models import Tenant


class Activation(LeasedJob):
    """A client's activation; there is one row per client."""

    class Step(Choices):
        UIS = "UIS", _("Checking the UIS key")
        CRM = "CRM", _("Checking the CRM key")
        PEOPLE = "PEOPLE", _("Importing employees and numbers from UIS")
        LINK = "LINK", _("Linking employees and registering telephony in the CRM")
        ON = "ON", _("Activating telephony")

    class State(Choices):
        NEW = "NEW", _("not started")
        RUNNING = "RUNNING", _("running")
        FAILED = "FAILED", _("failed")
        DONE = "DONE", _("done")

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="activation", verbose_name=_("client"))
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.NEW)
    # The current step, or the failed one.
    step = models.CharField(_("step"), max_length=24, choices=Step.as_choices, default=Step.UIS)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    code = models.CharField(_("reason"), max_length=60, blank=True)
    context = models.JSONField(default=dict)  # parameters of its message
    actions = models.PositiveSmallIntegerField(default=0)  # on the client's page, since `actions_since`
    actions_since = models.DateTimeField(null=True)

    objects = LeasedQuerySet["Activation"].as_manager()

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
