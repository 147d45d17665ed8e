"""Formats datetimes in the time zone of their tenant, for pages and admin columns."""

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

DAY = "j E Y"  # Django's own Russian format ends in a full stop, which breaks sentences.
TIME = "G:i"  # 24 hours in every language


def day(tenant: Tenant, moment: datetime) -> str:
    return date_format(moment.astimezone(tenant.zone), DAY)


def format_short(tenant: Tenant | None, moment: datetime | None, *, now: datetime) -> str:
    """Format a datetime in short: only the time if it is today, no year if it is this year."""
    if moment is None:
        return ""
    zone = tenant.zone if tenant else UTC
    here, today = moment.astimezone(zone), now.astimezone(zone).date()
    if here.date() == today:
        return date_format(here, TIME)
    shown = date_format(here, "j E" if here.year == today.year else DAY)
    return f"{shown}, {date_format(here, TIME)}"


def format_with_seconds(tenant: Tenant, moment: datetime, *, now: datetime) -> str:
    """Format a datetime with seconds; with the day if it is not today, and the year if it is not this year."""
    here, today = moment.astimezone(tenant.zone), now.astimezone(tenant.zone).date()
    shown = f"{here:%H:%M:%S}"
    if here.date() == today:
        return shown
    return f"{date_format(here, 'j E' if here.year == today.year else DAY)}, {shown}"


def format_full(tenant: Tenant | None, moment: datetime | None) -> str:
    """Format a datetime with its date and time zone."""
    if moment is None:
        return ""
    here = moment.astimezone(tenant.zone if tenant else UTC)
    return f"{date_format(here, DAY)}, {date_format(here, TIME)} ({tenant.time_zone if tenant else 'UTC'})"


def short_column(model: type[models.Model], name: str, *, names_clock: bool = False) -> Any:
    """Return a sortable admin list column; `names_clock` adds “client's time” to its label."""
    label = _label(model, name)
    if names_clock:
        label = format_lazy(_("{moment}, client's time"), moment=label)

    def shown(row: Any) -> str:
        return format_short(_client_of(row), getattr(row, name), now=timezone.now())

    return _column(shown, name, label)


def full_field(model: type[models.Model], name: str) -> Any:
    """Return a read-only field of an admin page."""

    def shown(row: Any) -> str:
        return format_full(_client_of(row), getattr(row, name))

    return _column(shown, name, _label(model, name))


def _column(
    shown: Callable[[Any], str], name: str, label: Any
) -> Any:  # The type stubs accept field names only, not functions.
    shown.__name__ = name  # Becomes the CSS class of the cells.
    return admin.display(description=label, ordering=name)(shown)


def _client_of(row: Any) -> Tenant | None:
    """Return the tenant of a row; None if it has none, or if the tenant of an audit log entry is deleted."""
    tenant: Tenant | None = row if isinstance(row, Tenant) else getattr(row, "tenant", None)
    return tenant


def _label(model: type[models.Model], name: str) -> Any:
    field: Any = model._meta.get_field(name)
    return field.verbose_name
