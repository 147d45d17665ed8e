"""A client's two accounts: where, with which key, and whether the other side lets us in."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants import breaker
from tenants.fields import EncryptedTextField
from tenants.models.tenant import Tenant, check_zone, new_hook

OLD_HOOK_TERM = timedelta(hours=24)


class Denial(models.TextChoices):
    """Why the other side does not let us in, and what must be changed where; the codes are those of the two wires."""

    NONE = "", ""
    TOKEN_INVALID = (
        "access_token_invalid",
        _("UIS does not know the key. Make a new one in UIS: Administrator → User management."),
    )
    TOKEN_EXPIRED = (
        "access_token_expired",
        _("The UIS key has expired. Make a new one: Administrator → User management."),
    )
    TOKEN_BLOCKED = (
        "access_token_blocked",
        _("The UIS key is blocked. Make a new one: Administrator → User management."),
    )
    AUTH_ERROR = "auth_error", _("UIS refused the login. Make a key in UIS: Administrator → User management.")
    ADDRESS_NOT_LISTED = (
        "ip_not_whitelisted",
        _("Our address is not on the list in UIS: Administrator → Account → Rules and security settings, tab API."),
    )
    ACCOUNT_INACTIVE = "account_inactive", _("The UIS account is switched off. Contact the support of UIS.")
    FORBIDDEN = "forbidden", _("The key's user lacks a right in UIS: Administrator → User management.")
    COMPONENT = "component_disabled", _("An option is missing in UIS: Account → Tariffs and options.")
    METHOD_COMPONENT = (
        "method_component_disabled",
        _("A Data API option is missing in UIS: Account → Tariffs and options."),
    )
    CRM_KEY = "key", _("The CRM does not know the key. Make a new one: Settings → Integration → API keys.")
    CRM_SCOPE = "scope", _("The CRM key lacks a right. Tick it in the CRM: Settings → Integration → API keys.")
    CRM_ACCOUNT = "account", _("There is no CRM account at this address. Check the address.")
    TELEPHONY_OFF = "telephony_off", _("Our module is switched off in the CRM: Settings → Integration.")
    NOT_HTTPS = "address_not_https", _("The address must begin with https://.")
    NOT_PUBLIC = "address_not_public", _("The address is not a public one.")


class Connection(models.Model):
    """What the two connections share: whether the other side lets us in."""

    denied_at = models.DateTimeField(_("denied since"), null=True, blank=True, editable=False)
    denied_code = models.CharField(
        _("what must be changed"),
        max_length=60,
        choices=Denial.choices,
        blank=True,
        default=Denial.NONE,
        editable=False,
    )
    denied_says = models.TextField(_("what was answered"), blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)  # requests in a row that got no answer
    retry_at = models.DateTimeField(_("asked again at"), null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def keeps_out(self, *, is_live: bool, now: datetime) -> bool:
        """Whether the other side has not answered lately, and is left alone for now."""
        return breaker.keeps_out(self.failures, self.retry_at, is_live=is_live, now=now)

    def miss(self, *, wait: float | None, is_live: bool, now: datetime) -> None:
        """Count a request that got no answer.

        Requests that were on their way together count once, unless a person waited for them: a worker each is lost.
        """
        if self.pk is None:
            return  # It is only being tried out.
        mine = type(self)._default_manager.filter(pk=self.pk)
        if not is_live:
            mine = mine.exclude(failures=self.failures + 1, retry_at__gt=now)
        retry_at = now + breaker.pause(self.failures + 1, wait=wait)
        mine.update(failures=models.F("failures") + 1, retry_at=retry_at)
        self.refresh_from_db(fields=["failures", "retry_at"])

    def answer(self) -> bool:
        """Note that the other side answers; say whether it had not before."""
        if not self.failures:
            return False
        self.failures, self.retry_at = 0, None
        return type(self)._default_manager.filter(pk=self.pk, failures__gt=0).update(failures=0, retry_at=None) == 1

    def may_probe(self, *, now: datetime) -> bool:
        """Say whether this worker may look if the other side is back, and keep the others from it for a minute."""
        due = type(self)._default_manager.filter(pk=self.pk, failures__gt=0, retry_at__lte=now)
        return due.update(retry_at=now + breaker.PROBE_TERM) == 1

    def deny(self, code: str, says: str, *, now: datetime) -> None:
        """Pause the whole connection: nothing more is sent until a check succeeds or the settings change."""
        type(self)._default_manager.filter(pk=self.pk, denied_at=None).update(denied_at=now)
        type(self)._default_manager.filter(pk=self.pk).update(denied_code=code, denied_says=says)

    def allow(self) -> None:
        """Let work flow again."""
        if self.denied_at is not None:
            self.denied_at, self.denied_code, self.denied_says = None, "", ""
            self.save(update_fields=["denied_at", "denied_code", "denied_says"])


class UisConnection(Connection):
    """A client's account in UIS, CoMagic, CallGear or Novofon."""

    class Brand(models.TextChoices):
        UIS = "uis", "UIS"
        COMAGIC = "comagic", "CoMagic"
        CALLGEAR = "callgear", "CallGear"
        NOVOFON = "novofon", "Novofon"

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="uis", verbose_name=_("client"))
    brand = models.CharField(_("brand"), max_length=20, choices=Brand.choices, default=Brand.UIS)
    access_token = EncryptedTextField(_("access key"), blank=True)
    agent_user_id = models.BigIntegerField(
        _("user id"), null=True, blank=True, help_text=_("Only for agents: the client's user on whose behalf we ask.")
    )
    hook = models.CharField(
        _("secret part of our address"), max_length=64, unique=True, default=new_hook, editable=False
    )
    # After a rotation the one before goes on being heard for a while: the client types the new one in by hand.
    old_hook = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001 -- most have none
    old_hook_until = models.DateTimeField(_("old address valid until"), null=True, blank=True, editable=False)
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[check_zone],
        help_text=_("Read from UIS; empty: the client's."),
    )
    media_host = models.CharField(
        _("host of recordings"),
        max_length=100,
        blank=True,
        help_text=_("Empty: the brand's own, such as app.uiscom.ru."),
    )
    data_limits = models.JSONField(_("Data API points last seen"), default=dict, blank=True, editable=False)
    call_limits = models.JSONField(_("Call API points last seen"), default=dict, blank=True, editable=False)
    has_statuses = models.BooleanField(default=True, editable=False)
    takes_lists = models.BooleanField(default=True, editable=False)  # whether filters accept the operator `in`
    collect_after = models.DateTimeField(null=True, editable=False)  # the pace of asking for legs
    oversized = models.PositiveIntegerField(_("notifications too large to take"), default=0, editable=False)
    synced_at = models.DateTimeField(_("employees brought"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("UIS connection")
        verbose_name_plural = _("UIS connections")

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_brand_display()}"

    @property
    def zone(self) -> ZoneInfo:
        """The zone UIS writes its dates in."""
        return ZoneInfo(self.time_zone or self.tenant.time_zone)

    @property
    def is_russian(self) -> bool:
        """Whether a number without a country code is a Russian one."""
        return self.brand != self.Brand.CALLGEAR

    def rotate(self, *, now: datetime) -> None:
        """Make a new secret part of our addresses; the one before is heard for a day, then it is nobody's."""
        self.old_hook, self.old_hook_until, self.hook = self.hook, now + OLD_HOOK_TERM, new_hook()
        self.save(update_fields=["old_hook", "old_hook_until", "hook"])

    def is_rotating(self, *, now: datetime) -> bool:
        """Whether the address before this one is still heard."""
        return self.old_hook_until is not None and self.old_hook_until > now


class CrmConnection(Connection):
    """A client's account in retailCRM (Simla)."""

    class Version(models.TextChoices):
        AUTO = "auto", _("the newest that is served")
        V5 = "v5", "v5"
        V4 = "v4", "v4"

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="crm", verbose_name=_("client"))
    address = models.URLField(_("address"), blank=True, help_text=_("Such as https://shop.retailcrm.ru"))
    key = EncryptedTextField(_("API key"), blank=True)
    version = models.CharField(_("version"), max_length=4, choices=Version.choices, default=Version.AUTO)
    served_version = models.CharField(_("version in use"), max_length=4, blank=True, editable=False)
    module_code = models.CharField(_("module code"), max_length=64, blank=True, editable=False)
    client_id = EncryptedTextField(editable=False, default=new_hook)
    site = models.CharField(
        _("store"), max_length=100, blank=True, help_text=_("Code of the store, where the key sees several.")
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[check_zone],
        help_text=_("Read from the CRM; empty: the client's."),
    )
    stores = models.JSONField(default=list, editable=False)  # codes of the stores the key reaches, as last seen
    sent_module = models.JSONField(default=dict, editable=False)  # the extensions and numbers the module was last told
    registered_at = models.DateTimeField(_("module registered"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("CRM connection")
        verbose_name_plural = _("CRM connections")

    def __str__(self) -> str:
        return f"{self.tenant} · {self.address}"

    @property
    def zone(self) -> ZoneInfo:
        """The zone the CRM reads its dates in."""
        return ZoneInfo(self.time_zone or self.tenant.time_zone)
