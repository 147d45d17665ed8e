"""The access log: who saw or searched for a full number, or played a recording; one entry for repeated requests."""

import ipaddress
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from connector_project.core import phone_numbers
from telephony.models import AccessLogEntry, Call
from tenants.models import ApiKey, Tenant, User

# A player requests a part at a time, and people pause.
DEDUPLICATION_WINDOW = timedelta(minutes=10)
Kind = AccessLogEntry.Kind
CONTACTS = "contacts"  # the detail of an entry about the list in a tenant's rules


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


@transaction.atomic
def log_contacts(tenant: Tenant, count: int, *, by: User, address: str, now: datetime) -> None:
    """Log that a user saw the numbers in a tenant's rules. Two queries."""
    actor = {"user": by, "username": by.get_username(), "address": masked(address)}
    entry: dict[str, Any] = {"kind": Kind.PHONE_NUMBER, "tenant": tenant, "call": None, "detail": CONTACTS, **actor}
    if not AccessLogEntry.objects.filter(last_at__gt=now - DEDUPLICATION_WINDOW, **entry).update(last_at=now):
        AccessLogEntry.objects.create(at=now, last_at=now, count=count, **entry)


@transaction.atomic
def log_search(
    number: str, *, by: User, key: ApiKey | None = None, address: str, limit: int | None, now: datetime
) -> bool:
    """Log the search for a complete number, of which a mask and a keyed digest are kept.

    With a limit return False, and log nothing, if the user has searched for that many numbers in the last hour. Pages
    and repeats of one search are one entry.
    """
    # Concurrent requests wait here, so that they cannot exceed the limit.
    User.objects.select_for_update(no_key=True).only("pk").get(pk=by.pk)
    digest = salted_hmac("telephony.access_log", number, algorithm="sha256").hexdigest()
    mine = AccessLogEntry.objects.filter(user=by, kind=Kind.SEARCH)
    if mine.filter(digest=digest, last_at__gt=now - DEDUPLICATION_WINDOW).update(last_at=now):
        return True
    if limit is not None and mine.filter(at__gt=now - timedelta(hours=1)).count() >= limit:
        return False
    AccessLogEntry.objects.create(
        kind=Kind.SEARCH,
        user=by,
        username=by.get_username(),
        address=masked(address),
        api_key=key,
        detail=phone_numbers.mask(number),
        digest=digest,
        at=now,
        last_at=now,
    )
    return True


def count_reads(key: ApiKey, resource: str, rows: int, *, now: datetime) -> None:
    """Add the rows that a program read to its entry of the day. One query; two more for the first of the day."""
    place = {"api_key": key, "day": now.astimezone(UTC).date(), "detail": resource}
    today = AccessLogEntry.objects.filter(**place)
    if today.update(count=F("count") + rows, last_at=now):
        return
    by = None if key.tenant_id else key.created_by
    username = by.get_username() if by else ""
    new = AccessLogEntry(
        kind=Kind.API, tenant_id=key.tenant_id, user=by, username=username, count=rows, at=now, **place
    )
    new.last_at = now
    try:
        with transaction.atomic():
            new.save()
    except IntegrityError:  # A concurrent request has created it.
        today.update(count=F("count") + rows, last_at=now)


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
