"""kill -9 of any process at any moment: nothing is lost, nothing is uploaded, shown or dialled twice."""

import time

import pytest
import requests

from tests.processes.accounting import check
from tests.simulator.fixtures import IVAN, PETR

pytestmark = pytest.mark.processes


def uploaded(state, *sessions):
    return sorted(call["externalId"] for call in state["crm"]["calls"]) == sorted(f"uis-{one}" for one in sessions)


def count_requests(state, side, what):
    return sum(count for name, count in state[side]["requests"]["by"].items() if what in name)


def users_with_popup(state, session):
    return sorted(
        int(user)
        for user, shown in state["crm"]["popups"].items()
        if any(card.get("callExternalId") == f"uis-{session}" for card in shown)
    )


def test_popup_killed_while_it_is_sent(installation):
    """The pop-up is on the screen, its answer never came: no second one, and the end of the call closes it."""
    installation.order("delay", side="crm", seconds=30, part="call/event", times=1)
    session = installation.play("ring", employees=[IVAN])["session"]
    installation.until(lambda state: users_with_popup(state, session) == [27], "the pop-up")
    installation.kill_and_replace("worker-fast")
    assert users_with_popup(installation.state(), session) == [27]
    installation.play("end", session=session)
    installation.until(lambda state: users_with_popup(state, session) == [], "the pop-up to close")
    installation.until(lambda state: uploaded(state, session), "the call in the CRM")
    assert sum(event["type"] == "in" for event in installation.state()["crm"]["events"]) == 1
    check(installation, "kill -9: pop-up, being sent")


@pytest.mark.exhaustive
def test_popup_killed_while_it_is_closed(installation):
    session = installation.play("ring", employees=[IVAN, PETR])["session"]
    installation.until(lambda state: users_with_popup(state, session) == [27, 28], "both pop-ups")
    installation.order("delay", side="crm", seconds=30, part="call/event", times=1)
    installation.play("end", session=session)
    installation.until(lambda state: count_requests(state, "crm", "call/event") >= 3, "the hang-up")
    installation.kill_and_replace("worker-fast")
    installation.until(
        lambda state: users_with_popup(state, session) == [] and uploaded(state, session), "the call in the CRM"
    )
    installation.wait_for(lambda: installation.ask("open_popups") == 0, "the end of the hang-up")
    check(installation, "kill -9: pop-up, being closed")


def test_missed_killed_while_it_uploads(installation):
    """The CRM has stored the call, but its answer never arrives: the retry makes no second call."""
    installation.order("delay", side="crm", seconds=30, part="calls/upload", times=1)
    session = installation.play("missed")["session"]
    installation.until(lambda state: state["crm"]["calls"], "the call in the CRM")
    installation.kill_and_replace("worker")
    installation.wait_for(lambda: [session, "UPLOADED"] in installation.ask("rows")["calls"], "the row")
    check(installation, "kill -9: missed call, upload under way")


@pytest.mark.exhaustive
def test_missed_killed_between_its_steps(installation):
    """Stored while no worker ran; the queue entry is lost with the killed one."""
    installation.kill("worker")
    session = installation.play("missed")["session"]
    installation.start_worker("worker")
    installation.pass_time(minutes=1)
    installation.until(lambda state: uploaded(state, session), "the call in the CRM")
    check(installation, "kill -9: missed call, before its upload")


def test_answered_killed_while_it_fetches_legs(installation):
    installation.order("delay", side="uis", seconds=30, part="call_legs_report", times=1)
    session = installation.play("answered")["session"]
    installation.until(lambda state: count_requests(state, "uis", "call_legs_report"), "the request for legs")
    installation.kill_and_replace("worker")
    installation.until(lambda state: uploaded(state, session), "the call in the CRM")
    check(installation, "kill -9: answered call, legs being fetched")


@pytest.mark.exhaustive
def test_answered_killed_between_legs_and_upload(installation):
    """The legs are stored, the upload was sent, and the worker was killed before it could write the result."""
    installation.order("delay", side="crm", seconds=30, part="calls/upload", times=1)
    session = installation.play("answered", talks=[[IVAN, 20], [PETR, 30]])["session"]
    installation.until(lambda state: state["crm"]["calls"], "the call in the CRM")
    installation.kill_and_replace("worker")
    installation.wait_for(lambda: [session, "UPLOADED"] in installation.ask("rows")["calls"], "the row")
    check(installation, "kill -9: answered call, upload under way")


