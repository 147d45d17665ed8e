"""Who looked at a whole number, or heard a recording: one look for all the requests of one play, or of one page."""

import ipaddress
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction

from telephony.models import Call, Look
from tenants.models import Tenant

# A player asks for a part at a time, and a person pauses.
ONE_LOOK = timedelta(minutes=10)


@transaction.atomic
def note(call: Call, kind: Look.Kind, *, by: User | AnonymousUser | None, address: str, now: datetime) -> None:
    """Write that somebody looks: the person at the desk, or whoever has the link, by his masked address."""
    user = by if isinstance(by, User) else None
    who = {"kind": kind, "user": user, "username": user.get_username() if user else "", "address": masked(address)}
    Call.objects.select_for_update(of=("self",)).only("pk").get(pk=call.pk)  # A player's first requests come together.
    if not Look.objects.filter(call=call, last_at__gt=now - ONE_LOOK, **who).update(last_at=now):
        Look.objects.create(tenant_id=call.tenant_id, call=call, at=now, last_at=now, **who)


@transaction.atomic
def note_numbers(tenant: Tenant, calls: Collection[int], *, by: User, address: str, now: datetime) -> None:
    """Write that a person looks at a list with the whole numbers of these calls of one client, by our keys.

    Two of his requests at the same moment may be two looks. Three queries.
    """
    who = {"user": by, "username": by.get_username(), "address": masked(address)}
    looked: dict[str, Any] = {"kind": Look.Kind.NUMBER, "tenant": tenant, **who}
    again = Look.objects.filter(call__in=calls, last_at__gt=now - ONE_LOOK, **looked)
    known = dict(again.order_by().values_list("call", "pk"))
    Look.objects.filter(pk__in=known.values()).update(last_at=now)
    new = (Look(call_id=pk, at=now, last_at=now, **looked) for pk in calls if pk not in known)
    Look.objects.bulk_create(new)


def masked(address: str) -> str:
    """Return an internet address without what tells one machine from its neighbours; "" for what is none."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if isinstance(mapped or found, ipaddress.IPv4Address):
        return f"{str(mapped or found).rpartition('.')[0]}.x"
    return str(ipaddress.ip_network((found, 48), strict=False))
