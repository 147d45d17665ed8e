"""Incidents of pop-ups that come late or not at all, of unlinked employees whose phones ring, and of failing checks."""

import itertools
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from connector_project.core.check_results import CHECKS, CheckResult, Responsible
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.alerts import incident_texts, rules
from connector_project.operations.checks import history, runner
from connector_project.operations.models import Incident
from crm.models import Popup
from telephony.models import Call, Notification
from tenants.models import CheckRun, Employee, Tenant
from tenants.rules import PopupChoice
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules_for_all

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NEW_KINDS = {"POPUPS", "NOT_LINKED", "CHECK_FAILED"}
SESSIONS = itertools.count(1)


def problems(tenant=None):
    """Return the found problems of the kinds that are tested here: their client, kind and reason."""
    found = rules.find_problems(rules.load_clients(), now=timezone.now())
    keys = {key for key in found if key[1] in NEW_KINDS}
    return {key[1:] for key in keys if tenant is None or key[0] == tenant.pk}


def add_popup(tenant, *, uis=0.1, connector=0.1, crm=0.1, ago=HOUR, **values):
    rang = timezone.now() - ago
    received = rang + uis * SECOND
    sent = received + connector * SECOND
    row = {"state": "CLOSED", "accepted_at": sent + crm * SECOND, "crm_user_id": 27, "direction": "in"} | values
    employee = row.pop("employee", None) or Employee.objects.get(tenant=tenant, uis_id=IVAN)
    times = {"ringing_at": rang, "received_at": received, "sent_at": sent}
    return Popup.objects.create(
        tenant=tenant, session_id=next(SESSIONS), employee=employee, contact=CONTACT, **times, **row
    )


def add_ring(tenant, reason, *, employee=IVAN, uis=0, ago=HOUR, event="waiting", **values):
    at = timezone.now() - ago
    number = next(SESSIONS)
    return Notification.objects.create(
        tenant=tenant,
        received_at=at,
        happened_at=at - uis * SECOND,
        digest=f"d{number}",
        session_id=number,
        employee_uis_id=employee,
        event=event,
        **{"outcome": "DROPPED", "reason": reason} | values,
    )


def ring_unlinked(tenant, **values):
    return add_ring(tenant, "NOT_LINKED", **{"employee": ANNA} | values)


def add_call(tenant, *, rung=(IVAN,), ago=HOUR, **values):
    at = timezone.now() - ago
    row = {"direction": "in", "state": "UPLOADED", "rung_employee_ids": list(rung)} | values
    return Call.objects.create(
        tenant=tenant, session_id=next(SESSIONS), started_at=at, ended_at=at, retry_window_started_at=at, **row
    )


def add_many(add, tenant, count=5, **values):
    for _number in range(count):
        add(tenant, **values)


LATE = {
    "UIS": ({"uis": 6.0}, Responsible.UIS),
    "CONNECTOR": ({"connector": 7.0}, Responsible.OPERATOR),
    "CRM": ({"crm": 5.5}, Responsible.CRM),
}


@pytest.mark.parametrize("system", LATE)
def test_late_popups_open_an_incident_that_names_the_bottleneck(tenant, stranger_rows, system):
    times, responsible = LATE[system]
    add_many(add_popup, tenant, **times)
    assert problems() == {("POPUPS", f"LATE_{system}")}
    assert problems(stranger_rows) == set()
    incident = found_one()
    assert incident.context["failed"] == 5
    assert incident_texts.responsible(incident) == responsible


@pytest.fixture
def stranger_rows(twin):
    """A second client whose pop-ups are in time."""
    add_many(add_popup, twin)
    return twin


def found_one():
    (incident,) = (
        one for one in rules.find_problems(rules.load_clients(), now=timezone.now()).values() if one.kind in NEW_KINDS
    )
    return incident


