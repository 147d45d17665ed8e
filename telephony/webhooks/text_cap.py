"""Caps the texts of notifications that are stored: who knows a webhook URL could fill the disk with them. Each minute.

A broken template makes many small unreadable ones, which a person may reprocess: they stay whole. Of readable ones the
parsed event is kept, so that a text that is larger than any template's may go, as at the end of its retention.
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
# Readable ones: a flood is caught while it lasts, without measuring a whole day's texts.
RECENT_PERIOD = timedelta(minutes=10)
LARGE_KEPT = 100  # of a tenant in it
READ = (Notification.Outcome.DONE, Notification.Outcome.REPEATED, Notification.Outcome.DROPPED)


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
    _empty_readable(now=now)


def _empty_readable(*, now: datetime) -> None:
    """Delete the large texts of readable notifications beyond the first of the last minutes."""
    recent = Notification.objects.filter(outcome__in=READ, received_at__gt=now - RECENT_PERIOD)
    large = recent.annotate(size=Length("body")).filter(size__gt=LONGEST_BODY)
    counts = large.order_by().values_list("tenant").annotate(count=Count("pk"))
    for pk, _count in counts.filter(count__gt=LARGE_KEPT):
        _beyond(large.filter(tenant=pk).order_by("pk"), LARGE_KEPT).order_by().update(query="", body="")


def _beyond(rows: QuerySet[Notification], kept: int) -> QuerySet[Notification]:
    """Return the rows after the first ones. In the order of arrival: what was kept once stays."""
    last = rows.values_list("pk", flat=True)[kept - 1]
    return rows.filter(pk__gt=last)


def _delete(rows: QuerySet[Notification], *, tenant_id: int) -> None:
    pks = list(rows.values_list("pk", flat=True)[:BATCH_SIZE])
    deleted, _by_model = Notification.objects.filter(pk__in=pks).delete()
    counted = F("dropped_unreadable") + deleted
    UisConnection.objects.filter(tenant=tenant_id).update(dropped_unreadable=counted)
