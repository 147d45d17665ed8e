"""How a moment is told: by the clock of the client it belongs to, with the month's name, the time alone of today."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant

DAY = "j E Y"  # Django's own format ends in a full stop in Russian, and sentences go on after a date.
TIME = "G:i"  # in every language: shops live by the 24 hours, and “a.m.” ends a sentence too early


def day(tenant: Tenant, moment: datetime) -> str:
    """Return the day of a moment."""
    return date_format(moment.astimezone(tenant.zone), DAY)


def said_at(tenant: Tenant | None, moment: datetime | None, *, now: datetime) -> str:
    """Return a moment in short: the time alone where it was today, no year where it is this one."""
    if moment is None:
        return ""
    zone = tenant.zone if tenant else UTC
    here, today = moment.astimezone(zone), now.astimezone(zone).date()
    if here.date() == today:
        return date_format(here, TIME)
    shown = date_format(here, "j E" if here.year == today.year else DAY)
    return f"{shown}, {date_format(here, TIME)}"


def exactly(tenant: Tenant, moment: datetime, *, now: datetime) -> str:
    """Return a moment with its seconds; with its day where that is not today, and its year where it is not this one."""
    here, today = moment.astimezone(tenant.zone), now.astimezone(tenant.zone).date()
    shown = f"{here:%H:%M:%S}"
    if here.date() == today:
        return shown
    return f"{date_format(here, 'j E' if here.year == today.year else DAY)}, {shown}"


def in_full(tenant: Tenant | None, moment: datetime | None) -> str:
    """Return a moment with its day and the zone it is told in."""
    if moment is None:
        return ""
    here = moment.astimezone(tenant.zone if tenant else UTC)
    return f"{date_format(here, DAY)}, {date_format(here, TIME)} ({tenant.time_zone if tenant else 'UTC'})"


def short(model: type[models.Model], name: str, *, names_clock: bool = False) -> Any:
    """Return a column of a list, sorted by its field; the first one of a list names whose clock it is."""
    label = _label(model, name)
    if names_clock:
        label = format_lazy(_("{moment}, client's time"), moment=label)

    def shown(row: Any) -> str:
        return said_at(_client_of(row), getattr(row, name), now=timezone.now())

    return _column(shown, name, label)


def whole(model: type[models.Model], name: str) -> Any:
    """Return a field of a page."""

    def shown(row: Any) -> str:
        return in_full(_client_of(row), getattr(row, name))

    return _column(shown, name, _label(model, name))


def _column(
    shown: Callable[[Any], str], name: str, label: Any
) -> Any:  # The stubs know only names of fields, no functions.
    shown.__name__ = name  # Pages name their cells by it.
    return admin.display(description=label, ordering=name)(shown)


def _client_of(row: Any) -> Tenant | None:
    """Return whose row it is; a journal may outlive its client."""
    tenant: Tenant | None = row if isinstance(row, Tenant) else row.tenant
    return tenant


def _label(model: type[models.Model], name: str) -> Any:
    field: Any = model._meta.get_field(name)
    return field.verbose_name
