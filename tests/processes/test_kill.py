"""kill -9 of any process at any moment: nothing is lost, nothing is uploaded or dialled twice."""

import os
import time

import psycopg2
import pytest
import redis
import requests

from tests.ports import free_pair
from tests.processes.plant import POSTGRES_ADMIN, REDIS, Plant

pytestmark = pytest.mark.processes


def _is_there(variant):
    if variant == "sqlite":
        return True
    try:
        psycopg2.connect(POSTGRES_ADMIN, connect_timeout=2).close()
        return redis.Redis.from_url(REDIS, socket_timeout=2).ping()
    except (psycopg2.OperationalError, redis.RedisError):
        return False


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def plant(request):
    """SQLite alone, and PostgreSQL with Redis."""
    if not _is_there(request.param):
        missing = "PostgreSQL or Redis does not answer on 127.0.0.1"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    built = Plant.on(request.param, port=free_pair())
    try:
        built.set_up()
        yield built
    finally:
        built.tear_down()


@pytest.fixture(autouse=True)
def _fresh(plant):
    plant.order("reset")
    yield
    plant.order("repair")


def uploaded(state, *sessions):
    return sorted(call["externalId"] for call in state["crm"]["calls"]) == sorted(f"uis-{one}" for one in sessions)


def session_of(played):
    return played["session"]


def test_worker_killed_while_it_uploads(plant):
    """The CRM has taken the call, but its answer never arrives: the second try is no second call."""
    plant.order("delay", side="crm", seconds=30, part="calls/upload", times=1)
    session = session_of(plant.play("missed"))
    plant.until(lambda state: state["crm"]["calls"], "the call in the CRM")
    plant.kill("worker")
    plant.order("repair")
    plant.start_worker("worker")
    plant.let_time_pass()
    plant.wait_for(lambda: [session, "UPLOADED"] in plant.ledger()["calls"], "the ledger")
    assert uploaded(plant.state(), session)


def test_worker_killed_while_it_asks_for_legs(plant):
    plant.order("delay", side="uis", seconds=30, part="call_legs_report", times=1)
    session = session_of(plant.play("answered"))
    plant.until(lambda state: state["uis"]["requests"]["by"].get("get.call_legs_report"), "the question for legs")
    plant.kill("worker")
    plant.order("repair")
    plant.start_worker("worker")
    plant.let_time_pass()
    plant.until(lambda state: uploaded(state, session), "the call in the CRM")


def test_worker_killed_in_the_middle_of_a_click_dials_once(plant):
    plant.order("delay", side="uis", seconds=30, part="start.employee_call", times=1)
    plant.play("click")
    plant.until(lambda state: state["uis"]["dialled"], "the call UIS began")
    plant.kill("worker-fast")
    plant.order("repair")
    plant.start_worker("worker-fast")
    plant.let_time_pass()
    plant.wait_for(lambda: plant.ledger()["commands"][-1] == ["FAILED", "NOT_REPEATED"], "the click's end")
    assert len(plant.state()["uis"]["dialled"]) == 1


def test_worker_killed_in_the_middle_of_a_status_sets_it_later(plant):
    plant.order("delay", side="uis", seconds=30, part="update.employees", times=1)
    plant.play("status", status="dinner")
    plant.until(lambda state: state["uis"]["requests"]["by"].get("update.employees"), "the change of status")
    plant.kill("worker-fast")
    plant.order("repair")
    plant.start_worker("worker-fast")
    plant.let_time_pass()
    plant.wait_for(lambda: plant.ledger()["commands"][-1][0] == "DONE", "the status")
    assert plant.state()["uis"]["employees"][0]["status"] == "break"


@pytest.mark.parametrize("cluster", ["worker", "worker-fast"])
def test_idle_workers_killed_are_replaced_and_go_on(plant, cluster):
    """django-q2 leaves the queue's lock with the dead; ours begins anew."""
    assert plant.kill_workers_inside(cluster)
    began = time.monotonic()
    played = plant.play("missed") if cluster == "worker" else plant.play("click")
    if cluster == "worker":
        plant.until(lambda state: uploaded(state, session_of(played)), "the call in the CRM")
    else:
        plant.wait_for(lambda: plant.ledger()["commands"][-1][0] in {"DONE", "FAILED"}, "the click's end")
    assert time.monotonic() - began < 40


def test_web_killed_in_a_burst_loses_nothing_it_answered(plant):
    """What was answered 200 is stored; what was not, UIS sends again."""
    hook = plant.hook()
    bodies = [
        {
            "event": "lost_call",
            "call_session_id": 7_000_000_000 + number,
            "contact_phone_number": f"7999555{number:04d}",
            "virtual_phone_number": "74950000001",
            "wait_time_duration": 5,
        }
        for number in range(60)
    ]
    unanswered = []
    for number, body in enumerate(bodies):
        if number == 30:
            plant.kill("web")
        if number == 40:
            plant.start_web()
            plant.wait_for(plant.is_live, "the web process")
        try:
            answer = requests.post(hook, json=body, timeout=5)
            if answer.status_code != 200:
                unanswered.append(body)
        except requests.RequestException:
            unanswered.append(body)
    assert 5 <= len(unanswered) <= 30
    plant.wait_for(plant.is_live, "the web process")
    for body in [*unanswered, *bodies]:
        assert requests.post(hook, json=body, timeout=5).status_code == 200
    plant.until(lambda state: len(state["crm"]["calls"]) >= 60, "all calls in the CRM")
    assert uploaded(plant.state(), *[body["call_session_id"] for body in bodies])


def test_everything_killed_and_the_queue_lost(plant):
    hook = plant.hook()
    plant.order("break", side="crm", kind="503")
    sessions = [session_of(plant.play("missed")), session_of(plant.play("answered"))]
    for name in ("web", "worker", "worker-fast"):
        plant.kill(name)
    if plant.more:
        redis.Redis.from_url(REDIS).flushdb()
    plant.order("repair")
    plant.start_connector()
    plant.wait_for(plant.is_live, "the web process")
    plant.let_time_pass()
    plant.let_time_pass()
    plant.until(lambda state: uploaded(state, *sessions), "both calls in the CRM")
    assert hook


def test_health_tells_a_dead_cluster(plant):
    where = f"{plant.address}/health/ready/"
    said = requests.get(where, timeout=5).json()
    assert (said["status"], said["missing_workers"]) == ("ok", [])
    assert said["queue"]["broker"] == ("redis" if plant.more else "database")
    assert {worker["queue"] for worker in said["workers"]} == {"default", "fast"}
