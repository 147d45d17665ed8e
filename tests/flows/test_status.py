"""A status changed in the CRM is set in UIS, and the reverse if the rules enable it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from crm import tasks as crm_tasks
from crm.models import Command
from crm.retailcrm.client import RetailCrmClient
from telephony import tasks
from telephony.uis.client import UisClient
from tenants.models import CrmConnection, Employee
from tests import task_queue
from tests.conftest import IVAN, PETR
from tests.fakes import retailcrm_methods
from tests.fakes.retailcrm_http import as_json
from tests.rules import publish_rules_for_all

AVAILABLE, DO_NOT_DISTURB, OWN = 1, 3, 9001


@pytest.fixture
def change(client, tenant, run_queue):
    """Report a status change as the CRM's server does."""

    def send(status, *, method="get", works=True, **fields):
        form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101", "status": status} | fields
        answer = getattr(client, method)(f"/hooks/retailcrm/{tenant.crm.hook}/change-user-status/", form)
        if works:
            run_queue()
        return answer

    return send


@pytest.fixture
def both(tenant):
    publish_rules_for_all(status_sync="BOTH")


def status_of(pbx, employee_id=IVAN):
    return pbx.statuses[pbx.employees[employee_id]["status_id"]]["mnemonic"]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("crm_status", "expected"),
    [
        ("busy", "do_not_disturb"),
        ("dinner", "break"),
        ("break", "break"),
        ("free", "available"),
        ("holiday", "do_not_disturb"),
    ],
)
def test_crm_status_sets_the_uis_status(change, pbx, tenant, stranger, method, crm_status, expected):
    answer = change(crm_status, method=method)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert status_of(pbx) == expected
    assert Command.objects.get().state == Command.State.DONE


def test_status_table_is_per_tenant(change, pbx, tenant):
    publish_rules_for_all(status_dinner=str(OWN))
    change("dinner")
    assert pbx.employees[IVAN]["status_id"] == OWN


def test_account_without_statuses_falls_back_to_calls_available(change, pbx, tenant):
    pbx.has_statuses = False
    tasks.sync_employees(tenant.pk)
    change("busy")
    assert pbx.employees[IVAN]["calls_available"] is False
    change("free")
    assert pbx.employees[IVAN]["calls_available"] is True


def test_account_that_requires_all_fields_gets_the_whole_employee(change, pbx, tenant):
    pbx.requires_full_update = True
    numbers = [phone["phone_number"] for phone in pbx.employees[IVAN]["phone_numbers"]]
    change("busy")
    assert status_of(pbx) == "do_not_disturb"
    assert [phone["phone_number"] for phone in pbx.employees[IVAN]["phone_numbers"]] == numbers


def test_latest_status_wins(change, pbx, run_queue, tenant):
    for status in ("busy", "dinner", "free"):
        change(status, works=False)
    task_queue.drain()
    assert status_of(pbx) == "available"
    assert list(Command.objects.order_by("pk").values_list("reason", flat=True)) == ["SUPERSEDED", "SUPERSEDED", ""]


def test_outage_delays_the_status_and_the_latest_still_wins(change, uis_world, pbx, later, tenant):
    uis_world.break_down("503")
    change("busy")
    change("free")
    change("dinner")
    uis_world.repair()
    later(timedelta(minutes=3))
    assert status_of(pbx) == "break"


def test_long_outage_does_not_bring_back_an_old_status(change, uis_world, pbx, later, tenant):
    uis_world.break_down("503")
    change("busy")
    uis_world.repair()
    later(timedelta(hours=1))
    assert status_of(pbx) == "available"
    assert Command.objects.get().state == Command.State.FAILED


@pytest.mark.parametrize(
    ("waits", "status", "state"),
    [
        (timedelta(minutes=9, seconds=50), "do_not_disturb", Command.State.DONE),
        (timedelta(minutes=10, seconds=1), "available", Command.State.FAILED),
    ],
)
def test_status_expires_after_ten_minutes(change, uis_world, pbx, later, tenant, waits, status, state):
    uis_world.break_down("503")
    change("busy")
    uis_world.repair()
    later(waits)
    assert (status_of(pbx), Command.objects.get().state) == (status, state)


def test_status_claimed_by_a_dead_worker_is_retried(change, pbx, later, tenant):
    change("busy", works=False)
    command = Command.objects.get()
    assert Command.objects.claim_one(command.pk, now=timezone.now(), state=Command.State.RUNNING)
    task_queue.lose()
    later(timedelta(minutes=4))
    assert status_of(pbx) == "do_not_disturb"


@pytest.mark.parametrize(
    ("rules", "reason", "status"), [({"status_sync": "OFF"}, "SYNC_OFF", 200), ({}, "UNKNOWN_USER", 400)]
)
def test_status_that_is_not_set_has_a_reason(change, pbx, tenant, rules, reason, status):
    publish_rules_for_all(**rules)
    ids = {} if rules else {"userId": "999", "code": "999"}
    assert change("busy", **ids).status_code == status
    assert (Command.objects.get().reason, status_of(pbx)) == (reason, "available")


