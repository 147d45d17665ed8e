"""The AccessLogEntry model: who saw or searched for a full phone number, played a recording, read by an API key."""

from django.conf import settings
from django.contrib import admin
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices
from telephony.models.call import Call
from tenants.models import ApiKey, Tenant


class AccessLogEntry(models.Model):
    """One access of one person; all requests of one playback, or reloads of a page, are one entry.

    Of an API key there is one entry per day and resource, with the number of rows read.
    """

    class Kind(Choices):
        RECORDING = "RECORDING", pgettext_lazy("access log", "recording")
        PHONE_NUMBER = "PHONE_NUMBER", _("full number")
        SEARCH = "SEARCH", _("search for a full number")
        API = "API", _("read with an API key")

    kind = models.CharField(_("what"), max_length=24, choices=Kind.as_choices, default=Kind.RECORDING)
    # A search, or a staff key, concerns no single tenant; neither has a call.
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="access_log", verbose_name=_("client"))
    # An entry is kept longer than its call; `session_id` is set when the call is purged.
    call = models.ForeignKey(Call, models.SET_NULL, null=True, related_name="access_log", verbose_name=_("call"))
    session_id = models.BigIntegerField(_("session"), null=True)
    at = models.DateTimeField(_("at"))
    last_at = models.DateTimeField(_("last request"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("by"))
    username = models.CharField(_("by"), max_length=150, blank=True)  # outlives the account; "" for a recording link
    address = models.CharField(_("from"), max_length=50, blank=True)  # masked
    detail = models.CharField(_("of"), max_length=100, blank=True)  # the masked number; the resource of the API
    digest = models.CharField(max_length=64, blank=True, editable=False)  # keyed, of the number that was searched for
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+", verbose_name=_("API key"))
    day = models.DateField(null=True, editable=False)  # of reads by an API key, in UTC
    count = models.PositiveIntegerField(_("rows"), default=1)

    class Meta:
        verbose_name = _("access log entry")
        verbose_name_plural = _("access log")
        ordering = ("-at", "-pk")
        permissions = [("play_recording", "Can listen to recordings")]
        constraints = [models.UniqueConstraint(fields=["api_key", "day", "detail"], name="access_log_key_once_a_day")]
        indexes = [
            models.Index(fields=["-at", "-id"], name="access_log_newest"),
            models.Index(fields=["tenant", "-at"], name="access_log_of_tenant"),
            models.Index(fields=["call", "-at"], name="access_log_of_call"),
            models.Index(fields=["user", "-at"], name="access_log_searches", condition=models.Q(kind="SEARCH")),
        ]

    def __str__(self) -> str:
        return f"{self.session or self.detail} {self.username or self.address}".strip()

    @property
    @admin.display(description=_("call"))
    def session(self) -> str:
        """The session of the call, which may be purged already."""
        return str(self.call or self.session_id or "")
