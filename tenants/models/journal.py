"""The audit log: one entry per changed value and per action; keys are never stored."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class Change(models.Model):
    """One audit log entry."""

    class Verb(models.TextChoices):
        ADDED = "ADDED", _("added")
        CHANGED = "CHANGED", _("changed")
        REMOVED = "REMOVED", _("removed")
        KEY_SET = "KEY_SET", _("key set")
        CHECKED = "CHECKED", _("check started")
        ACTIVATED = "ACTIVATED", _("activation started")
        PAUSED = "PAUSED", _("paused")
        RESUMED = "RESUMED", _("resumed")
        SYNCED = "SYNCED", _("sync started")
        LINK_MADE = "LINK_MADE", _("new activation link")
        LINK_REVOKED = "LINK_REVOKED", _("activation link revoked")
        HOOK_ROTATED = "HOOK_ROTATED", _("webhook URL rotated")
        BOUND = "BOUND", _("employee link changed")
        SENT_ON = "SENT_ON", _("calls resent")
        TAKE_OVER = "TAKE_OVER", _("import of past calls started")
        TAKEN_OVER = "TAKEN_OVER", _("past calls imported")
        TAKE_ENDED = "TAKE_ENDED", _("import of past calls cancelled")
        TRIED_AGAIN = "TRIED_AGAIN", _("calls retried")
        SKIPPED = "SKIPPED", _("calls skipped permanently")
        READ_AGAIN = "READ_AGAIN", _("notifications reprocessed")
        CONNECTED = "CONNECTED", _("connected from the marketplace")
        LEFT = "LEFT", _("disconnected")
        TAKEN = "TAKEN", _("incident acknowledged")
        RESOLVED = "RESOLVED", _("incident resolved")
        IGNORED = "IGNORED", _("incident muted")
        REOPENED = "REOPENED", _("incident reopened")
        EXPORTED = "EXPORTED", _("calls exported")
        TOKEN_MADE = "TOKEN_MADE", _("API key created")
        TOKEN_ENDED = "TOKEN_ENDED", _("API key revoked")
        WITHDRAWN = "WITHDRAWN", _("recording link revoked")
        GIVEN_AGAIN = "GIVEN_AGAIN", _("recording link restored")

    # Entries outlive their tenant, so that it stays known who deleted the tenant and when.
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="journal", verbose_name=_("client"))
    tenant_name = models.CharField(_("name"), max_length=200)
    at = models.DateTimeField(_("at"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("by"))
    is_client = models.BooleanField(_("on the client's page"), default=False)
    verb = models.CharField(_("what"), max_length=12, choices=Verb.choices)
    part = models.CharField(_("of"), max_length=250, blank=True)
    field = models.CharField(_("field"), max_length=100, blank=True)
    old = models.TextField(_("before"), blank=True)
    new = models.TextField(_("after"), blank=True)

    class Meta:
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log")
        ordering = ("-at", "-pk")
        indexes = [models.Index(fields=["tenant", "-at"], name="change_of_tenant")]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.part} {self.field}".strip()
