"""A task whose connection the server has closed is run again; one that fails otherwise is not."""

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections

from connector_project.core import task_connection
from connector_project.core.task_connection import run_task
from tests import server_session

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]


def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]


@pytest.fixture
def just_now(monkeypatch):
    """A task has just ended, so that the connection is not checked before the next one."""
    ask()
    run_task(ask)
    database = connections[DEFAULT_DB_ALIAS]
    monkeypatch.setitem(database.settings_dict, "CONN_HEALTH_CHECKS", True)
    monkeypatch.setattr(database, "health_check_enabled", True)
    monkeypatch.setattr(database, "health_check_done", False)
    return database


def test_connection_that_was_just_used_is_not_checked(just_now, monkeypatch):
    def refuse():
        raise AssertionError

    monkeypatch.setattr(just_now, "is_usable", refuse)
    assert run_task(ask) == 1


def test_connection_is_checked_after_a_rest(just_now, monkeypatch):
    checked = []
    monkeypatch.setattr(just_now, "is_usable", lambda: not checked.append(1))
    monkeypatch.setattr(task_connection, "_ended_at", task_connection._ended_at - task_connection.RESTED_SECONDS)
    assert run_task(ask) == 1
    assert checked or connection.vendor == "sqlite"


def test_task_is_run_again_on_a_new_connection(just_now):
    server_session.end()
    just_now.health_check_done = False
    assert run_task(ask) == 1


@pytest.mark.usefixtures("just_now")
def test_fault_on_a_connection_that_works_is_raised():
    tries = []

    def fail():
        tries.append(1)
        ask()
        raise OperationalError("disk full")

    with pytest.raises(OperationalError):
        run_task(fail)
    assert len(tries) == 1
