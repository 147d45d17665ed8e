"""Those who write to an SQLite database take turns, whichever way they write."""

import fcntl
import multiprocessing
import threading
import time

import pytest
from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.transaction import Atomic

from connector_project.core.sqlite_backend import turns
from connector_project.core.sqlite_backend.base import DatabaseWrapper

IS_SQLITE = settings.DATABASES["default"]["ENGINE"] == "connector_project.core.sqlite_backend"
pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not IS_SQLITE, reason="of SQLite only")]
WRITES = ["INSERT INTO kept VALUES (1)", "  update kept SET id = 2", "DELETE FROM kept", "DROP TABLE kept"]
READS = ["SELECT 1", "PRAGMA user_version", "WITH found AS (SELECT 1) SELECT * FROM found", "SAVEPOINT one"]


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A database in a file, with the settings of the product."""
    made = DatabaseWrapper({**settings.DATABASES["default"], "NAME": str(tmp_path / "db.sqlite3")}, alias="in_file")
    made.inc_thread_sharing()
    monkeypatch.setattr(transaction, "get_connection", lambda using=None: made)
    execute(made, "CREATE TABLE kept (id integer PRIMARY KEY)")
    yield made
    made.close()


@pytest.fixture
def other(database):
    """The file that another process locks while it writes."""
    with open(f"{database.settings_dict['NAME']}-turn", "r+") as file:
        yield file


def execute(database, sql):
    with database.cursor() as cursor:
        return cursor.execute(sql).fetchall()


def atomic():
    return Atomic(None, savepoint=True, durable=False)


def take(file):
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_free(file):
    try:
        take(file)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


@pytest.mark.parametrize("sql", WRITES)
def test_statement_that_writes_waits_for_its_turn(database, other, sql):
    take(other)
    threading.Timer(0.1, lambda: fcntl.flock(other, fcntl.LOCK_UN)).start()
    started_at = time.monotonic()
    execute(database, sql)
    assert time.monotonic() - started_at >= 0.09
    assert is_free(other)


@pytest.mark.parametrize("sql", READS)
def test_statement_that_reads_does_not(database, other, monkeypatch, sql):
    monkeypatch.setattr(turns, "turn_to_write", lambda _database: pytest.fail("it took the turn"))
    take(other)
    execute(database, sql)


def test_transaction_has_the_turn_until_its_end(database, other):
    with atomic():
        execute(database, "INSERT INTO kept VALUES (1)")
        with atomic():
            execute(database, "INSERT INTO kept VALUES (2)")
        assert not is_free(other)
    assert is_free(other)
    assert execute(database, "SELECT COUNT(*) FROM kept") == [(2,)]


def test_transaction_that_is_rolled_back_gives_the_turn_on(database, other):
    with pytest.raises(IntegrityError), atomic():
        execute(database, "INSERT INTO kept VALUES (1)")
        execute(database, "INSERT INTO kept VALUES (1)")
    assert is_free(other)


def test_transaction_that_cannot_begin_gives_the_turn_on(database, other, monkeypatch):
    def refuse(_wrapper):
        raise OperationalError("database is locked")

    monkeypatch.setattr(DatabaseWrapper.__mro__[1], "_start_transaction_under_autocommit", refuse)
    with pytest.raises(OperationalError), atomic():
        pytest.fail("it began")
    assert is_free(other)


def test_connection_that_is_closed_inside_a_transaction_gives_the_turn_on(database, other):
    with pytest.raises(ZeroDivisionError), atomic():
        database.close()
        assert is_free(other)
        raise ZeroDivisionError


def test_process_that_keeps_its_turn_does_not_stop_the_others(database, other, monkeypatch):
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.05)
    take(other)
    with atomic():
        execute(database, "INSERT INTO kept VALUES (1)")
    assert not turns.threads.lock.locked()


def test_forked_process_does_not_wait_for_a_thread_that_it_has_not(database):
    with turns.threads.lock:
        child = multiprocessing.get_context("fork").Process(target=_write, args=(str(database.settings_dict["NAME"]),))
        started_at = time.monotonic()
        child.start()
        child.join()
    assert child.exitcode == 0
    assert time.monotonic() - started_at < turns.TURN_SECONDS


def _write(name):
    with turns.turn_to_write(name):
        pass
