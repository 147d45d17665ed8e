"""Who changed what: one row for each value a person changed, and for each button pressed. Keys never."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class Change(models.Model):
    """One thing a person did to a client."""

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
        HOOK_ROTATED = "HOOK_ROTATED", _("address of notifications rotated")
        BOUND = "BOUND", _("bound")
        SENT_ON = "SENT_ON", _("calls sent on")
        TAKE_OVER = "TAKE_OVER", _("taking over earlier calls started")
        TAKEN_OVER = "TAKEN_OVER", _("earlier calls taken over")
        TAKE_ENDED = "TAKE_ENDED", _("taking over earlier calls cancelled")
        TRIED_AGAIN = "TRIED_AGAIN", _("calls tried again")
        SKIPPED = "SKIPPED", _("calls skipped for good")
        READ_AGAIN = "READ_AGAIN", _("notifications read again")
        CONNECTED = "CONNECTED", _("connected from the marketplace")
        LEFT = "LEFT", _("left")
        TAKEN = "TAKEN", _("incident taken")
        RESOLVED = "RESOLVED", _("incident resolved")
        IGNORED = "IGNORED", _("incident ignored")
        REOPENED = "REOPENED", _("incident opened again")
        EXPORTED = "EXPORTED", _("calls exported")
        TOKEN_MADE = "TOKEN_MADE", _("API key made")
        TOKEN_ENDED = "TOKEN_ENDED", _("API key revoked")
        WITHDRAWN = "WITHDRAWN", _("recording link withdrawn")
        GIVEN_AGAIN = "GIVEN_AGAIN", _("recording link given again")

    # Rows outlive their client: who deleted him, and when, is asked afterwards.
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
        verbose_name = _("change")
        verbose_name_plural = _("journal")
        ordering = ("-at", "-pk")
        indexes = [models.Index(fields=["tenant", "-at"], name="change_of_tenant")]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.part} {self.field}".strip()