@pytest.mark.parametrize(
    "rows",
    [
        [({}, 50)],
        [({"uis": 4.5}, 50)],  # slow, but in time
        [({"uis": 6.0}, 2)],  # too few
        [({"uis": 6.0}, 4), ({}, 40)],  # a small share
        [({"uis": 6.0, "ago": 25 * HOUR}, 50)],  # long ago
        [({"state": "OPENING", "accepted_at": None}, 50)],  # being sent
    ],
)
def test_popups_that_are_no_problem_open_none(tenant, rows):
    for values, count in rows:
        add_many(add_popup, tenant, count, **values)
    assert problems() == set()


ABSENT = {
    "CRM_FAILED": (lambda tenant: add_popup(tenant, state="FAILED", accepted_at=None), Responsible.CRM),
    "STALE": (lambda tenant: add_ring(tenant, "STALE"), Responsible.OPERATOR),
    "UIS_LATE": (lambda tenant: add_ring(tenant, "STALE", uis=30), Responsible.UIS),
    "CRM_AWAY": (lambda tenant: add_ring(tenant, "CRM_AWAY"), Responsible.CRM),
    "CRM_DENIED": (lambda tenant: add_ring(tenant, "CRM_DENIED", event="outgoing"), Responsible.CLIENT),
    "INTERNAL_ERROR": (lambda tenant: add_ring(tenant, "INTERNAL_ERROR"), Responsible.DEVELOPERS),
    "NOT_TOLD": (add_call, Responsible.CLIENT),
}


@pytest.mark.parametrize("cause", ABSENT)
def test_popups_that_did_not_come_open_an_incident_by_cause(tenant, stranger_rows, cause):
    add, responsible = ABSENT[cause]
    for _number in range(5):
        add(tenant)
    assert problems() == {("POPUPS", cause)}
    assert problems(stranger_rows) == set()
    incident = found_one()
    assert incident_texts.responsible(incident) == responsible
    texts = set()
    for language in ("ru", "en"):
        with translation.override(language):
            texts.add(incident_texts.message(incident))
    assert len(texts) == 2


@pytest.mark.parametrize(
    "add",
    [
        lambda tenant: add_ring(tenant, "RULE"),
        lambda tenant: add_ring(tenant, "PAUSED"),
        lambda tenant: add_ring(tenant, "CALL_OVER"),
        lambda tenant: add_ring(tenant, "COLLEAGUE_ANSWERED"),
        lambda tenant: add_ring(tenant, "STALE", employee=ANNA),  # without a CRM user
        lambda tenant: add_ring(tenant, "STALE", event="call_end"),
        lambda tenant: add_ring(tenant, "STALE", ago=25 * HOUR),
        lambda tenant: add_call(tenant, rung=()),
        lambda tenant: add_call(tenant, rung=(ANNA,)),
        lambda tenant: add_call(tenant, direction="out"),
        lambda tenant: add_call(tenant, is_internal=True),
        lambda tenant: add_call(tenant, origin="REPORT"),
        lambda tenant: add_call(tenant, ago=MINUTE),  # its notifications may still come
        lambda tenant: add_call(tenant, ago=25 * HOUR),
        lambda tenant: Notification.objects.filter(pk=add_ring(tenant, "RULE").pk).update(
            session_id=add_call(tenant).session_id
        ),
        lambda tenant: Popup.objects.filter(pk=add_popup(tenant).pk).update(session_id=add_call(tenant).session_id),
    ],
)
def test_rings_that_are_no_problem_open_none(tenant, add):
    Tenant.objects.update(activated_at=timezone.now() - 100 * HOUR)
    for _number in range(9):
        add(tenant)
    assert problems() == set()


def test_calls_without_popups_by_rule_or_from_before_the_activation_open_none(tenant):
    Tenant.objects.update(activated_at=timezone.now() - 30 * MINUTE)
    add_many(add_call, tenant)
    assert problems() == set()
    Tenant.objects.update(activated_at=timezone.now() - 100 * HOUR)
    assert problems() == {("POPUPS", "NOT_TOLD")}
    publish_rules_for_all(popup_incoming=PopupChoice.OFF)
    assert problems() == set()


