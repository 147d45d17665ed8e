"""A tenant's account at UIS."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, generate_token, lost
from tenants import home_region
from tenants.models.connections import Connection
from tenants.models.held_account import one_holder
from tenants.models.tenant import Tenant, validate_time_zone
from tenants.models.webhook_intake import WebhookIntake

OLD_HOOK_LIFETIME = timedelta(hours=24)


class UisConnection(WebhookIntake, Connection):
    """A client's account in UIS, CoMagic, CallGear or Novofon."""

    PROBE_TASK = "telephony.tasks.probe"

    class Brand(Choices):
        UIS = "uis", "UIS"
        COMAGIC = "comagic", "CoMagic"
        CALLGEAR = "callgear", "CallGear"
        NOVOFON = "novofon", "Novofon"

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="uis", verbose_name=_("client"))
    brand = models.CharField(_("brand"), max_length=20, choices=Brand.as_choices, default=Brand.UIS)
    access_token = EncryptedTextField(_("access key"), blank=True, if_undecryptable=str)
    agent_user_id = models.BigIntegerField(
        _("user id"),
        null=True,
        blank=True,
        help_text=_("Only for agents: ID of the client's user that requests are made for."),
    )
    hook = EncryptedTextField(
        _("secret part of the webhook URL"), default=generate_token, editable=False, if_undecryptable=lost
    )
    hook_digest = DigestField(of="hook")
    # After a rotation the old hook works for a while, as the client enters the new one by hand.
    old_hook_digest = DigestField(null=True)
    old_hook_until = models.DateTimeField(_("old webhook URL valid until"), null=True, blank=True, editable=False)
    hook_revoked_at = models.DateTimeField(_("webhook URL revoked"), null=True, blank=True, editable=False)
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text=_("Read from UIS. If empty, the client's time zone applies."),
    )
    media_host = models.CharField(
        _("host of recordings"),
        max_length=100,
        blank=True,
        help_text=_("If empty, the brand's own, for example app.uiscom.ru."),
    )
    data_limits = models.JSONField(_("Data API points last seen"), default=dict, blank=True, editable=False)
    call_limits = models.JSONField(_("Call API points last seen"), default=dict, blank=True, editable=False)
    has_statuses = models.BooleanField(default=True, editable=False)
    supports_in_operator = models.BooleanField(default=True, editable=False)  # whether filters accept the operator `in`
    legs_slot_at = models.DateTimeField(null=True, editable=False)  # when legs may be requested next
    synced_at = models.DateTimeField(_("employees synced"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("UIS connection")
        verbose_name_plural = _("UIS connections")
        constraints = [one_holder("uis_account_held_once")]
        # Asked for every two seconds; few were ever limited.
        indexes = [
            models.Index(
                fields=["limited_until"],
                name="uis_connection_limited",
                condition=models.Q(limited_until__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_brand_display()}"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of UIS's dates."""
        return ZoneInfo(self.time_zone or self.tenant.time_zone)

    @property
    def region(self) -> str:
        """The country (ISO code) of numbers without a country code; "" if unknown."""
        if self.tenant.home_country:
            return self.tenant.home_country
        return home_region.default(self.tenant.time_zone, self.time_zone, self.brand)

    def end_pause(self, *, now: datetime) -> None:
        """Forget how many API points were left, too: the client may have bought more."""
        super().end_pause(now=now)
        self._row().update(data_limits={}, call_limits={})

    def rotate_hook(self, *, now: datetime) -> None:
        """Replace the secret in our webhook URLs; the old one works for 24 hours more."""
        self.old_hook_digest, self.old_hook_until = self.hook_digest, now + OLD_HOOK_LIFETIME
        self.hook = generate_token()
        self.save(update_fields=["old_hook_digest", "old_hook_until", "hook", "hook_digest"])

    def revoke_hook(self, *, now: datetime) -> None:
        """Replace the secret in our webhook URLs; neither the old one nor one before it works any more."""
        self.old_hook_digest = self.old_hook_until = None
        self.hook, self.hook_revoked_at = generate_token(), now
        self.save(update_fields=["old_hook_digest", "old_hook_until", "hook", "hook_digest", "hook_revoked_at"])

    def is_rotating(self, *, now: datetime) -> bool:
        """Return whether the old webhook URL still works."""
        return self.old_hook_until is not None and self.old_hook_until > now