def test_unknown_client_id_is_forbidden(change, pbx, tenant):
    assert change("busy", clientId="wrong").status_code == 403
    assert status_of(pbx) == "available"


def test_missing_right_fails_the_status_but_not_the_connection(change, pbx, tenant):
    pbx.permissions.discard("employees: update")
    change("busy")
    tenant.uis.refresh_from_db()
    assert (Command.objects.get().reason, tenant.uis.denied_at) == ("UIS_DENIED", None)


def test_change_in_uis_reaches_the_crm(pbx, crm, run_queue, tenant, both, stranger):
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    tasks.poll_all()
    run_queue()
    assert crm.users[27]["status"] == "busy"
    assert crm.users[28]["status"] == "free"


def test_polling_needs_both_directions_enabled(uis_world, run_queue, tenant):
    uis_world.requests.clear()
    tasks.poll_all()
    run_queue()
    assert uis_world.requests == []


def test_status_we_set_in_the_crm_is_not_sent_back(change, pbx, crm, uis_world, run_queue, tenant, both):
    pbx.employees[IVAN]["status_id"] = OWN  # no CRM status is configured for it, so it becomes busy
    tasks.poll_all()
    run_queue()
    change("busy")
    assert Command.objects.get().reason == "ECHO"
    assert pbx.employees[IVAN]["status_id"] == OWN
    change("free")
    change("busy")
    assert status_of(pbx) == "do_not_disturb"


def test_status_set_by_us_in_uis_is_not_sent_back(change, pbx, crm, crm_world, run_queue, tenant, both):
    change("dinner")
    crm_world.requests.clear()
    tasks.poll_all()
    run_queue()
    assert crm_world.requests == []


def test_unavailable_crm_gets_the_status_at_the_next_poll(pbx, crm, crm_world, run_queue, tenant, both):
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    crm_world.break_down("503")
    tasks.poll_all()
    run_queue()
    crm_world.repair()
    tasks.poll_all()
    run_queue()
    assert crm.users[27]["status"] == "busy"


def test_each_change_is_sent_once(pbx, crm, crm_world, run_queue, tenant, both):
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    for _poll in range(3):
        tasks.poll_all()
        run_queue()
    assert len([request for request in crm_world.requests if request.path.endswith("/status")]) == 1
    assert Employee.objects.get(uis_id=IVAN).last_sent_crm_status == "busy"


@pytest.mark.parametrize(
    ("cause", "denied"),
    [
        (lambda crm: crm.scopes.discard("user_write"), ""),
        (lambda crm: setattr(crm, "key", "another"), "key"),
    ],
)
def test_rejected_status_suspends_only_for_a_bad_key(pbx, crm, run_queue, tenant, both, cause, denied):
    cause(crm)
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    tasks.poll_all()
    run_queue()
    tenant.crm.refresh_from_db()
    assert tenant.crm.denied_code == denied


def test_status_of_an_unknown_crm_user_is_not_repeated(pbx, crm, crm_world, run_queue, tenant, both):
    Employee.objects.filter(uis_id=IVAN).update(crm_user_id=999)
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    for _poll in range(2):
        tasks.poll_all()
        run_queue()
    assert len([request for request in crm_world.requests if request.path.endswith("/999/status")]) == 1


def test_unknown_uis_status_in_the_table_fails_with_its_name(change, tenant):
    publish_rules_for_all(status_busy="on_holiday")
    change("busy")
    command = Command.objects.get()
    assert command.reason == "UIS_REFUSED"
    assert "on_holiday" in command.detail


def test_empty_status_is_rejected(change, tenant):
    assert change("").status_code == 400
    assert Command.objects.get().reason == "BAD_REQUEST"


def test_expired_key_fails_the_status_and_suspends_the_connection(change, pbx, tenant):
    pbx.token_state = "expired"
    change("busy")
    tenant.uis.refresh_from_db()
    assert (Command.objects.get().reason, tenant.uis.denied_code) == ("UIS_DENIED", "access_token_expired")


# --- what changes while UIS is asked is newer than its answer


@pytest.fixture
def poll_meanwhile(run_queue, monkeypatch):
    """Poll; `act` runs after UIS has answered and before the answer is used."""
    real = UisClient.employee_statuses

    def poll(act):
        def ask(self):
            answer = real(self)
            act()
            return answer

        monkeypatch.setattr(UisClient, "employee_statuses", ask)
        tasks.poll_all()
        task_queue.drain(pick=lambda task: task == "telephony.tasks.poll_statuses")
        run_queue()

    return poll


def click(change, crm, status):
    """A manager sets the status in the CRM, which reports it to us."""
    crm.users[27]["status"] = status
    change(status)


def stored_status():
    return Employee.objects.get(tenant__slug="romashka", uis_id=IVAN).uis_status


