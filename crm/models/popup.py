"""Popup: a pop-up on a manager's screen."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from crm.retailcrm import payloads
from telephony.models import Direction
from tenants.models import Employee, RuleVersionField, Tenant

# After this, a pop-up has disappeared by itself: the CRM's push lives for seconds.
CLOSE_WITHIN = timedelta(minutes=10)


class PopupQuerySet(models.QuerySet["Popup"]):
    def shown(self) -> "PopupQuerySet":
        """Return the pop-ups that may be on a screen."""
        return self.filter(state__in=[Popup.State.OPENING, Popup.State.OPEN])

    def waiting(self, *, now: Any) -> "PopupQuerySet":
        """Return those of calls that are over which wait for the reason, and which no task is closing."""
        free = models.Q(closing_until=None) | models.Q(closing_until__lte=now)
        return self.shown().filter(free, close_by__isnull=False)

    def fail_unsent(self, *, now: datetime) -> int:
        """End the pop-ups whose worker died while they were sent: if the call's end is lost, nobody else does.

        They may be on the screen, so the end of the call closes them until they have disappeared by themselves.
        """
        unsent = self.filter(state=Popup.State.OPENING, sent_at__lt=now - CLOSE_WITHIN)
        return unsent.order_by().update(state=Popup.State.FAILED)

    def forget_unclosed(self, *, now: datetime) -> int:
        """Give up the closing of pop-ups that have disappeared by themselves: the CRM did not answer for minutes."""
        late = self.filter(close_by__lt=now - CLOSE_WITHIN)
        return late.order_by().update(close_by=None, closing_until=None)


class Popup(models.Model):
    """One pop-up on one manager's screen, for one call."""

    class State(Choices):
        OPENING = "OPENING", _("being sent")
        OPEN = "OPEN", _("open")
        CLOSED = "CLOSED", _("closed")
        FAILED = "FAILED", _("not shown")

    class Hangup(Choices):
        """The hangup status, as sent to the CRM."""

        ANSWERED = payloads.Hangup.ANSWERED, _("answered")
        NO_ANSWER = payloads.Hangup.NO_ANSWER, _("no answer")
        BUSY = payloads.Hangup.BUSY, _("busy")
        CANCELLED = payloads.Hangup.CANCELLED, _("cancelled")
        FAILED = payloads.Hangup.FAILED, _("failed")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="popups", verbose_name=_("client"))
    session_id = models.BigIntegerField(_("session"))
    employee = models.ForeignKey(Employee, models.CASCADE, related_name="+", verbose_name=_("employee"))
    direction = models.CharField(_("direction"), max_length=3, choices=Direction.as_choices)
    contact = models.CharField(_("contact"), max_length=32)
    number = models.CharField(_("our number"), max_length=32, blank=True)
    code = models.CharField(_("extension"), max_length=20, blank=True)
    crm_user_id = models.BigIntegerField(_("CRM user"), null=True)
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.OPENING)
    hangup = models.CharField(_("how it was closed"), max_length=12, choices=Hangup.as_choices, blank=True)
    unknown = models.JSONField(_("unknown to the CRM"), default=list)
    detail = models.TextField(_("detail"), blank=True)
    ringing_at = models.DateTimeField(_("ringing"))
    received_at = models.DateTimeField(_("received"))
    sent_at = models.DateTimeField(_("sent"))
    accepted_at = models.DateTimeField(_("accepted"), null=True)
    closed_at = models.DateTimeField(_("closed"), null=True)
    # The call is over, and why nobody talked is not known yet: closed at this moment at the latest.
    close_by = models.DateTimeField(null=True, editable=False)
    closing_until = models.DateTimeField(null=True, editable=False)  # by the task that closes it now

    rule_version = RuleVersionField()  # by which it was opened last
    # What the field map filled, without the phone: the end of the call is told with the same.
    filled = models.JSONField(default=dict, editable=False)
    # What decided it and no other column has: the employee's own choice, what opened it, what the field map read.
    decided_by = models.JSONField(default=dict, editable=False)

    objects = PopupQuerySet.as_manager()

    class Meta:
        verbose_name = _("pop-up")
        verbose_name_plural = _("pop-ups")
        ordering = ("-received_at", "-pk")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "session_id", "employee"], name="popup_once_per_call_and_employee"
            )
        ]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="popup_newest"),
            models.Index(fields=["tenant", "-received_at"], name="popup_of_tenant"),
            models.Index(fields=["sent_at"], name="popup_unsent", condition=models.Q(state="OPENING")),
            models.Index(fields=["close_by"], name="popup_waiting", condition=models.Q(close_by__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} → {self.employee}"
