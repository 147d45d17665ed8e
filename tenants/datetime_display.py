"""Formats datetimes in the time zone of their tenant, for pages and admin columns."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import column
from tenants.models import Tenant

DAY = "j E Y"  # Django's own Russian format ends in a full stop, which breaks sentences.
TIME = "G:i"  # 24 hours in every language


def day(tenant: Tenant, moment: datetime) -> str:
    return date_format(moment.astimezone(tenant.zone), DAY)


def format_short(tenant: Tenant | None, moment: datetime | None, *, now: datetime, time_format: str = TIME) -> str:
    """Format a datetime in short: only the time if it is today, no year if it is this year."""
    if moment is None:
        return ""
    zone = tenant.zone if tenant else UTC
    here, today = moment.astimezone(zone), now.astimezone(zone).date()
    time = date_format(here, time_format)
    if here.date() == today:
        return time
    return f"{date_format(here, 'j E' if here.year == today.year else DAY)}, {time}"


def format_with_seconds(tenant: Tenant, moment: datetime, *, now: datetime) -> str:
    return format_short(tenant, moment, now=now, time_format="H:i:s")


def format_full(tenant: Tenant | None, moment: datetime | None) -> str:
    """Format a datetime with its date and time zone."""
    if moment is None:
        return ""
    here = moment.astimezone(tenant.zone if tenant else UTC)
    return f"{date_format(here, DAY)}, {date_format(here, TIME)} ({tenant.time_zone if tenant else 'UTC'})"


def short_column(model: type[models.Model], name: str, *, names_clock: bool = False) -> Any:
    """Return a sortable admin list column; `names_clock` adds “client's time” to its label."""
    short = _column(model, name, lambda tenant, moment: format_short(tenant, moment, now=timezone.now()))
    if names_clock:
        short.short_description = format_lazy(_("{moment}, client's time"), moment=short.short_description)
    return short


def full_field(model: type[models.Model], name: str) -> Any:
    """Return a read-only field of an admin page."""
    return _column(model, name, format_full)


def full_fields(model: type[models.Model], *names: str) -> tuple[Any, ...]:
    return tuple(full_field(model, name) for name in names)


def _column(
    model: type[models.Model], name: str, show: Callable[[Tenant | None, datetime | None], str]
) -> Any:  # The tenant of an audit log entry may be deleted.
    return column(
        model,
        name,
        lambda row: show(row if isinstance(row, Tenant) else getattr(row, "tenant", None), getattr(row, name)),
    )
