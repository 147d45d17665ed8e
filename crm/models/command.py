"""Command: a request from the CRM (click-to-call, status change, module callback) and its outcome."""

from datetime import datetime
from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from tenants.models import Employee, RuleVersionField, Tenant


class Command(LeasedJob):
    """A request from the CRM."""

    class Kind(Choices):
        MAKE_CALL = "MAKE_CALL", _("call a number")
        SET_STATUS = "SET_STATUS", _("change a status")
        ACTIVITY = "ACTIVITY", _("module switched")
        SETTINGS = "SETTINGS", _("settings changed")

    class State(Choices):
        RECEIVED = "RECEIVED", _("queued")
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")
        REFUSED = "REFUSED", _("rejected")
        FAILED = "FAILED", _("failed")

    class Reason(Choices):
        NONE = "", ""
        UNKNOWN_USER = (
            "UNKNOWN_USER",
            _("This user is not linked to a UIS employee. Link them on the connector's page."),
        )
        BAD_PHONE = "BAD_PHONE", _("This is not a phone number that can be called. Check it in the customer's card.")
        OWN_NUMBER = "OWN_NUMBER", _("This is one of your own numbers; UIS does not call it.")
        REPEATED = "REPEATED", _("This number was just clicked; the call is being started.")
        STALE = "STALE", _("The call could not be started in time. Click again.")
        NOT_ACTIVE = "NOT_ACTIVE", _("Telephony is paused or not activated.")
        NO_NUMBER = "NO_NUMBER", _("There is no active caller ID in UIS.")
        BAD_REQUEST = "BAD_REQUEST", _("Invalid request.")
        SYNC_OFF = "SYNC_OFF", _("Status sync is disabled by the transfer rules.")
        ECHO = "ECHO", _("Echo of a status that we set.")
        SUPERSEDED = "SUPERSEDED", _("Replaced by a newer status.")
        NOT_REPEATED = "NOT_REPEATED", _("UIS may have started the call, so it was not retried.")
        ERASED = "ERASED", _("The number was erased.")
        UIS_REFUSED = "UIS_REFUSED", _("UIS rejected the request.")
        UIS_DENIED = "UIS_DENIED", _("UIS denies access, or the key lacks a permission.")
        UIS_UNAVAILABLE = "UIS_UNAVAILABLE", _("UIS is unavailable.")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="commands", verbose_name=_("client"))
    kind = models.CharField(_("command"), max_length=24, choices=Kind.as_choices)
    received_at = models.DateTimeField(_("received"))
    params = models.JSONField(_("parameters"), default=dict)
    employee = models.ForeignKey(Employee, models.SET_NULL, null=True, related_name="+", verbose_name=_("employee"))
    contact = models.CharField(_("contact"), max_length=32, blank=True)
    extension = models.CharField(_("extension"), max_length=20, blank=True)  # of the contact, as tones to dial
    number = models.CharField(_("our number"), max_length=32, blank=True)
    status = models.CharField(_("status"), max_length=20, blank=True)
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.RECEIVED)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.as_choices, blank=True, default=Reason.NONE)
    detail = models.TextField(_("detail"), blank=True)
    session_id = models.BigIntegerField(_("session"), null=True)
    vendor_code = models.CharField(max_length=80, blank=True, default="", editable=False)  # why UIS refused it
    # When the person who clicked was told that no call was started, or it turned out that nobody is to be told.
    told_at = models.DateTimeField(_("told"), null=True, editable=False)
    rule_version = RuleVersionField(null=True)  # by which a change of status was set or refused
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = LeasedQuerySet["Command"].as_manager()

    class Meta:
        verbose_name = _("CRM request")
        verbose_name_plural = _("CRM requests")
        ordering = ("-received_at", "-pk")
        indexes = [
            models.Index(fields=["tenant", "kind", "-received_at"], name="command_newest"),
            models.Index(fields=["tenant", "received_at"], name="command_of_tenant"),
            models.Index(
                fields=["next_attempt_at"], name="command_open", condition=models.Q(next_attempt_at__isnull=False)
            ),
            models.Index(
                fields=["finished_at"],
                name="command_untold",
                condition=models.Q(kind="MAKE_CALL", state__in=["REFUSED", "FAILED"], told_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def external_id(self) -> str:
        """The external ID of the call in UIS that this command starts."""
        return f"click-{self.pk}"

    def close(self, state: State, reason: str = "", detail: str = "", *, now: datetime) -> Self:
        """Close a command that no task runs."""
        self.state, self.reason, self.detail, self.finished_at = state, reason, detail, now
        self.release(None)
        self.save()
        return self
