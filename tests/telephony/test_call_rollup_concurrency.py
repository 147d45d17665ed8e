"""The roll-up of calls while several connections change, fold and read: nothing is lost, nothing waits for ever."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction

from connector_project.core import rollups
from telephony import stats, tasks
from telephony.models import Call, CallDelta
from telephony.stats.rollup import CALLS
from tenants.models import Tenant
from tests import needs
from tests.telephony.counted_calls import (
    KINDS,
    NOW,
    build_call,
    count_independently,
    create_tenant,
    read_stored,
    read_with_deltas,
)

pytestmark = [needs.two_connections, pytest.mark.sql, pytest.mark.django_db(transaction=True)]


class Threads:
    """Actions at the same time, each with its own connection; errors are kept."""

    def __init__(self):
        self.errors = []
        self.threads = []

    def start(self, action: Callable[[], object]) -> None:
        thread = threading.Thread(target=self._run, args=[action])
        self.threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)
        assert self.errors == []

    def _run(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as exc:  # noqa: BLE001 -- asserted in the test
            self.errors.append(exc)
        finally:
            connection.close()


def edit_calls(worker, tenants):
    for number in range(40):
        tenant, session = tenants[number % 2], worker * 1000 + number
        with transaction.atomic():
            build_call(tenant, session, number % 7, NOW + timedelta(minutes=number)).save()
        with transaction.atomic():
            Call.objects.filter(session_id=session).update(**KINDS[(number + worker) % 7])
        if number % 5 == 0:
            Call.objects.filter(session_id=session - 1).delete()


@pytest.mark.slow
def test_edits_folds_and_reads_at_the_same_time_lose_nothing():
    """Four connections change calls of the same days, two fold them and count a tenant again, one reads."""
    tenants = [create_tenant(number) for number in range(2)]
    editors, others, is_over = Threads(), Threads(), threading.Event()

    def fold():
        while not is_over.is_set():
            tasks.roll_up_calls()
            CALLS.count_tenant(tenants[0].pk, tenants[0].time_zone)

    def read():
        period = stats.Period.last(7, zones=["Europe/Moscow"], now=NOW)
        while not is_over.is_set():
            total = rollups.read(lambda: stats.calls(None, period).total)
            assert min(vars(total).values()) >= 0

    for action in (fold, fold, read):
        others.start(action)
    for worker in range(4):
        editors.start(lambda worker=worker: edit_calls(worker, tenants))
    editors.join()
    is_over.set()
    others.join()
    assert read_with_deltas() == count_independently()
    tasks.roll_up_calls()
    assert read_stored() == count_independently()
    assert sum(read_stored().values()) > 0


def test_call_of_an_open_transaction_is_counted_when_it_commits():
    """Its delta is older than those that are folded before it commits, and than the change of the time zone."""
    tenant = create_tenant(0)
    tasks.roll_up_calls()
    slow, is_saved, may_commit = Threads(), threading.Event(), threading.Event()

    def add_slowly():
        with transaction.atomic():
            build_call(tenant, 1, 0, NOW).save()
            is_saved.set()
            may_commit.wait(10)

    slow.start(add_slowly)
    assert is_saved.wait(10)
    build_call(tenant, 2, 0, NOW).save()
    Tenant.objects.update(time_zone="Asia/Kolkata")
    tasks.roll_up_calls()
    may_commit.set()
    slow.join()
    assert read_with_deltas() == count_independently()
    tasks.roll_up_calls()
    assert read_stored() == count_independently()
    assert Call.objects.count() == 2


@pytest.mark.parametrize("folds", [1, 10])
def test_figures_of_one_page_are_read_between_two_folds(folds):
    """A fold between two queries would lose the calls that it moves; a page that meets many folds locks them out."""
    tenant = create_tenant(0)
    tasks.roll_up_calls()
    build_call(tenant, 1, 0, NOW).save()
    tries = []

    def read():
        found = sum(number for (*_key, column), number in read_stored().items() if column == "answered")
        tries.append(found)
        if len(tries) <= folds and not connection.in_atomic_block:
            other = Threads()
            other.start(CALLS.fold)
            other.join()
            build_call(tenant, 1 + len(tries), 0, NOW).save()
        pending = CALLS.pending(CallDelta.objects)
        return found + sum(number for (_table, _key, column), number in pending.items() if column == "answered")

    by_day_and_employee = 2
    assert rollups.read(read) == by_day_and_employee * Call.objects.count()
    assert len(tries) == min(folds, rollups.TRIES) + 1
