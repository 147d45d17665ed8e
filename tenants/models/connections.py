"""A tenant's accounts at UIS and retailCRM: URL, key, and whether access is denied."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.circuit_breaker import LIVE_FAILURE_THRESHOLD, PROBE_TERM, backoff
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, columns, generate_token, lost
from tenants.account_url import is_same_host, validate_account_url
from tenants.models.denials import AccessDenials
from tenants.models.held_account import HeldAccount, one_holder
from tenants.models.tenant import Tenant, validate_time_zone
from tenants.models.webhook_intake import WebhookIntake

OLD_HOOK_LIFETIME = timedelta(hours=24)


def normalise_address(address: str) -> str:
    """Return an account's URL in the form we store and compare: lower case, without a trailing slash."""
    return address.strip().rstrip("/").lower()


class Connection(HeldAccount, AccessDenials):
    """The common part: key changes and the circuit breaker."""

    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)  # requests in a row without a reply
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def is_circuit_open(self, *, is_live: bool, now: datetime) -> bool:
        """Return whether nothing should be sent now; for live work only after several failures in a row."""
        is_backing_off = self.retry_at is not None and now < self.retry_at
        return is_backing_off and (not is_live or self.consecutive_failures >= LIVE_FAILURE_THRESHOLD)

    def record_failure(self, *, wait: float | None, is_live: bool, now: datetime) -> None:
        """Count a request without a reply, and set the next attempt; `wait` is the vendor's Retry-After in seconds.

        Requests that failed at the same time count once, except live ones: each of them blocks a worker.
        """
        if self.pk is None:
            return  # An unsaved connection: its keys are only being tested.
        mine = self._row()
        if not is_live:
            mine = mine.exclude(consecutive_failures=self.consecutive_failures + 1, retry_at__gt=now)
        retry_at = now + backoff(self.consecutive_failures + 1, wait=wait)
        mine.update(consecutive_failures=models.F("consecutive_failures") + 1, retry_at=retry_at)
        self.refresh_from_db(fields=["consecutive_failures", "retry_at"])

    def record_success(self, *proven: str) -> bool:
        """Record a reply, and the subjects it proves to be allowed; return whether what waited may go on."""
        is_lifted = bool(self.denials) and self.lift(*proven)
        if not self.consecutive_failures:
            return is_lifted
        self.consecutive_failures, self.retry_at = 0, None
        failing = self._row().filter(consecutive_failures__gt=0)
        return failing.update(consecutive_failures=0, retry_at=None) == 1 or is_lifted

    def try_half_open(self, *, now: datetime) -> bool:
        """Return whether this worker may send the half-open probe; other workers may not for one minute."""
        due = self._row().filter(consecutive_failures__gt=0, retry_at__lte=now)
        return due.update(retry_at=now + PROBE_TERM) == 1

    def return_half_open(self) -> None:
        """Let the next worker send the half-open probe: this one had nothing to ask."""
        unused = type(self)._default_manager.filter(pk=self.pk, consecutive_failures__gt=0, retry_at=self.retry_at)
        unused.update(retry_at=timezone.now())

    def is_paused(self, *, now: datetime) -> bool:
        """Return whether requests wait for the vendor."""
        return bool(self.denials) or (self.retry_at is not None and self.retry_at > now)

    def end_pause(self, *, now: datetime) -> None:
        """Let the next request try whether the vendor answers, and allows what it denied."""
        self._row().filter(retry_at__gt=now).update(retry_at=now)
        self.try_rights_now(now=now)

    def change(self, **values: str) -> bool:
        """Store the values that are not empty; a change lifts the denials. Return whether anything changed.

        Raises ValidationError.
        """
        values = self.complete(values)
        changed = [name for name, value in values.items() if getattr(self, name) != value]
        for name in changed:
            setattr(self, name, values[name])
        if changed:
            self.clean_fields(exclude={field.name for field in self._meta.fields} - set(changed))
            self.save(update_fields=changed)
            self.try_anew(changed)
        return bool(changed)

    def complete(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values to store for those that were entered: an empty one means no change."""
        return {name: value for name, value in values.items() if value}


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

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_brand_display()}"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of UIS's dates."""
        return ZoneInfo(self.time_zone or self.tenant.time_zone)

    @property
    def is_russian(self) -> bool:
        """Whether numbers without a country code are Russian."""
        return self.brand != self.Brand.CALLGEAR

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


class CrmConnection(Connection):
    """A client's account in retailCRM (Simla)."""

    PROBE_TASK = "crm.tasks.probe"

    class Version(Choices):
        AUTO = "auto", _("newest supported")
        V5 = "v5", "v5"
        V4 = "v4", "v4"

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="crm", verbose_name=_("client"))
    address = models.URLField(
        _("address"),
        blank=True,
        validators=[validate_account_url],
        help_text=_("For example https://shop.retailcrm.ru. A new host needs its key: the stored one is deleted."),
    )
    key = EncryptedTextField(_("API key"), blank=True, if_undecryptable=str)
    version = models.CharField(_("version"), max_length=4, choices=Version.as_choices, default=Version.AUTO)
    served_version = models.CharField(_("version in use"), max_length=4, blank=True, editable=False)
    module_code = models.CharField(_("module code"), max_length=64, blank=True, editable=False)
    # One that cannot be decrypted matches no request.
    client_id = EncryptedTextField(editable=False, default=generate_token, if_undecryptable=generate_token)
    # The secret part of the URLs that the CRM calls; UIS has another one.
    hook = EncryptedTextField(editable=False, default=generate_token, if_undecryptable=lost)
    hook_digest = DigestField(of="hook")
    # Since when the CRM does not have our present URLs or clientId.
    module_outdated_since = models.DateTimeField(_("CRM lacks our new URLs since"), null=True, editable=False)
    site = models.CharField(
        _("store"), max_length=100, blank=True, help_text=_("Code of the store, if the key has access to several.")
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text=_("Read from the CRM. If empty, the client's time zone applies."),
    )
    stores = models.JSONField(default=list, editable=False)  # codes of the stores the key has access to, as last seen
    registered_module = models.JSONField(default=dict, editable=False)  # extensions and numbers last sent to the module
    registered_at = models.DateTimeField(_("module registered"), null=True, blank=True, editable=False)
    # One worker at a time compares and sends the module's list; the others ask it to look again.
    module_claim = models.UUIDField(null=True, editable=False)
    module_claimed_until = models.DateTimeField(null=True, editable=False)
    is_module_wanted = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = _("CRM connection")
        verbose_name_plural = _("CRM connections")
        constraints = [one_holder("crm_account_held_once")]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.address}"

    def complete(self, values: Mapping[str, str]) -> dict[str, str]:
        entered = super().complete(values)
        return entered if self.keeps_key(entered.get("address", self.address)) else {"key": ""} | entered

    def keeps_key(self, address: str) -> bool:
        """Return whether the stored key stays with this address: only who knows a key may name another host for it."""
        return not self.address or address == self.address or is_same_host(self.address, address)

    @property
    def account(self) -> str:
        """The account's address in the form that addresses are compared in."""
        return normalise_address(self.address)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which the CRM reads dates."""
        return ZoneInfo(self.time_zone or self.tenant.time_zone)

    def rotate_hook(self) -> None:
        """Replace the secret in the URLs that the CRM calls; the old one stops working at once."""
        self.hook = generate_token()
        self.save(update_fields=["hook", "hook_digest"])

    def replace_secrets(self) -> None:
        """Replace all that lets the CRM in: the secret in its URLs and the clientId."""
        values = new_secrets()
        for name, value in values.items():
            setattr(self, name, value)
        self.save(update_fields=list(values))

    def mark_outdated(self, *, now: datetime) -> None:
        """Note that the CRM has not yet been told our new URLs; the sweep repeats it until it has."""
        if self.module_outdated_since is None:
            self.module_outdated_since = now
            self.save(update_fields=["module_outdated_since"])


def new_secrets() -> dict[str, str]:
    """Return the columns that let the CRM in, with new values, for `QuerySet.update`."""
    return {"client_id": generate_token(), **columns("hook", generate_token())}
