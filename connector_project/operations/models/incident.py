"""Incident: a problem of one client or of the whole service, from the first detection until it is resolved."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.admin.fingerprints import fingerprint
from connector_project.core.choices import Choices
from tenants.models import Tenant


class Incident(models.Model):
    """One problem with one reason. Without a tenant it concerns the whole service."""

    class Kind(Choices):
        WORKER = "WORKER", _("no worker")
        NO_EVENTS = "NO_EVENTS", _("no events")
        ACCESS_DENIED = "ACCESS_DENIED", _("access denied")
        BACKLOG = "BACKLOG", _("processing delayed")
        FAILURE_RATE = "FAILURE_RATE", _("high failure rate")
        UNEXPLAINED = "UNEXPLAINED", _("unexplained calls")
        LATE_ANSWER = "LATE_ANSWER", _("answers told too late")
        SHORT_LIST = "SHORT_LIST", _("incomplete list")
        REVOKED_URLS = "REVOKED_URLS", _("new URLs not in use")
        RECONNECTION = "RECONNECTION", _("reconnection requested")
        FLOOD = "FLOOD", _("too many notifications")
        UNKNOWN_SOURCE = "UNKNOWN_SOURCE", _("notifications from unexpected addresses")
        POPUPS = "POPUPS", _("late or absent pop-ups")
        NOT_LINKED = "NOT_LINKED", _("employees without a CRM user")
        CHECK_FAILED = "CHECK_FAILED", _("failing check")

    class State(Choices):
        OPEN = "OPEN", pgettext_lazy("incident", "open")
        ACKNOWLEDGED = "ACKNOWLEDGED", pgettext_lazy("incident", "acknowledged")
        MUTED = "MUTED", pgettext_lazy("incident", "muted")
        RESOLVED = "RESOLVED", pgettext_lazy("incident", "resolved")

    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="incidents", verbose_name=_("client"))
    kind = models.CharField(_("kind"), max_length=24, choices=Kind.as_choices)
    reason = models.CharField(_("reason"), max_length=80, blank=True)
    context = models.JSONField(default=dict)  # parameters of its message, as last seen
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.OPEN)
    opened_at = models.DateTimeField(_("since"))
    last_seen_at = models.DateTimeField(_("last seen"))
    seen_count = models.PositiveIntegerField(_("times seen"), default=1)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("acknowledged by")
    )
    note = models.TextField(_("note"), blank=True)
    resolved_at = models.DateTimeField(_("resolved"), null=True)
    resolved_manually = models.BooleanField(default=False, editable=False)  # resolved by a person
    # Both: when the alert was sent, or when it turned out that none was needed.
    notified_at = models.DateTimeField(null=True, editable=False)
    resolution_notified_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ("-opened_at", "-pk")
        permissions = [("acknowledge_incident", "Can acknowledge an incident")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "reason"], name="incident_once", condition=~Q(state="RESOLVED")
            ),
            # NULLs are distinct in a unique constraint.
            models.UniqueConstraint(
                fields=["kind", "reason"],
                name="incident_of_whole_once",
                condition=Q(tenant=None) & ~Q(state="RESOLVED"),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-opened_at"], name="incident_of_tenant"),
            models.Index(fields=["-opened_at", "-id"], name="incident_newest"),
            models.Index(
                fields=["resolved_at"],
                name="incident_end_not_notified",
                condition=Q(state="RESOLVED", resolution_notified_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def version(self) -> str:
        """What a page sends back of what people did to it, to find out whether it has changed."""
        return fingerprint("incident", str(self.pk), [self.state, self.acknowledged_by_id, self.note])

    @property
    def key(self) -> tuple[Any, ...]:
        """Identifies the problem among all that can exist at the same time."""
        return self.tenant_id, self.kind, self.reason
