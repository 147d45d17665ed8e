"""The tenant: a shop with an account at UIS and retailCRM."""

import functools
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers, time_zones
from connector_project.core.business_hours import BusinessHours
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, generate_token, lost
from connector_project.core.task_queue import enqueue

if TYPE_CHECKING:
    from tenants.models.rule_version import RuleVersion
    from tenants.rules import Rules
    from tenants.transfer_rules import RuleSet

ACTIVATION_LINK_LIFETIME = timedelta(days=14)


def validate_time_zone(value: str) -> None:
    """Raise ValidationError if the name is not an IANA time zone."""
    if value and value not in time_zones.known():
        raise ValidationError(
            _("“%(zone)s” is not a time zone. Use a name such as Europe/Moscow."), params={"zone": value}
        )


def languages() -> Iterable[tuple[str, Any]]:
    """The choices of a tenant's language."""
    return settings.LANGUAGES


@functools.cache
def home_countries() -> Sequence[tuple[str, str]]:
    """The choices of a tenant's home country, with its calling code."""
    return tuple((region, f"{region} +{phone_numbers.country_code(region)}") for region in phone_numbers.REGIONS)


class TenantQuerySet(models.QuerySet["Tenant"]):
    def live(self) -> "TenantQuerySet":
        """Return the tenants that anything may be sent for: activated, not paused, not disconnected."""
        return self.filter(activated_at__isnull=False, is_paused=False, offboarded_at=None)

    def zones(self) -> dict[int, str]:
        """Return the time zone of each tenant."""
        return dict(self.order_by().values_list("pk", "time_zone"))

    def by_uis_hook(self, hook: str, *, now: datetime) -> "TenantQuerySet":
        """Return the tenant with this current or old hook for UIS, as a QuerySet of at most one."""
        old = models.Q(uis__old_hook_digest__of=hook, uis__old_hook_until__gt=now)
        return self.filter(models.Q(uis__hook_digest__of=hook) | old)

    def by_crm_hook(self, hook: str) -> "TenantQuerySet":
        """Return the tenant with this hook for the CRM, as a QuerySet of at most one."""
        return self.filter(crm__hook_digest__of=hook)

    def by_activation_token(self, token: str) -> "TenantQuerySet":
        """Return the tenant whose page this token opens, as a QuerySet of at most one."""
        return self.filter(activation_token_digest__of=token, offboarded_at=None)

    def lock_row(self, pk: int) -> bool:
        """Lock a client's row, whatever this QuerySet has; return whether it is there. Needs a transaction.

        To change several rows of a client, lock this one first: otherwise two transactions may wait for each other.
        """
        return bool(_locked().fetch(tenant=pk))

    def lock(self, pk: int) -> "Tenant | None":
        """Lock a client's row as `lock_row`, and return it with their connections and the version of their rules."""
        self.lock_row(pk)
        return self.select_related("uis", "crm", "rule_version").filter(pk=pk).first()

    @transaction.atomic
    def enqueue_each(self, task: str) -> None:
        """Queue a task for each tenant, by its primary key."""
        for pk in self.values_list("pk", flat=True):
            enqueue(task, pk)


@functools.cache
def _locked() -> CompiledSelect[tuple[int]]:
    return CompiledSelect(
        lambda given: (
            Tenant.objects.filter(pk=given.integer("tenant"))
            .select_for_update(no_key=True)
            .order_by()
            .values_list("pk")
        )
    )


