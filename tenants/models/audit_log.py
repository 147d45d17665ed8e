"""The audit log: one entry per changed value and per action; keys are never stored."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from tenants.models.tenant import Tenant


class AuditLogEntry(models.Model):
    """One audit log entry."""

    class Action(Choices):
        ADDED = "ADDED", _("added")
        CHANGED = "CHANGED", _("changed")
        REMOVED = "REMOVED", _("removed")
        KEY_SET = "KEY_SET", _("key set")
        KEY_DELETED = "KEY_DELETED", _("key deleted, because the host is new")
        CHECKED = "CHECKED", _("check started")
        ACTIVATED = "ACTIVATED", _("activation started")
        PAUSED = "PAUSED", _("paused")
        RESUMED = "RESUMED", _("resumed")
        TRIED_NOW = "TRIED_NOW", _("tried without waiting")
        SYNCED = "SYNCED", _("sync started")
        LISTS_ACCEPTED = "LISTS_ACCEPTED", _("shorter list accepted")
        ACTIVATION_LINK_RENEWED = "ACTIVATION_LINK_RENEWED", _("new activation link")
        ACTIVATION_LINK_REVOKED = "ACTIVATION_LINK_REVOKED", _("activation link revoked")
        RECONNECT_LINK_CREATED = "RECONNECT_LINK_CREATED", _("link for a new key")
        HOOK_ROTATED = "HOOK_ROTATED", _("webhook URL rotated")
        HOOK_REVOKED = "HOOK_REVOKED", _("webhook URL revoked")
        LINKED = "LINKED", _("employee link changed")
        CALLS_RESENT = "CALLS_RESENT", _("calls resent")
        IMPORT_STARTED = "IMPORT_STARTED", _("import of past calls started")
        CALLS_IMPORTED = "CALLS_IMPORTED", _("past calls imported")
        IMPORT_CANCELLED = "IMPORT_CANCELLED", _("import of past calls cancelled")
        CALLS_RETRIED = "CALLS_RETRIED", _("calls retried")
        CALLS_SKIPPED = "CALLS_SKIPPED", _("calls skipped permanently")
        REPROCESSED = "REPROCESSED", _("notifications reprocessed")
        CONNECTED = "CONNECTED", _("connected from the marketplace")
        RECONNECTION_ASKED = "RECONNECTION_ASKED", _("asked to reconnect")
        RECONNECTION_ALLOWED = "RECONNECTION_ALLOWED", _("reconnection allowed")
        OFFBOARDED = "OFFBOARDED", _("disconnected")
        ACKNOWLEDGED = "ACKNOWLEDGED", _("incident acknowledged")
        RESOLVED = "RESOLVED", _("incident resolved")
        MUTED = "MUTED", _("incident muted")
        REOPENED = "REOPENED", _("incident reopened")
        CALLS_EXPORTED = "CALLS_EXPORTED", _("calls exported")
        API_KEY_CREATED = "API_KEY_CREATED", _("API key created")
        API_KEY_REVOKED = "API_KEY_REVOKED", _("API key revoked")
        RECORDING_LINK_REVOKED = "RECORDING_LINK_REVOKED", _("recording link revoked")
        RECORDING_LINK_RESTORED = "RECORDING_LINK_RESTORED", _("recording link restored")
        SIGNED_IN = "SIGNED_IN", _("signed in")
        PASSWORD_ACCEPTED = "PASSWORD_ACCEPTED", _("password accepted, second factor asked for")
        SIGN_IN_FAILED = "SIGN_IN_FAILED", _("sign-in failed")
        LOCKED_OUT = "LOCKED_OUT", _("locked out after failed sign-ins")
        SIGNED_OUT = "SIGNED_OUT", _("signed out")
        SESSIONS_ENDED = "SESSIONS_ENDED", _("signed out everywhere")
        PASSWORD_CHANGED = "PASSWORD_CHANGED", _("password changed")
        SECOND_FACTOR_SET = "SECOND_FACTOR_SET", _("second factor set up")
        SECOND_FACTOR_RESET = "SECOND_FACTOR_RESET", _("second factor reset")
        RECOVERY_CODES_RENEWED = "RECOVERY_CODES_RENEWED", _("new recovery codes")
        RECOVERY_CODE_USED = "RECOVERY_CODE_USED", _("recovery code used")
        RULES_PUBLISHED = "RULES_PUBLISHED", _("rules published")
        DRAFT_DISCARDED = "DRAFT_DISCARDED", _("draft of the rules discarded")
        NUMBER_ERASED = "NUMBER_ERASED", _("number erased")

    # Entries outlive their tenant, so that it stays known who deleted the tenant and when.
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="audit_log", verbose_name=_("client"))
    tenant_name = models.CharField(_("name"), max_length=200)
    at = models.DateTimeField(_("at"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("by"))
    by_client = models.BooleanField(_("on the client's page"), default=False)
    action = models.CharField(_("what"), max_length=24, choices=Action.as_choices)
    object_repr = models.CharField(_("of"), max_length=250, blank=True)
    field = models.CharField(_("field"), max_length=100, blank=True)
    old = models.TextField(_("before"), blank=True)
    new = models.TextField(_("after"), blank=True)

    class Meta:
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log")
        ordering = ("-at", "-pk")
        indexes = [models.Index(fields=["tenant", "-at"], name="audit_log_of_tenant")]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.object_repr} {self.field}".strip()
