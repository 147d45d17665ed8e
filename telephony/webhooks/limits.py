"""The limit of notifications per tenant: workers count what is stored, and write until when the web refuses more.

A tenant is limited who sends more than both: 50 notifications a second for ten seconds, and 20 times the busiest minute
that was learned (none in the first four weeks). The limit ends when the flood does.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from connector_project.core import logging
from telephony.models import Notification
from telephony.webhooks.receive import RETRY_AFTER_SECONDS, WINDOW, WINDOWS_PER_MINUTE, window_of
from tenants.models import UisConnection

MINUTE = WINDOW * WINDOWS_PER_MINUTE
FLOOR = 500  # in a window
TIMES_BUSIEST_MINUTE = 20
HOLD = timedelta(seconds=RETRY_AFTER_SECONDS)  # the limit lasts so long after the last excess
SHORTEST_LOOK = timedelta(seconds=1)  # the rate of what is refused is measured over no less
# Floods with shorter pauses are one.
ONE_FLOOD = timedelta(minutes=5)

security = logging.logger("connector.security")


def is_excess(in_window: float, in_minute: float, *, busiest_minute: int) -> bool:
    """Return whether a tenant sends more than the limit allows."""
    return in_window > FLOOR and in_minute > TIMES_BUSIEST_MINUTE * busiest_minute


def signs(now: Any, window: Any) -> tuple[QuerySet[Any], ...]:
    """Return queries of which one finds a row if `apply` may have something to do."""
    new = Notification.objects.filter(received_at__gt=now - WINDOW, received_at__lte=now)
    repeated = Notification.objects.filter(repeat_window=window)
    return new.order_by("received_at")[FLOOR:], repeated, _limited(now)


def apply(*, now: datetime) -> None:
    """Limit the tenants whose notifications are too many, and let a limit last while they are. Every two seconds."""
    for pk, in_window in _arrivals(WINDOW, "window_repeats", Q(repeat_window=window_of(now)), now=now).items():
        if in_window > FLOOR:
            _limit(pk, in_window, now=now)
    for connection in _limited(now):
        _look_again(connection, now=now)


def _limited(now: Any) -> QuerySet[UisConnection]:
    return UisConnection.objects.filter(limited_until__gt=now, refused_seen_at__lte=now - SHORTEST_LOOK)


def _arrivals(
    period: timedelta, repeats: str, is_repeated: Q, *, now: datetime, tenant_id: int | None = None
) -> Mapping[int, int]:
    """Count what each tenant has sent in the last seconds; never too many, because that would limit too early.

    Repeats are counted in fixed periods on the rows, of which the present one has not passed yet.
    """
    rows: QuerySet[Notification] = Notification.objects.order_by()
    if tenant_id is not None:
        rows = rows.filter(tenant=tenant_id)
    counts: Counter[int] = Counter()
    new = rows.filter(received_at__gt=now - period, received_at__lte=now)
    counts.update(dict(new.values_list("tenant").annotate(Count("pk"))))
    counts.update(dict(rows.filter(is_repeated).values_list("tenant").annotate(Sum(repeats))))
    return counts


def _limit(tenant_id: int, in_window: int, *, now: datetime) -> None:
    connection = UisConnection.objects.select_related("tenant").get(tenant=tenant_id)
    first = window_of(now) // WINDOWS_PER_MINUTE * WINDOWS_PER_MINUTE
    of_minute = Q(repeat_window__gte=first)
    in_minute = _arrivals(MINUTE, "minute_repeats", of_minute, now=now, tenant_id=tenant_id).get(tenant_id, 0)
    is_new = connection.limited_until is None or connection.limited_until <= now - ONE_FLOOD
    if connection.is_limited(now=now) or not is_excess(in_window, in_minute, busiest_minute=connection.busiest_minute):
        return
    began = {"limited_since": now, "refused_before": F("refused_webhooks")} if is_new else {}
    seen = {"refused_seen": F("refused_webhooks"), "refused_seen_at": now}
    UisConnection.objects.filter(pk=connection.pk).update(limited_until=now + HOLD, **began, **seen)
    security.warning("too many notifications: more are refused", tenant=connection.tenant.slug, count=in_window)


def _look_again(connection: UisConnection, *, now: datetime) -> None:
    """Extend the limit while as many notifications are refused as began it."""
    if connection.refused_seen_at is None:
        return
    passed = now - connection.refused_seen_at
    per_second = (connection.refused_webhooks - connection.refused_seen) / passed.total_seconds()
    in_window, in_minute = (per_second * period.total_seconds() for period in (WINDOW, MINUTE))
    goes_on = is_excess(in_window, in_minute, busiest_minute=connection.busiest_minute)
    extended = {"limited_until": now + HOLD} if goes_on else {}
    rows = UisConnection.objects.filter(pk=connection.pk)
    rows.update(refused_seen=connection.refused_webhooks, refused_seen_at=now, **extended)
