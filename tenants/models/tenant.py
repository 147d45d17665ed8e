"""One client of ours."""

import secrets
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.hours import Work

ACTIVATION_TERM = timedelta(days=14)


def new_hook() -> str:
    """Return a secret part of an address: 256 random bits."""
    return secrets.token_urlsafe(32)


def check_zone(value: str) -> None:
    """Raise ValidationError for a name that is no IANA time zone."""
    if value and value not in available_timezones():
        raise ValidationError(_("“%(zone)s” is no time zone; write one such as Europe/Moscow."), params={"zone": value})


class TenantQuerySet(models.QuerySet["Tenant"]):
    """Whom a request from outside is about."""

    def of_hook(self, hook: str, *, now: datetime) -> "TenantQuerySet":
        """Clients, one at most, to whom this secret part of an address belongs: the one in force or the one before."""
        old = models.Q(uis__old_hook=hook, uis__old_hook_until__gt=now)
        return self.filter(models.Q(uis__hook=hook) | old)


class Tenant(models.Model):
    """One client: a shop with an account in each system."""

    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("short name"), max_length=80, unique=True)
    language = models.CharField(_("language"), max_length=2, choices=settings.LANGUAGES, default="ru")
    time_zone = models.CharField(_("time zone"), max_length=64, default="Europe/Moscow", validators=[check_zone])
    is_paused = models.BooleanField(
        _("paused"),
        default=False,
        help_text=_("Everything that comes in is stored and worked off when resumed; no pop-ups."),
    )
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True, editable=False)
    activation_token = models.CharField(max_length=64, unique=True, default=new_hook, editable=False)
    activation_expires_at = models.DateTimeField(null=True, editable=False)
    # Opens the client's page once, for somebody who comes from the CRM's marketplace.
    entry_token = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001 -- most have none
    works_from = models.TimeField(_("works from"), default=time(9))
    works_till = models.TimeField(_("works till"), default=time(18))
    works_weekends = models.BooleanField(_("works on weekends"), default=False)
    keep_days = models.PositiveSmallIntegerField(
        _("term, days"),
        default=30,
        help_text=_("Calls older than this are not sent; the data of a client who left is deleted after it."),
    )
    left_at = models.DateTimeField(_("left"), null=True, blank=True, editable=False)
    # Links of ours to recordings that were given until then open nothing.
    links_withdrawn_at = models.DateTimeField(_("recording links withdrawn"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering = ("name",)
        permissions = [("see_whole_numbers", "Can see whole phone numbers of customers")]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The zone people of this client read times in."""
        return ZoneInfo(self.time_zone)

    @property
    def work(self) -> Work:
        """His working hours."""
        return Work(self.works_from, self.works_till, on_weekends=self.works_weekends)

    @property
    def is_live(self) -> bool:
        """Whether work for this client may leave the house."""
        return self.activated_at is not None and not self.is_paused and self.left_at is None

    def term_begins(self, *, now: datetime) -> datetime:
        """Return the moment before which calls are not sent. A term of no days at all would stop everything."""
        return now - timedelta(days=max(self.keep_days, 1))

    def pause(self) -> None:
        """Keep what comes in, send nothing."""
        self.is_paused = True
        self.save(update_fields=["is_paused"])

    def resume(self) -> None:
        """Let what was kept go on its way."""
        self.is_paused = False
        self.save(update_fields=["is_paused"])

    def new_link(self, *, now: datetime) -> None:
        """Make a new address of the client's page; the one before is dead at once."""
        self.activation_token, self.activation_expires_at = new_hook(), now + ACTIVATION_TERM
        self.save(update_fields=["activation_token", "activation_expires_at"])

    def revoke_link(self, *, now: datetime) -> None:
        """Shut the client's page, by whichever address it is opened."""
        self.activation_token, self.activation_expires_at, self.entry_token = new_hook(), now, None
        self.save(update_fields=["activation_token", "activation_expires_at", "entry_token"])