@pytest.mark.exhaustive
def test_answered_killed_while_it_waits_for_its_recording(installation):
    """With our own link it waits for none: the link of the demonstration."""
    installation.ask("give_links", "UIS")
    session = installation.play("answered", record_after=60)["session"]
    installation.wait_for(
        lambda: installation.ask("calls", 0).get(str(session), ["", ""])[1] == "RECORDING_NOT_READY", "the wait"
    )
    installation.kill("worker")
    installation.start_worker("worker")
    installation.pass_time(minutes=2)
    installation.until(lambda state: uploaded(state, session), "the call in the CRM")
    assert installation.state()["crm"]["calls"][0]["recordUrl"]
    check(installation, "kill -9: answered call, waiting for its recording")
    installation.ask("give_links", "OURS")


def test_click_killed_while_dialling_dials_once(installation):
    installation.order("delay", side="uis", seconds=30, part="start.employee_call", times=1)
    installation.play("click")
    installation.until(lambda state: state["uis"]["dialled"], "the call that UIS starts")
    installation.kill_and_replace("worker-fast")
    installation.wait_for(
        lambda: installation.ask("rows")["commands"][-1] == ["FAILED", "NOT_REPEATED"], "the click's end"
    )
    installation.play("dialled")
    installation.play("end", talk=20)
    installation.until(lambda state: len(state["crm"]["calls"]) == 1, "the call in the CRM")
    assert len(installation.state()["uis"]["dialled"]) == 1
    check(installation, "kill -9: click, UIS asked to dial")


@pytest.mark.exhaustive
def test_click_killed_before_it_started_expires(installation):
    """A click expires: minutes later the manager may have left."""
    installation.kill("worker-fast")
    installation.play("click")
    installation.start_worker("worker-fast")
    installation.wait_for(
        lambda: installation.ask("rows")["commands"][-1][0] in {"DONE", "FAILED"} or _expire(installation), "its end"
    )
    assert len(installation.state()["uis"]["dialled"]) <= 1
    check(installation, "kill -9: click, before it started")


def _expire(installation):
    installation.pass_time(minutes=3)


@pytest.mark.exhaustive
def test_status_killed_while_updating_is_set_later(installation):
    installation.order("delay", side="uis", seconds=30, part="update.employees", times=1)
    installation.play("status", status="dinner")
    installation.until(lambda state: count_requests(state, "uis", "update.employees"), "the change of status")
    installation.kill_and_replace("worker-fast")
    installation.wait_for(lambda: installation.ask("rows")["commands"][-1][0] == "DONE", "the status")
    assert installation.state()["uis"]["employees"][0]["status"] == "break"
    check(installation, "kill -9: status, UIS being updated")


@pytest.mark.exhaustive
def test_sync_killed_while_running_is_completed_by_the_next(installation):
    """Killed while it reads the staff and while it updates the CRM: the next sync brings the new employee."""
    added = installation.play("sync")
    installation.order("delay", side="uis", seconds=30, part="get.employees", times=1)
    installation.ask("run", "telephony.sync_all")
    installation.until(lambda state: count_requests(state, "uis", "get.employees"), "the staff list")
    installation.kill_and_replace("worker")
    installation.order("delay", side="crm", seconds=30, part="integration-modules", times=1)
    installation.ask("run", "telephony.sync_all")
    installation.until(lambda state: count_requests(state, "crm", "integration-modules"), "the module")
    installation.kill_and_replace("worker")
    installation.ask("run", "telephony.sync_all")
    installation.until(lambda state: _has_extension(state, added), "the new extension in the CRM's module")
    check(installation, "kill -9: sync, staff being read, CRM being updated")


def _has_extension(state, added):
    modules = state["crm"]["modules"].values()
    return any(module["extensions"].get(added["extension"]) == added["user"] for module in modules)


