"""Limits of failed sign-ins: by name and address, and by address alone; kept in django-axes' table.

Never by name alone: a stranger could lock an administrator out for good.
"""

import ipaddress
from datetime import datetime
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.db.models import F, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from connector_project.core.refusals import refuse
from connector_project.operations.sign_in import events

PER_NAME_AND_ADDRESS = 5
PER_ADDRESS = 30
# One subscriber has at least that many IPv6 addresses.
IPV6_PREFIX = 64


class SignInLimits(AxesDatabaseHandler):  # type: ignore[misc]  # django-axes has no types
    """Counts failures in one row per name and address, without what was sent: it may hold a password.

    A failure during a lockout is not counted, so a lockout ends 15 minutes after the failure that began it.
    """

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        name = (credentials or {}).get("username")
        recent = AccessAttempt.objects.filter(
            ip_address=request.axes_ip_address,  # type: ignore[attr-defined]
            attempt_time__gte=timezone.now() - get_cool_off(request),
        )
        failures = recent.aggregate(
            by_name=Sum("failures_since_start", filter=Q(username=name)), by_address=Sum("failures_since_start")
        )
        is_over = (failures["by_name"] or 0) >= PER_NAME_AND_ADDRESS or (failures["by_address"] or 0) >= PER_ADDRESS
        return bool(is_over)

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **_signal: Any) -> None:
        """Count a wrong password or code, and lock out at the limit."""
        name = str(credentials.get("username") or "")[:150]
        if request.axes_locked_out:
            events.log_refused(request)
            return
        delete_expired(now=timezone.now())
        self._count(request.axes_ip_address, name)
        events.record_refusal(events.Action.SIGN_IN_FAILED, request, name)
        if self.is_locked(request, credentials):
            request.axes_locked_out, request.axes_credentials = True, credentials
            events.record_refusal(events.Action.LOCKED_OUT, request, name)

    def user_logged_in(self, *_args: Any, **_signal: Any) -> None:
        """Do nothing: failures are forgotten after the second factor."""

    def user_logged_out(self, *_args: Any, **_signal: Any) -> None:
        """Do nothing: the audit log has it."""

    def _count(self, address: str | None, name: str) -> None:
        """Count a failure. Without an address the database allows several rows: all of them count."""
        key = {"username": name, "ip_address": address, "user_agent": ""}
        mine = AccessAttempt.objects.filter(**key)
        if not mine.exists():  # A concurrent request may create it first.
            AccessAttempt.objects.bulk_create([AccessAttempt(**key, failures_since_start=0)], ignore_conflicts=True)
        mine.update(failures_since_start=F("failures_since_start") + 1, attempt_time=timezone.now())


def locking_address(request: HttpRequest) -> str | None:
    """Return the address that failures are counted for; None if the client has none, as behind a unix socket."""
    try:
        address = ipaddress.ip_address(events.address_of(request))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False).network_address)
    return str(address)


def refuse_if_locked_out(request: HttpRequest, name: str) -> HttpResponse | None:
    """Return the page of a lockout if this name and address must wait."""
    if AxesProxyHandler.is_allowed(request, {"username": name}):
        return None
    events.log_refused(request)
    return lockout_page(request)


def count_failure(request: HttpRequest, name: str) -> None:
    """Count a failure that Django does not report: a wrong second factor, an account without access."""
    AxesProxyHandler.user_login_failed(sender=__name__, credentials={"username": name}, request=request)


def forget_failures(request: HttpRequest, name: str) -> None:
    """Forget the failures of a name at this address after a complete sign-in; those of other names stay."""
    AccessAttempt.objects.filter(username=name, ip_address=locking_address(request)).delete()


def delete_expired(*, now: datetime) -> None:
    """Delete attempts that count no more."""
    AccessAttempt.objects.filter(attempt_time__lt=now - get_cool_off()).delete()


def lockout_page(request: HttpRequest, *_original: Any) -> HttpResponse:
    """Return what somebody sees who is locked out (AXES_LOCKOUT_CALLABLE)."""
    return refuse("admin/sign_in/locked_out.html", retry_after_seconds=int(get_cool_off(request).total_seconds()))
