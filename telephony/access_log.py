"""The access log: who saw a full number or played a recording, with one entry for repeated requests."""

import ipaddress
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from telephony.models import AccessLogEntry, Call
from tenants.models import Tenant, User

# A player requests a part at a time, and people pause.
DEDUPLICATION_WINDOW = timedelta(minutes=10)


@transaction.atomic
def log_access(
    call: Call, kind: AccessLogEntry.Kind, *, by: User | AnonymousUser | None, address: str, now: datetime
) -> None:
    """Log an access by a staff user, or by the link, with the masked IP address."""
    user = by if isinstance(by, get_user_model()) else None
    actor = {"kind": kind, "user": user, "username": user.get_username() if user else "", "address": masked(address)}
    Call.objects.select_for_update(of=("self",)).only("pk").get(pk=call.pk)  # A player's first requests are concurrent.
    if not AccessLogEntry.objects.filter(call=call, last_at__gt=now - DEDUPLICATION_WINDOW, **actor).update(
        last_at=now
    ):
        AccessLogEntry.objects.create(tenant_id=call.tenant_id, call=call, at=now, last_at=now, **actor)


@transaction.atomic
def note_numbers(tenant: Tenant, calls: Collection[int], *, by: User, address: str, now: datetime) -> None:
    """Log that a user saw a list with the full numbers of these calls (primary keys) of one tenant.

    Two concurrent requests may create two entries. Three queries.
    """
    actor = {"user": by, "username": by.get_username(), "address": masked(address)}
    entry: dict[str, Any] = {"kind": AccessLogEntry.Kind.PHONE_NUMBER, "tenant": tenant, **actor}
    recent = AccessLogEntry.objects.filter(call__in=calls, last_at__gt=now - DEDUPLICATION_WINDOW, **entry)
    known = dict(recent.order_by().values_list("call", "pk"))
    AccessLogEntry.objects.filter(pk__in=known.values()).update(last_at=now)
    new = (AccessLogEntry(call_id=pk, at=now, last_at=now, **entry) for pk in calls if pk not in known)
    AccessLogEntry.objects.bulk_create(new)


def masked(address: str) -> str:
    """Return an IP address without its host part; "" if it is invalid."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if isinstance(mapped or found, ipaddress.IPv4Address):
        return f"{str(mapped or found).rpartition('.')[0]}.x"
    return str(ipaddress.ip_network((found, 48), strict=False))
