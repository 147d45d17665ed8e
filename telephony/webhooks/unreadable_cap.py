"""Caps what is stored of unreadable notifications: who knows a webhook URL could fill the disk with them.

A broken template makes many small ones, which a person may reprocess: they stay whole. Each minute.
"""

from datetime import datetime, timedelta

from django.db.models import Count, F, QuerySet, Value
from django.db.models.functions import Concat, Left, Length

from telephony.models import Notification
from tenants.models import UisConnection

PERIOD = timedelta(days=1)
KEPT_WHOLE = 100  # of a tenant in a day, whatever their size
LONGEST_BODY = 4096  # characters of the others; no template of ours makes as many
MAX_PER_DAY = 10_000  # of a tenant; the rest are counted only
BATCH_SIZE = 5000
CUT = Value("…")


def apply(*, now: datetime) -> None:
    """Cut the bodies of the tenants that have many unreadable notifications, and delete what is over the cap."""
    recent = Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE, received_at__gt=now - PERIOD)
    counts = recent.order_by().values_list("tenant").annotate(count=Count("pk"))
    for pk, count in counts.filter(count__gt=KEPT_WHOLE):
        rows = recent.filter(tenant=pk).order_by("pk")
        if count > MAX_PER_DAY:
            _delete(_beyond(rows, MAX_PER_DAY), tenant_id=pk)
        large = _beyond(rows, KEPT_WHOLE).annotate(size=Length("body")).filter(size__gt=LONGEST_BODY + 1)
        large.order_by().update(body=Concat(Left("body", LONGEST_BODY), CUT))


def _beyond(rows: QuerySet[Notification], kept: int) -> QuerySet[Notification]:
    """Return the rows after the first ones. In the order of arrival: what was kept once stays."""
    last = rows.values_list("pk", flat=True)[kept - 1]
    return rows.filter(pk__gt=last)


def _delete(rows: QuerySet[Notification], *, tenant_id: int) -> None:
    pks = list(rows.values_list("pk", flat=True)[:BATCH_SIZE])
    deleted, _by_model = Notification.objects.filter(pk__in=pks).delete()
    counted = F("dropped_unreadable") + deleted
    UisConnection.objects.filter(tenant=tenant_id).update(dropped_unreadable=counted)