def test_reconciliation_killed_while_running_finds_all_calls_next_time(installation):
    """No notification came for these calls, and the worker that reconciled them was killed."""
    installation.order("notices", do="drop")
    sessions = [installation.play(scene)["session"] for scene in ("missed", "answered")]
    installation.turn_clock(minutes=6)
    installation.order("delay", side="uis", seconds=30, part="get.calls_report", times=1)
    installation.ask("run", "telephony.reconcile_all")
    installation.until(lambda state: count_requests(state, "uis", "calls_report"), "UIS's report")
    installation.kill_and_replace("worker")
    installation.ask("run", "telephony.reconcile_all")
    installation.until(lambda state: uploaded(state, *sessions), "both calls in the CRM")
    check(installation, "kill -9: reconciliation, UIS's report being read")


@pytest.mark.parametrize("cluster", ["worker", pytest.param("worker-fast", marks=pytest.mark.exhaustive)])
def test_killed_idle_workers_are_replaced(installation, cluster):
    """django-q2 never releases the queue lock of a killed process; our supervisor restarts the pool."""
    assert installation.kill_workers_inside(cluster)
    if cluster == "worker":
        session = installation.play("missed")["session"]
        installation.until(lambda state: uploaded(state, session), "the call in the CRM")
    else:
        installation.play("click")
        installation.wait_for(
            lambda: installation.ask("rows")["commands"][-1][0] in {"DONE", "FAILED"}, "the click's end"
        )
    check(installation, f"kill -9: idle processes of “{cluster}”")


def test_web_killed_in_a_burst_loses_no_answered_notification(installation):
    """What was answered 200 is stored; UIS sends the rest again."""
    hook = installation.hook()
    first = int(time.time()) * 1000
    bodies = [
        {
            "event": "lost_call",
            "call_session_id": first + number,
            "contact_phone_number": f"7999555{number:04d}",
            "virtual_phone_number": "74950000001",
            "wait_time_duration": 5,
        }
        for number in range(60)
    ]
    unanswered = []
    for number, body in enumerate(bodies):
        if number == 30:
            installation.kill("web")
        if number == 40:
            installation.start_web()
            installation.wait_for(installation.is_live, "the web process")
        try:
            answer = requests.post(hook, json=body, timeout=5)
            if answer.status_code != 200:
                unanswered.append(body)
        except requests.RequestException:
            unanswered.append(body)
    assert 5 <= len(unanswered) <= 30
    installation.wait_for(installation.is_live, "the web process")
    for body in [*unanswered, *bodies]:
        assert requests.post(hook, json=body, timeout=30).status_code == 200
    installation.until(lambda state: len(state["crm"]["calls"]) >= 60, "all calls in the CRM")
    assert uploaded(installation.state(), *[body["call_session_id"] for body in bodies])


@pytest.mark.parametrize("shared_installation", ["sqlite", "redis"], indirect=True)
def test_all_processes_killed_and_the_queue_lost(installation):
    installation.order("break", side="crm", kind="503")
    sessions = [installation.play("missed")["session"], installation.play("answered")["session"]]
    for name in ("web", "worker", "worker-fast"):
        installation.kill(name)
    if installation.redis:
        installation.redis.flush()
    installation.order("repair")
    installation.start_connector()
    installation.wait_for(installation.is_live, "the web process")
    installation.pass_time(minutes=4)
    installation.pass_time(minutes=4)
    installation.until(lambda state: uploaded(state, *sessions), "both calls in the CRM")
    check(installation, "kill -9: everything at once, and the queue lost")


def test_health_lists_the_workers(installation):
    url = f"{installation.address}/health/ready/"
    installation.wait_for(installation.is_ready, "web and workers to be ready")
    answer = requests.get(url, timeout=30).json()
    assert (answer["status"], answer["missing_workers"]) == ("ok", [])
    assert answer["queue"]["broker"] == ("redis" if installation.redis else "database")
    assert {worker["queue"] for worker in answer["workers"]} == {"default", "fast"}


def test_idle_cluster_stops_at_once(installation):
    """None of its processes waits for the next entry, or the end of another one, without noticing."""
    child = installation.child("worker-fast")
    time.sleep(1.0)
    started_at = time.monotonic()
    child.process.terminate()
    child.process.wait(30)
    assert time.monotonic() - started_at < 3
    installation.children.running.remove(child)
    installation.start_worker("worker-fast")