@pytest.fixture(autouse=True)
def _activated_long_ago(tenant):
    Tenant.objects.update(activated_at=timezone.now() - 100 * HOUR)


def evaluate(later, count=1):
    for _minute in range(count):
        later(MINUTE)
        operations_tasks.evaluate_alerts()
        task_queue.drain()


@pytest.mark.slow
def test_incident_is_resolved_when_popups_are_in_time_again(tenant, later):
    add_many(add_popup, tenant, uis=6.0, ago=MINUTE)
    evaluate(later)
    incident = Incident.objects.get(kind="POPUPS")
    later(25 * HOUR)
    add_many(add_popup, tenant, 50, ago=MINUTE)
    evaluate(later, 7)
    incident.refresh_from_db()
    assert (incident.state, incident.resolved_manually) == ("RESOLVED", False)


def test_real_ring_that_the_crm_rejects_is_counted(notify, pbx, tenant, crm_world):
    crm_world.break_down("503", path_part="/telephony/call/event")
    for _number in range(3):
        call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
        notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))
    assert {kind for kind, _reason in problems()} <= {"POPUPS"}


# Employees without a CRM user.


def test_unlinked_employee_whose_phone_rings_opens_an_incident_with_their_name(tenant, stranger_rows):
    anna = Employee.objects.get(tenant=tenant, uis_id=ANNA)
    add_many(ring_unlinked, tenant, 3)
    for _number in range(4):
        add_ring(tenant, "UNKNOWN_EMPLOYEE", employee=300777)
    assert problems() == {("NOT_LINKED", "RUNG")}
    assert problems(stranger_rows) == set()
    incident = found_one()
    assert incident.context["employees"] == [{"name": "300777", "calls": 4}, {"name": str(anna), "calls": 3}]
    assert str(anna) in incident_texts.message(incident)
    assert incident_texts.responsible(incident) == Responsible.OPERATOR


@pytest.mark.parametrize(
    "mend",
    [
        {"crm_user_id": 29},
        {"linked_by": Employee.LinkedBy.NOT_NEEDED},
        {"is_dismissed": True},
    ],
)
def test_incident_of_an_employee_ends_with_the_link(tenant, mend):
    anna = Employee.objects.get(tenant=tenant, uis_id=ANNA)
    add_many(ring_unlinked, tenant, 3)
    assert problems() == {("NOT_LINKED", "RUNG")}
    Employee.objects.filter(pk=anna.pk).update(**mend)
    assert problems() == set()


@pytest.mark.parametrize(
    "values",
    [
        {"count": 2},
        {"event": "outgoing"},
        {"ago": 25 * HOUR},
        {"employee": IVAN},
    ],
)
def test_employees_who_are_rung_rarely_or_not_open_none(tenant, values):
    add_many(ring_unlinked, tenant, values.pop("count", 9), **values)
    assert problems() == set()


def test_real_rings_of_an_unlinked_employee_are_counted(notify, pbx, tenant):
    for _number in range(3):
        call = pbx.call(contact=CONTACT, number=NUMBER, rings=[ANNA])
        notify(call.notification("waiting", employee_id=ANNA, at=timezone.now()))
    assert problems() == {("NOT_LINKED", "RUNG")}


def test_number_in_a_name_is_masked(tenant):
    Employee.objects.filter(uis_id=ANNA).update(full_name=f"Anna +{CONTACT}")
    add_many(ring_unlinked, tenant, 3)
    incident = found_one()
    assert CONTACT not in f"{incident.context} {incident_texts.message(incident)}"


# Checks.


def run(tenant, **ok):
    """Store a run of the checks with these results."""
    found = [CheckResult(CHECKS[code], ok=is_ok, params={"names": "Anna"}) for code, is_ok in ok.items()]
    before = CheckRun.objects.filter(tenant=tenant).first() or CheckRun()
    failing = history.update(before.failing, before.results, found, now=timezone.now())
    defaults = {
        "results": [one.to_json() for one in found],
        "failing": failing,
        "failed_count": sum(not is_ok for is_ok in ok.values()),
    }
    CheckRun.objects.update_or_create(tenant=tenant, defaults=defaults)


