"""Faults of our own machines: database and broker restarted, flushed, lost; workers twice; disk full."""

import functools
import uuid
from pathlib import Path

import pytest
import requests

from tests.needs import missing
from tests.processes.accounting import check

pytestmark = pytest.mark.processes

only = {name: pytest.mark.parametrize("shared_installation", [name], indirect=True) for name in ("sqlite", "redis")}
on_both = pytest.mark.parametrize("shared_installation", ["sqlite", "redis"], indirect=True)


def reconcile_undelivered(installation):
    """Do what the next ten minutes do: find the calls whose notifications were lost."""
    installation.turn_clock(minutes=6)
    installation.ask("run", "telephony.reconcile_all")
    installation.pass_time(minutes=4)


def wait_for_all_calls(installation):
    """Wait until all calls are in the CRM, while the minutes pass that the next sweeps take."""

    def is_complete():
        account = installation.vendors()[0]
        if len(account["calls"]) == len(account["sessions"]):
            return True
        installation.pass_time(minutes=1)
        return False

    installation.wait_for(is_complete, "all calls in the CRM", interval=4)


@only["redis"]
@pytest.mark.parametrize("method", ["kill", pytest.param("restart", marks=pytest.mark.exhaustive)])
def test_database_restarted_in_the_middle_of_traffic(installation, method):
    """Web and workers reconnect by themselves."""
    with installation.traffic(clients=[0], times=5, pause=0.4):
        if method == "kill":
            installation.postgres.kill()
            installation.postgres.start()
        else:
            installation.postgres.restart()
    installation.wait_for(installation.is_ready, "web and workers to be ready")
    # A worker may have taken a task that it could not begin: the sweep queues its row again.
    installation.pass_time(minutes=2)
    reconcile_undelivered(installation)
    wait_for_all_calls(installation)
    check(installation, f"database: {'kill -9' if method == 'kill' else 'restarted'} in the middle of traffic")


@only["redis"]
def test_redis_restarted_in_the_middle_of_traffic(installation):
    with installation.traffic(clients=[0], times=5, pause=0.4):
        installation.redis.restart()
    installation.wait_for(installation.is_ready, "web and workers to be ready")
    installation.pass_time(minutes=4)
    installation.pass_time(minutes=4)
    wait_for_all_calls(installation)
    check(installation, "Redis restarted in the middle of traffic")


@on_both
def test_whole_queue_lost(installation):
    """The sweep enqueues every row whose queue entry is lost."""
    for name in ("worker", "worker-fast"):
        installation.kill(name)
    installation.order("traffic", clients=[0], times=2)
    if installation.redis:
        installation.redis.flush()
    else:
        assert installation.ask("lose_queue") > 0
    for name in ("worker", "worker-fast"):
        installation.start_worker(name)
    installation.pass_time(minutes=1.5)
    wait_for_all_calls(installation)
    check(installation, "Redis flushed with all that was queued" if installation.redis else "whole queue lost")


@pytest.mark.exhaustive
@only["redis"]
def test_redis_flushed_in_the_middle_of_traffic(installation):
    with installation.traffic(clients=[0], times=5, pause=0.2):
        for _time in range(5):
            installation.redis.flush()
    installation.pass_time(minutes=4)
    wait_for_all_calls(installation)
    check(installation, "Redis flushed again and again in the middle of traffic")


def test_duplicate_workers(installation):
    """Two clusters of each queue, every schedule run twice at once."""
    for name in ("worker-2", "worker-fast-2"):
        installation.start_worker(name)
    with installation.traffic(clients=[0], times=6):
        for _time in range(3):
            installation.ask("sweep")
            installation.ask("run", "telephony.reconcile_all")
    installation.pass_time(minutes=1)
    wait_for_all_calls(installation)
    assert installation.state()["crm"]["requests"]["over_limit"] == 0
    check(installation, "workers twice, sweeps at the same moment")


def count_lines(installation, name, text):
    """Return how many lines of a process's log contain a text."""
    return sum(text in line for line in installation.child(name).log.read_text(errors="replace").splitlines())


@only["redis"]
def test_foreign_entries_of_the_queues_are_refused(installation):
    """A function that is not on our list, code that runs on unpickling, and bytes: logged once, and not run."""
    marks = installation.ask("push_foreign_entries", str(installation.directory))
    session = installation.play("missed")["session"]
    installation.until(
        lambda state: [call["externalId"] for call in state["crm"]["calls"]] == [f"uis-{session}"], "the call"
    )
    installation.wait_for(lambda: installation.ask("queue_depths") == [0, 0], "the queues to be empty")
    assert [path for path in marks if Path(path).exists()] == []
    for name in ("worker", "worker-fast"):
        refused = functools.partial(count_lines, installation, name, "an entry of the queue was refused")
        installation.wait_for(lambda refused=refused: refused() >= 3, "the log of refusals")
        assert refused() == 3
        assert count_lines(installation, name, "Failed to push task to queue") == 1
        assert count_lines(installation, name, "os.mkdir") == 1
    check(installation, "foreign entries and garbage in both queues")


def is_refused(hook, size):
    body = {"event": "incoming", "call_session_id": uuid.uuid4().int % 10**9, "notification_name": "x" * size}
    return requests.post(hook, json=body, timeout=30).status_code >= 500


@only["sqlite"]
def test_full_disk(installation):
    """What cannot be stored is never answered with 200; processing continues when there is room again."""
    if installation.disk is None:
        missing("only root may mount the small disk that is to be filled")
    installation.order("traffic", clients=[0])
    installation.disk.fill()
    hook = installation.hook()
    for size in (60_000, 100):
        installation.wait_for(
            lambda size=size: is_refused(hook, size), "the room inside the database's own files to be used"
        )
    refused = installation.order("traffic", clients=[0])["refused"]
    assert {notice["status"] for notice in refused} <= {500, 503}
    assert refused
    installation.disk.make_room()
    installation.wait_for(installation.is_ready, "web and workers to be ready")
    reconcile_undelivered(installation)
    wait_for_all_calls(installation)
    check(installation, "disk full under SQLite")