@pytest.mark.parametrize(
    ("in_uis", "clicked", "expected"),
    [
        (AVAILABLE, "busy", DO_NOT_DISTURB),  # UIS answers with the status before the click
        (DO_NOT_DISTURB, "free", AVAILABLE),  # the click sets what our row has had all the time
        (OWN, "dinner", 2),
    ],
)
def test_status_set_while_uis_is_asked_is_kept(
    change, pbx, crm, tenant, both, stranger, poll_meanwhile, in_uis, clicked, expected
):
    pbx.employees[IVAN]["status_id"] = in_uis
    poll_meanwhile(lambda: click(change, crm, clicked))
    assert (pbx.employees[IVAN]["status_id"], stored_status(), crm.users[27]["status"]) == (
        expected,
        str(expected),
        clicked,
    )
    assert crm.users[28]["status"] == "free"


@pytest.mark.parametrize("is_outage", [True, False])
def test_status_whose_command_is_open_is_not_sent_back(
    change, pbx, crm, crm_world, uis_world, tenant, both, run_queue, later, is_outage
):
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    crm.users[27]["status"] = "dinner"
    if is_outage:
        uis_world.break_down("503", method="update.employees")
    change("dinner", works=is_outage)
    crm_world.requests.clear()
    tasks.poll_all()
    task_queue.drain(pick=lambda task: task != "crm.tasks.run_command")
    assert [request.path for request in crm_world.requests if request.path.endswith("/status")] == []
    uis_world.repair()
    later(timedelta(minutes=2))
    assert (status_of(pbx), crm.users[27]["status"], stored_status()) == ("break", "dinner", "2")


def test_status_changed_while_others_are_sent_is_not_sent(change, pbx, crm, tenant, both, run_queue, monkeypatch):
    real, todo = RetailCrmClient.set_user_status, ["dinner"]

    def send(self, user_id, status):
        if todo:  # Ivan comes first; Petr clicks meanwhile.
            crm.users[28]["status"] = todo[0]
            change(todo.pop(), userId="28", code="102")
        return real(self, user_id, status)

    monkeypatch.setattr(RetailCrmClient, "set_user_status", send)
    for uis_id in (IVAN, PETR):
        pbx.employees[uis_id]["status_id"] = DO_NOT_DISTURB
    tasks.poll_all()
    task_queue.drain(pick=lambda task: task == "telephony.tasks.poll_statuses")
    crm_tasks.push_statuses(tenant.pk)
    assert [crm.users[user_id]["status"] for user_id in (27, 28)] == ["busy", "dinner"]
    tasks.poll_all()
    run_queue()
    assert (status_of(pbx, PETR), crm.users[28]["status"]) == ("break", "dinner")


# --- one answer of the CRM, or of UIS, is no verdict


def set_in_uis(pbx, run_queue, status_id):
    pbx.employees[IVAN]["status_id"] = status_id
    tasks.poll_all()
    run_queue()


def test_status_whose_answer_was_garbled_is_sent_again(pbx, crm, run_queue, tenant, both, monkeypatch):
    real, garbled = retailcrm_methods.answer, iter([as_json(200, [])])

    def answer(account, request):
        return (request.path.endswith("/status") and next(garbled, None)) or real(account, request)

    monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)
    set_in_uis(pbx, run_queue, DO_NOT_DISTURB)
    assert crm.users[27]["status"] == "free"
    set_in_uis(pbx, run_queue, DO_NOT_DISTURB)
    assert crm.users[27]["status"] == "busy"


def test_status_set_though_the_answer_was_lost_is_replaced_by_the_next(pbx, crm, crm_world, run_queue, tenant, both):
    """Also if the next one is the one before."""
    crm_world.break_down("cut", times=1, path_part="/status")
    set_in_uis(pbx, run_queue, DO_NOT_DISTURB)
    assert crm.users[27]["status"] == "busy"
    CrmConnection.objects.update(consecutive_failures=0, retry_at=None)
    set_in_uis(pbx, run_queue, AVAILABLE)
    assert crm.users[27]["status"] == "free"


def test_status_that_the_crm_refused_to_take_is_no_echo(change, pbx, crm, run_queue, tenant, both):
    crm.scopes.discard("user_write")
    set_in_uis(pbx, run_queue, DO_NOT_DISTURB)
    set_in_uis(pbx, run_queue, AVAILABLE)
    change("busy")
    assert (Command.objects.get().reason, status_of(pbx)) == ("", "do_not_disturb")


def test_command_whose_answer_was_garbled_is_run_again(change, pbx, uis_world, later, tenant):
    uis_world.break_down("no_result", method="update.employees", times=1)
    change("busy")
    assert Command.objects.get().state == Command.State.RECEIVED
    later(timedelta(minutes=1))
    assert (Command.objects.get().state, status_of(pbx)) == (Command.State.DONE, "do_not_disturb")
