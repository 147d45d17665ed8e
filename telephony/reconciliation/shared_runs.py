"""Comparisons of recent calls of clients who share a task: what each of them would ask the database is asked once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby

from telephony.models import ReportCursor
from telephony.reconciliation import runs, stats
from tenants.models import Tenant

KIND = ReportCursor.Kind.RECENT


class SharedRuns:
    """Each client has a lease, a result and errors of their own; the results are written together."""

    def __init__(self, tenant_ids: Sequence[int], *, now: datetime) -> None:
        self._now = now
        self._claimed = {one.tenant_id: one for one in ReportCursor.objects.claim_together(tenant_ids, KIND, now=now)}
        self._with_open_days = stats.with_open_days(tenant_ids)
        self._ended = list[tuple[ReportCursor, runs.Changes]]()

    def compare(self, tenant: Tenant) -> None:
        """Compare the next part of a client's report, unless another worker does. Raises RemoteError."""
        cursor = self._claimed.pop(tenant.pk, None)
        if cursor is None:
            return runs.compare_next(tenant, KIND, now=self._now)
        has_open_days = tenant.pk in self._with_open_days
        changes = runs.compare_claimed(cursor, tenant, has_open_days=has_open_days, now=self._now)
        if changes is not None:
            self._ended.append((cursor, changes))
        return None

    def release(self) -> None:
        """Write what is compared, and let others have the rest."""
        ended = [*self._ended, *((cursor, runs.Changes()) for cursor in self._claimed.values())]
        self._ended.clear()
        self._claimed.clear()
        for _key, group in groupby(sorted(ended, key=_changes_of), key=_changes_of):
            found = list(group)
            runs.release([cursor for cursor, _changes in found], found[0][1], now=self._now)


def _changes_of(ended: tuple[ReportCursor, runs.Changes]) -> str:
    return repr(ended[1])


@contextmanager
def sharing(tenant_ids: Sequence[int], *, now: datetime) -> Iterator[SharedRuns]:
    """Claim what these clients compare next, and release it at the end."""
    shared = SharedRuns(tenant_ids, now=now)
    try:
        yield shared
    finally:
        shared.release()
