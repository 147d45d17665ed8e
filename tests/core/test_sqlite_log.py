"""SQLite's write-ahead log is moved into the database by threads of their own, not by the writers."""

import runpy
import sqlite3

import pytest
from django.conf import settings

from connector_project.core import sqlite_log
from connector_project.core.sqlite_backend.base import DatabaseWrapper
from connector_project.operations import ticker

IS_SQLITE = settings.DATABASES["default"]["ENGINE"] == "connector_project.core.sqlite_backend"
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not IS_SQLITE, reason="of SQLite only"),
]
AUTO_CHECKPOINT_PAGES = 10_000


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A database in a file, with the settings of the product."""
    made = DatabaseWrapper({**settings.DATABASES["default"], "NAME": str(tmp_path / "db.sqlite3")})
    made.inc_thread_sharing()
    monkeypatch.setattr(sqlite_log, "connection", made)
    yield made
    made.close()


def execute(database, sql):
    with database.cursor() as cursor:
        return cursor.execute(sql).fetchall()


def is_in_file(database):
    """Return whether the table is in the file of the database itself, without its log."""
    with open(database.settings_dict["NAME"], "rb") as file:
        return b"CREATE TABLE written" in file.read()


def test_writer_checkpoints_only_a_long_log(database):
    assert execute(database, "PRAGMA journal_mode") == [("wal",)]
    assert execute(database, "PRAGMA wal_autocheckpoint") == [(AUTO_CHECKPOINT_PAGES,)]


def test_checkpoint_moves_the_log_into_the_database(database):
    execute(database, "CREATE TABLE written (id)")
    assert not is_in_file(database)
    sqlite_log.checkpoint()
    assert is_in_file(database)


def test_checkpoint_does_not_wait_for_a_writer(database):
    execute(database, "CREATE TABLE written (id)")
    other = sqlite3.connect(database.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sqlite_log.checkpoint()
    assert is_in_file(database)
    other.close()


def test_ticker_checkpoints(database, monkeypatch):
    execute(database, "CREATE TABLE written (id)")
    monkeypatch.setattr(ticker.rate_limit, "try_acquire", lambda _limit: True)
    ticker.tick()
    assert is_in_file(database)


def test_web_process_checkpoints(database, monkeypatch):
    repeated = []
    monkeypatch.setattr(sqlite_log.workers, "repeat", lambda action, **options: repeated.append((action, options)))
    runpy.run_path(str(settings.BASE_DIR / "gunicorn.conf.py"))["post_worker_init"](None)
    [(action, options)] = repeated
    assert options["every_seconds"] == 1.0
    execute(database, "CREATE TABLE written (id)")
    action()
    assert is_in_file(database)
