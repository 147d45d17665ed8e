"""The rows of a bulk action: chosen when it is requested, then each processed once, if it is still as it was."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Max, Q, QuerySet, Value

from connector_project.core import logging
from connector_project.core.jobs import DATABASE_FAULTS
from telephony import number_search
from telephony.calls import filters, manual, sweep
from telephony.models import BulkAction, BulkActionRow, Call, choices
from telephony.models.bulk_action import PROGRESS_FIELDS, Portion
from telephony.webhooks import process, unreadable
from tenants.audit import Actor
from tenants.visibility import Reader, visible_to
from tenants.visible_filters import ReaderFilterSet

logger = logging.logger(__name__)

PORTION_ROWS = 200
# Parameters that do not narrow the rows: what a person knows of notifications.
NO_FILTERS = {"event"}
Kind = BulkAction.Kind
# What is done to one row; an import works off UIS's report instead. A row whose state has changed is left alone.
ROW_ACTIONS: Mapping[str, Callable[[BulkAction, Any, BulkActionRow, datetime], bool]] = {
    Kind.RETRY: lambda action, call, row, now: manual.retry(
        call, is_one_of_many=True, seen=row.seen, by=action.requested_by, now=now
    ),
    Kind.SKIP: lambda action, call, row, now: manual.skip(
        call, action.comment, seen=row.seen, by=action.requested_by, now=now
    ),
    Kind.REPROCESS: lambda action, stored, _row, now: process.reprocess(
        stored, event=action.filters.get("event", ""), now=now
    ),
}


def filter_set(
    kind: str, chosen: Mapping[str, str], *, reader: Reader, admit: number_search.Admit | None = None
) -> ReaderFilterSet:
    """Return the filters of the rows to which the action can apply, among those that the reader may see."""
    if kind == Kind.REPROCESS:
        return unreadable.UnreadableFilterSet(chosen, unreadable.notifications(reader), reader=reader)
    skipped = [] if kind == Kind.SKIP else [choices.State.SKIPPED]
    calls = visible_to(Call.objects.filter(state__in=[*choices.OPEN_STATES, *skipped]), reader)
    return filters.CallFilterSet(chosen, calls, reader=reader, admit=admit)


def is_narrowed(chosen: Mapping[str, str]) -> bool:
    """Return whether a filter or a selection narrows the rows: without one, an action would change all of them."""
    return bool(chosen.keys() - NO_FILTERS)


def max_rows(user: Actor) -> int:
    """Return how many rows one action of this user may change."""
    is_operator = user is not None and user.has_perm("tenants.change_tenant")
    return settings.BULK_ACTION_ROWS if is_operator else settings.BULK_ACTION_ROWS_SUPPORT


def count(rows: QuerySet[Any], *, limit: int) -> int:
    """Return the number of rows; counting stops just above the limit."""
    return rows.order_by()[: limit + 1].count()


def count_by_tenant(rows: QuerySet[Any]) -> list[tuple[str, int]]:
    """Return the number of rows of each client, by name, most rows first."""
    counts = rows.order_by().values_list("tenant__name").annotate(rows=Count("pk"), client=F("tenant"))
    return [(name, number) for name, number, _client in counts.order_by("-rows", "tenant__name", "client")]


def newest(rows: QuerySet[Any]) -> int:
    """Return the newest primary key, 0 without rows."""
    return int(rows.order_by().aggregate(Max("pk"))["pk__max"] or 0)


def previewed(rows: QuerySet[Any], *, at: datetime, newest: int) -> QuerySet[Any]:
    """Return the rows without those that came, or failed, after the preview at `at`, which had `newest` as its last."""
    known = rows.filter(pk__lte=newest)
    return known.filter(Q(failed_at=None) | Q(failed_at__lte=at)) if rows.model is Call else known


def store(action: BulkAction, rows: QuerySet[Any]) -> int:
    """Store which rows the action is for, and what they are now, in one statement; return how many."""
    seen = {"state": F("state"), "failed_at": F("failed_at")} if rows.model is Call else {}
    columns = {"action_id": Value(action.pk), "row_id": F("pk")} | seen
    names = {f"chosen_{name}": expression for name, expression in columns.items()}
    sql, params = rows.order_by().annotate(**names).values_list(*names).query.sql_with_params()
    table = connection.ops.quote_name(BulkActionRow._meta.db_table)
    fields = ", ".join(connection.ops.quote_name(name) for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({fields}) {sql}", params)
        return int(cursor.rowcount)


def run(action: BulkAction, *, now: datetime) -> Portion:
    """Process a portion of the rows; stop if the action is cancelled, or another worker has claimed it."""
    batch = list(action.rows.order_by("row_id")[:PORTION_ROWS])
    # Who requested it may see fewer clients by now.
    targets = filter_set(action.kind, {}, reader=action.requested_by).queryset.in_bulk([row.row_id for row in batch])
    is_held = _process_each(action, batch, targets, now=now)
    if action.kind == Kind.RETRY:
        sweep.resume_due(now=now)
    return Portion(seen=0, done={}, cursor=0, is_last=is_held and len(batch) < PORTION_ROWS)


def _process_each(
    action: BulkAction, batch: Sequence[BulkActionRow], targets: Mapping[int, Any], *, now: datetime
) -> bool:
    """Process the rows; return whether the worker may go on. One that breaks our code is left as it is; if all do, the
    error is raised.
    """
    broken = list[tuple[BulkActionRow, Exception]]()
    for row in batch:
        try:
            if not _process(action, row, targets.get(row.row_id), now=now):
                return False
        except DATABASE_FAULTS:
            raise
        except Exception as exc:
            logger.exception("action failed", row=row.row_id)
            broken.append((row, exc))
    if broken and len(broken) == len(batch):
        raise broken[0][1]
    return all(_process(action, row, None, now=now) for row, _error in broken)


@transaction.atomic
def _process(action: BulkAction, row: BulkActionRow, target: Any, *, now: datetime) -> bool:
    """Process one row and count it, in one transaction: a worker that dies has done both or nothing.

    Returns whether the worker may go on.
    """
    held = BulkAction.objects.still_claimed(action).filter(state=BulkAction.State.RUNNING)
    fresh = held.select_for_update(of=("self",)).select_related("requested_by").first()
    if fresh is None:
        return False
    row.delete()
    is_done = target is not None and ROW_ACTIONS[fresh.kind](fresh, target, row, now)
    fresh.add(Portion(seen=1, done={target.tenant_id: 1} if is_done else {}, cursor=0, is_last=False), now=now)
    fresh.lost_leases = 0  # This row does not break its worker.
    fresh.save(update_fields=PROGRESS_FIELDS)
    return True
