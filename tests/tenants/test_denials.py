"""Denials of one account: several at once, each with its own end, also where workers meet."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from tenants import access_errors
from tenants.access_errors import Denial
from tenants.models import Tenant, UisConnection

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
RIGHTS = [f"right {number}" for number in range(8)]


def add_account():
    return UisConnection.objects.create(tenant=Tenant.objects.create(name="Ромашка", slug="romashka"))


def together(*works):
    """Run each work in its own thread and database connection."""
    start, results = threading.Barrier(len(works)), []

    def run(work):
        start.wait()
        results.append(work(UisConnection.objects.get()))
        connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_denials_are_read_as_they_were_stored_what_denies_everything_first():
    later = NOW + timedelta(minutes=5)
    stored = [
        Denial("get.employees", "forbidden", "no", since=NOW, retry_at=later),
        Denial("module", "telephony_off", "", since=NOW, retry_at=later),
        Denial("get.account", "forbidden", "no", since=NOW - timedelta(days=1), retry_at=later),
        Denial("account", "key", "no", since=NOW, retry_at=later),
    ]
    read = access_errors.from_json(access_errors.to_json(stored))
    assert list(read) == ["account", "module", "get.account", "get.employees"]
    assert set(read.values()) == set(stored)
    assert [one.right for one in read.values()] == ["", "", "get.account", "get.employees"]


@pytest.mark.django_db
def test_denial_keeps_its_beginning_while_it_is_repeated():
    account = add_account()
    account.suspend("ip_not_whitelisted", "first", now=NOW)
    account.suspend("access_token_expired", "then", now=NOW + timedelta(hours=1))
    (denial,) = UisConnection.objects.get().denied.values()
    assert (denial.since, denial.code, denial.detail) == (NOW, "access_token_expired", "then")
    assert UisConnection.objects.get().denied_at == NOW


@pytest.mark.sql
@pytest.mark.django_db(transaction=True)
def test_denials_recorded_at_the_same_time_do_not_overwrite_each_other():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite in memory works in one thread only.")
    add_account()
    together(*(lambda row, right=right: row.suspend("forbidden", "no", subject=right, now=NOW) for right in RIGHTS))
    assert sorted(UisConnection.objects.get().denials) == RIGHTS
    together(*(lambda row, right=right: row.lift(right) for right in RIGHTS))
    assert UisConnection.objects.get().denials == {}


@pytest.mark.sql
@pytest.mark.django_db(transaction=True)
def test_one_of_many_workers_tries_a_denied_right():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite in memory works in one thread only.")
    add_account().suspend("forbidden", "no", subject="right", now=NOW)
    later = NOW + access_errors.RIGHT_PROBE_PAUSE
    assert together(*[lambda row: row.try_right("right", now=later - timedelta(seconds=1))] * 4) == [False] * 4
    assert sorted(together(*[lambda row: row.try_right("right", now=later)] * 4)) == [False, False, False, True]