class Tenant(models.Model):
    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("short name"), max_length=80, unique=True)
    language = models.CharField(_("language"), max_length=2, choices=languages, default="ru")
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="Europe/Moscow", validators=[validate_time_zone]
    )
    home_country = models.CharField(
        _("home country"),
        max_length=2,
        blank=True,
        choices=home_countries,
        help_text=_("Numbers that people type without a country code are of it. If empty, the time zone's country."),
    )
    is_paused = models.BooleanField(
        _("paused"),
        default=False,
        help_text=_("Events are stored and processed after you resume; pop-ups are not shown."),
    )
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True, editable=False)
    activation_token = EncryptedTextField(default=generate_token, editable=False, if_undecryptable=lost)
    activation_token_digest = DigestField(of="activation_token")
    activation_expires_at = models.DateTimeField(null=True, editable=False)
    # Opens the onboarding page once, for users who come from the CRM's marketplace.
    one_time_token_digest = DigestField(null=True)
    # An operator ended the client's access: no request of the CRM may restore it until an operator agrees.
    needs_approval = models.BooleanField(default=False, editable=False)
    approval_asked_at = models.DateTimeField(null=True, editable=False)  # by the client, meanwhile
    opens_at = models.TimeField(_("opens at"), default=time(9))
    closes_at = models.TimeField(_("closes at"), default=time(18))
    works_weekends = models.BooleanField(_("open on weekends"), default=False)
    upload_window_days = models.PositiveSmallIntegerField(
        _("upload window, days"),
        default=30,
        help_text=_("Older calls are not uploaded. After disconnecting, data is deleted when this time is over."),
    )
    # Shorter terms than those of the installation; `tenants.retention` decides.
    retention_payload_days = models.PositiveSmallIntegerField(
        _("raw notifications, days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Then the texts that UIS sent are deleted; what was read from them stays as long as the call."),
    )
    retention_calls_days = models.PositiveSmallIntegerField(
        _("calls, days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Then a finished call is deleted with all that belongs to it; our recording link ends with it."),
    )
    retention_logs_days = models.PositiveSmallIntegerField(
        _("audit and access log, days"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    # What decides from now on. Null only within the transaction that creates the client and version 1.
    rule_version = models.ForeignKey(
        "tenants.RuleVersion", models.RESTRICT, null=True, related_name="+", db_index=False, editable=False
    )
    # When which numbers were erased, by their token: events of earlier calls must not bring them back.
    erased_numbers = models.JSONField(default=dict, editable=False)
    offboarded_at = models.DateTimeField(_("disconnected"), null=True, blank=True, editable=False)
    # Our recording links issued up to this moment do not work.
    recording_links_revoked_at = models.DateTimeField(
        _("recording links revoked"), null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    # Of the version that decides now, without a query if the client was loaded with it. Read many times for each call.
    current_version: "RuleVersion" = cast("RuleVersion", property(attrgetter("rule_version")))
    rules: "Rules" = cast("Rules", property(attrgetter("rule_version.value")))
    rule_set: "RuleSet" = cast("RuleSet", property(attrgetter("rule_version.rule_set")))

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering = ("name",)
        permissions = [("view_full_numbers", "Can see full phone numbers of customers")]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def business_hours(self) -> BusinessHours:
        return BusinessHours(self.opens_at, self.closes_at, on_weekends=self.works_weekends)

    @property
    def is_live(self) -> bool:
        """Whether anything may be sent for this tenant."""
        return self.activated_at is not None and not self.is_paused and self.offboarded_at is None

    def upload_window_start(self, *, now: datetime) -> datetime:
        """Return the start of the upload window: older calls are not uploaded. Zero days count as one."""
        return now - timedelta(days=max(self.upload_window_days, 1))

    def pause(self) -> None:
        """Store events, send nothing."""
        self.is_paused = True
        self.save(update_fields=["is_paused"])

    def resume(self) -> None:
        self.is_paused = False
        self.save(update_fields=["is_paused"])

    def has_activation_link(self, *, now: datetime) -> bool:
        """Return whether the client's page can be opened by its activation link."""
        return self.activation_expires_at is not None and self.activation_expires_at > now

    def renew_activation_link(self, *, now: datetime) -> None:
        """Create a new activation link; the old one stops working at once."""
        self.activation_token, self.activation_expires_at = generate_token(), now + ACTIVATION_LINK_LIFETIME
        self.save(update_fields=["activation_token", "activation_token_digest", "activation_expires_at"])
        self.approve()

    def revoke_activation_link(self, *, now: datetime) -> None:
        """Revoke every link to the client's page. Only an operator can create a new one."""
        self.activation_token, self.activation_expires_at = generate_token(), now
        self.one_time_token_digest = None
        columns = ("activation_token", "activation_token_digest", "activation_expires_at", "one_time_token_digest")
        self.needs_approval, self.approval_asked_at = True, None
        self.save(update_fields=[*columns, "needs_approval", "approval_asked_at"])

    def approve(self) -> None:
        """Let the next request of the CRM restore the client's access."""
        self.needs_approval, self.approval_asked_at = False, None
        self.save(update_fields=["needs_approval", "approval_asked_at"])