CHECK_RUNS = {
    "was fine": ([{"MODULE_ACTIVE": True}, {"MODULE_ACTIVE": False}], True),
    "keeps failing": ([{"MODULE_ACTIVE": False}, {"MODULE_ACTIVE": False}], True),
    "never passed, once": ([{"MODULE_ACTIVE": False}], False),
    "passes again": ([{"MODULE_ACTIVE": True}, {"MODULE_ACTIVE": False}, {"MODULE_ACTIVE": True}], False),
    "no longer made": ([{"MODULE_ACTIVE": True}, {"MODULE_ACTIVE": False}, {"UIS_EMPLOYEES": True}], False),
    "unknown while the CRM is away": (
        [{"MODULE_ACTIVE": True}, {"MODULE_ACTIVE": False}, {"CRM_ANSWERS": False}],
        True,
    ),
    "the CRM is away once": ([{"CRM_ANSWERS": True}, {"CRM_ANSWERS": False}], False),
    "the CRM stays away": ([{"CRM_ANSWERS": False}, {"CRM_ANSWERS": False}], True),
    "an event came no more": ([{"EVENT_WAITING": True}, {"EVENT_WAITING": False}], True),
    "an event never came": ([{"EVENT_OUTGOING": False}, {"EVENT_OUTGOING": False}], False),
    "employees have a rule of their own": ([{"USERS_LINKED": True}, {"USERS_LINKED": False}], False),
}


@pytest.mark.parametrize("kind", CHECK_RUNS)
def test_failing_check_opens_an_incident(tenant, kind):
    runs, is_problem = CHECK_RUNS[kind]
    for results in runs:
        run(tenant, **results)
    code = next(iter(runs[0]))
    assert problems() == ({("CHECK_FAILED", code)} if is_problem else set())


@pytest.mark.parametrize("code", ["UIS_EXTENSIONS", "MODULE_FROZEN", "OTHER_TELEPHONY", "CLOCKS", "MODULE_REGISTERED"])
@pytest.mark.parametrize("language", ["ru", "en"])
def test_incident_of_a_check_has_its_sentence_and_its_responsible(tenant, code, language):
    run(tenant, **{code: True})
    run(tenant, **{code: False})
    incident = found_one()
    with translation.override(language):
        sentence = CheckResult(CHECKS[code], ok=False, params={"names": "Anna"}).message
        assert sentence in incident_texts.message(incident)
    assert incident_texts.responsible(incident) == CHECKS[code].responsible


def test_real_check_that_fails_after_it_passed_opens_an_incident_and_resolves_it(tenant, crm, twin):
    runner.run(tenant, now=timezone.now())
    runner.run(twin, now=timezone.now())
    before = problems()
    assert before == set()
    (module,) = crm.modules.values()
    module["active"] = False
    runner.run(tenant, now=timezone.now())
    assert problems(tenant) - before >= {("CHECK_FAILED", "MODULE_ACTIVE")}
    assert problems(twin) == set()
    module["active"] = True
    runner.run(tenant, now=timezone.now())
    assert ("CHECK_FAILED", "MODULE_ACTIVE") not in problems()


def test_rules_need_a_fixed_number_of_queries(tenant, stranger_rows):
    def cost():
        with CaptureQueriesContext(connection) as queries:
            rules.find_problems(rules.load_clients(), now=timezone.now())
        return len(queries)

    def add_all(count):
        add_many(ring_unlinked, tenant, count)
        add_many(add_popup, tenant, count, employee=Employee.objects.get(tenant=tenant, uis_id=PETR), uis=9)
        add_many(add_call, tenant, count)
        for _number in range(count):
            add_ring(tenant, "STALE")
            add_ring(tenant, "UNKNOWN_EMPLOYEE", employee=300777)
        for _run in range(2):  # It fails for long enough.
            run(tenant, MODULE_ACTIVE=False)

    add_all(5)
    few = cost()
    add_all(40)
    assert cost() == few
