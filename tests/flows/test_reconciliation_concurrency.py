"""Two transactions that count or write the same rows at once lose nothing and wait for each other in one order."""

import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from telephony.models import Call, DailyReconciliation
from telephony.reconciliation import compare, stats
from telephony.reconciliation.stats import ReconciliationStats
from telephony.uis.types import EndedEvent
from tests import needs
from tests.conftest import IVAN, NUMBER

pytestmark = needs.two_connections

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))
BRIEFLY = 0.3


@pytest.fixture
def in_thread():
    """Run a function in a thread with a connection of its own; the returned function waits for its end."""

    def start(function):
        failed = []

        def run():
            try:
                function()
            except Exception as exc:  # noqa: BLE001 -- shown by the test
                failed.append(exc)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()

        def join():
            thread.join(10)
            assert not thread.is_alive()
            assert failed == []

        return join

    return start


def add_call(tenant, number, *, at=NOON, **fields):
    fields = {"state": "UPLOADED", "report_date": at.date()} | fields
    return Call.objects.create(
        tenant=tenant, session_id=number, started_at=at, ended_at=at, retry_window_started_at=at, **fields
    )


def test_count_of_a_whole_day_is_not_undone_by_an_older_one(transactional_db, tenant, pbx, in_thread, monkeypatch):
    """The older count has read the day, with a call missing, before the call is found and the day is closed."""
    call = pbx.call(contact="79990000002", number=NUMBER, started_at=NOON - timedelta(hours=1), rings=[IVAN])
    day = DailyReconciliation.objects.create(
        tenant=tenant, day=NOON.date(), uis_calls=1, unexplained=1, counted_at=NOON
    )
    has_read, real, counts = threading.Event(), ReconciliationStats.from_counts, []

    def pause(*args):
        if threading.current_thread() is not threading.main_thread():
            counts.append(1)
        if len(counts) == 2 and not has_read.is_set():  # First the comparison is counted, then the day.
            has_read.set()
            threading.Event().wait(BRIEFLY)
        return real(*args)

    monkeypatch.setattr(ReconciliationStats, "from_counts", pause)
    now = NOON + timedelta(hours=20)
    add_call(tenant, call.session_id, at=call.started_at)

    def count_part():
        compare.reconcile(tenant, since=NOON - timedelta(hours=3), till=NOON, now=now)

    join = in_thread(count_part)
    assert has_read.wait(5)
    compare.reconcile(tenant, since=NOON - timedelta(hours=12), till=NOON + timedelta(hours=12), now=now)
    join()
    day.refresh_from_db()
    assert day.closed_at is not None
    assert (day.uis_calls, day.uploaded, day.unexplained) == (1, 1, 0)


def test_calls_are_marked_in_the_order_of_their_keys(transactional_db, tenant, in_thread):
    """While the first row is locked, the others must not be: who holds it may want them next."""
    first, second = (add_call(tenant, number, report_date=None) for number in (1, 2))
    Call.objects.filter(pk=first.pk).update(number=NUMBER)  # Now it comes last in the table.
    events = [EndedEvent(event="report", session_id=call.session_id, started_at=NOON) for call in (second, first)]
    with transaction.atomic():
        Call.objects.select_for_update().get(pk=first.pk)
        join = in_thread(lambda: stats.set_report_dates(tenant, events))
        threading.Event().wait(BRIEFLY)
        Call.objects.select_for_update(nowait=True).get(pk=second.pk)
    join()
    assert set(Call.objects.values_list("report_date", flat=True)) == {NOON.date()}


def test_two_counts_of_the_same_days_do_not_deadlock(transactional_db, tenant, in_thread):
    now, days = NOON, [(NOON - timedelta(days=number)).date() for number in range(10)]

    def count(chosen):
        period = {"since": NOON - timedelta(days=30), "till": NOON}
        for _time in range(2):
            stats.count(tenant, days=chosen, missing={}, settled=chosen[:3], now=now, **period)

    joins = [in_thread(lambda chosen=chosen: count(chosen)) for chosen in (days, days[::-1], days[5:])]
    for join in joins:
        join()
    assert DailyReconciliation.objects.count() == 10
