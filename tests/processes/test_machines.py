"""What befalls our own machines: database and broker restarted, flushed, lost; workers twice; disk full."""

import uuid

import pytest
import requests

from tests.needs import missing
from tests.processes.accounting import check

pytestmark = pytest.mark.processes

only = {name: pytest.mark.parametrize("installation", [name], indirect=True) for name in ("sqlite", "redis")}
on_both = pytest.mark.parametrize("installation", ["sqlite", "redis"], indirect=True)


def find_untold(plant):
    """Do what the next ten minutes do: find the calls that the connector could not be told of."""
    plant.turn_clock(minutes=6)
    plant.ask("run", "telephony.reconcile_all")
    plant.pass_time(minutes=4)


def all_there(plant):
    def is_so():
        ledger = plant.vendors()[0]
        return len(ledger["calls"]) == len(ledger["sessions"])

    plant.wait_for(is_so, "all calls in the CRM")


@only["redis"]
@pytest.mark.parametrize("how", ["kill", pytest.param("restart", marks=pytest.mark.slow)])
def test_database_restarted_in_the_middle_of_traffic(plant, how):
    """Web and workers find their way back by themselves."""
    with plant.traffic(clients=[0], times=5, pause=0.4):
        if how == "kill":
            plant.postgres.kill()
            plant.postgres.start()
        else:
            plant.postgres.restart()
    plant.wait_for(plant.is_ready, "web and workers to be ready")
    find_untold(plant)
    all_there(plant)
    check(plant, f"database: {'kill -9' if how == 'kill' else 'restarted'} in the middle of traffic")


@only["redis"]
def test_redis_restarted_in_the_middle_of_traffic(plant):
    with plant.traffic(clients=[0], times=5, pause=0.4):
        plant.redis.restart()
    plant.wait_for(plant.is_ready, "web and workers to be ready")
    plant.pass_time(minutes=4)
    plant.pass_time(minutes=4)
    all_there(plant)
    check(plant, "Redis restarted in the middle of traffic")


@on_both
def test_queue_lost_whole(plant):
    """Rows are the truth: the minute's sweep nudges all that lost its entry."""
    for name in ("worker", "worker-fast"):
        plant.kill(name)
    plant.order("traffic", clients=[0], times=2)
    if plant.redis:
        plant.redis.flush()
    else:
        assert plant.ask("lose_queue") > 0
    for name in ("worker", "worker-fast"):
        plant.start_worker(name)
    plant.pass_time(minutes=1.5)
    all_there(plant)
    check(plant, "Redis flushed with all that was queued" if plant.redis else "queue lost whole")


@pytest.mark.slow
@only["redis"]
def test_redis_flushed_in_the_middle_of_traffic(plant):
    with plant.traffic(clients=[0], times=5, pause=0.2):
        for _time in range(5):
            plant.redis.flush()
    plant.pass_time(minutes=4)
    all_there(plant)
    check(plant, "Redis flushed again and again in the middle of traffic")


def test_workers_twice(plant):
    """Two clusters of each queue, every schedule run twice at once."""
    for name in ("worker-2", "worker-fast-2"):
        plant.start_worker(name)
    with plant.traffic(clients=[0], times=6):
        for _time in range(3):
            plant.ask("sweep")
            plant.ask("run", "telephony.reconcile_all")
    plant.pass_time(minutes=1)
    all_there(plant)
    assert plant.state()["crm"]["requests"]["over_limit"] == 0
    check(plant, "workers twice, sweeps at the same moment")


def is_refused(hook, size):
    body = {"event": "incoming", "call_session_id": uuid.uuid4().int % 10**9, "notification_name": "x" * size}
    return requests.post(hook, json=body, timeout=30).status_code >= 500


@only["sqlite"]
def test_disk_full(plant):
    """What cannot be stored is refused, never answered with 200; when there is room again all goes on."""
    if plant.disk is None:
        missing("only root may mount the small disk that is to be filled")
    plant.order("traffic", clients=[0])
    plant.disk.fill()
    hook = plant.hook()
    for size in (60_000, 100):
        plant.wait_for(lambda size=size: is_refused(hook, size), "the room inside the database's own files to be used")
    refused = plant.order("traffic", clients=[0])["refused"]
    assert {notice["status"] for notice in refused} <= {500, 503}
    assert refused
    plant.disk.make_room()
    plant.wait_for(plant.is_ready, "web and workers to be ready")
    find_untold(plant)
    all_there(plant)
    check(plant, "disk full under SQLite")
