"""The alert rules: the problems that they find, and which of them are system-wide."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from connector_project.core import workers
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations.alerts import rules
from connector_project.operations.alerts.rules import RULES
from connector_project.operations.models import Incident
from telephony.models import Call, DailyReconciliation, Notification
from tenants.models import CrmConnection, Tenant, UisConnection
from tests.rules import begin_rules

NOW = timezone.now()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def tenant(db):
    """A tenant without problems, with workers for both queues."""
    for name in workers.QUEUES:
        WorkerHeartbeat.objects.create(name=name, queue=name, last_seen_at=NOW)
    tenant = begin_rules(Tenant.objects.create(name="Daisy", slug="daisy", activated_at=NOW - MINUTE))
    UisConnection.objects.create(tenant=tenant)
    CrmConnection.objects.create(tenant=tenant)
    return tenant


def problems():
    """Return all problems: their kinds and reasons, and the contexts without the times."""
    found = rules.find_problems(rules.load_clients(), now=NOW)
    return {
        (incident.kind, incident.reason): {name: value for name, value in incident.context.items() if name != "since"}
        for incident in found.values()
    }


def call(tenant, *, session_id=1, started_ago=HOUR, **values):
    at = NOW - started_ago
    stamps = {"started_at": at, "ended_at": at, "retry_window_started_at": at}
    return Call.objects.create(tenant=tenant, session_id=session_id, **{"state": "READY"} | stamps | values)


def test_healthy_service_has_no_problems(tenant):
    assert problems() == {}


def test_each_denial_has_its_own_key(tenant):
    tenant.uis.suspend("ip_not_whitelisted", "no", now=NOW)
    tenant.crm.suspend("key", "no", now=NOW)
    assert problems() == {
        ("ACCESS_DENIED", "uis:ip_not_whitelisted"): {"side": "uis", "code": "ip_not_whitelisted"},
        ("ACCESS_DENIED", "crm:key"): {"side": "crm", "code": "key"},
    }


def test_tenant_without_connections_breaks_no_rule(tenant):
    UisConnection.objects.all().delete()
    CrmConnection.objects.all().delete()
    assert problems() == {}


@pytest.mark.parametrize(("due_ago", "found"), [(15 * MINUTE, {("BACKLOG", "OVERDUE"): {}}), (14 * MINUTE, {})])
def test_work_is_overdue_after_fifteen_minutes(tenant, due_ago, found):
    call(tenant, next_attempt_at=NOW - due_ago)
    assert problems() == found


@pytest.mark.parametrize("reason", ["UIS_UNAVAILABLE", "UIS_QUOTA", "CRM_UNAVAILABLE"])
def test_calls_wait_for_thirty_minutes_before_they_are_a_problem(tenant, reason):
    call(tenant, started_ago=29 * MINUTE, reason=reason, next_attempt_at=NOW + HOUR)
    assert problems() == {}
    call(tenant, session_id=2, started_ago=30 * MINUTE, reason=reason, next_attempt_at=NOW + HOUR)
    assert problems() == {("BACKLOG", reason): {"calls": 2}}


@pytest.mark.parametrize(
    ("failed", "totals", "found"),
    [
        ((5, 5), (50, 500), {"failed": 5, "of": 50, "hours": 2}),
        ((4, 4), (5, 500), None),
        ((5, 5), (51, 500), None),
        ((0, 3), (0, 15), {"failed": 3, "of": 15, "hours": 24}),
        ((0, 2), (0, 2), None),
        ((0, 3), (0, 16), None),
    ],
)
def test_failure_rate_needs_a_count_and_a_share(failed, totals, found):
    assert rules.high_failure_rate(failed, totals) == found


def test_failure_rate_counts_calls_that_no_rule_skipped(tenant):
    for number in range(5):
        call(tenant, session_id=number, reason="INTERNAL_ERROR", failed_at=NOW)
        call(tenant, session_id=10 + number, state="UPLOADED")
        call(tenant, session_id=20 + number, state="SKIPPED")
        call(tenant, session_id=30 + number, started_ago=DAY + HOUR, reason="INTERNAL_ERROR", failed_at=NOW)
    assert problems() == {("FAILURE_RATE", "INTERNAL_ERROR"): {"failed": 5, "of": 10, "hours": 2}}


def test_unexplained_calls_of_several_days_are_one_problem(tenant):
    for day, count in ((20, 1), (21, 0), (22, 3)):
        DailyReconciliation.objects.create(
            tenant=tenant, day=date(2026, 11, day), uis_calls=9, unexplained=count, counted_at=NOW
        )
    assert problems() == {("UNEXPLAINED", "NOT_IN_REPORT"): {"calls": 4, "first": "2026-11-20", "last": "2026-11-22"}}


def test_queue_without_a_worker_is_system_wide(tenant):
    WorkerHeartbeat.objects.filter(queue="default").update(last_seen_at=NOW - HOUR)
    (key,) = rules.find_problems(rules.load_clients(), now=NOW)
    assert key == rules.NO_DEFAULT_WORKER == (None, "WORKER", "NO_HEARTBEAT:default")


def test_tenants_that_are_not_live_have_no_problems(tenant):
    for number in range(5):
        call(tenant, session_id=number, reason="INTERNAL_ERROR", failed_at=NOW)
    call(tenant, session_id=10, reason="CRM_UNAVAILABLE", next_attempt_at=NOW - HOUR)
    DailyReconciliation.objects.create(tenant=tenant, day=NOW.date(), uis_calls=9, unexplained=2, counted_at=NOW)
    Notification.objects.create(tenant=tenant, received_at=NOW, digest="1", outcome="DONE")
    assert len(problems()) == 4
    Tenant.objects.update(is_paused=True)
    assert problems() == {}


def denied(*pks):
    key = RULES["ACCESS_DENIED"].incident
    return [key("uis:key", pk, side="uis", code="key", since=NOW - pk * HOUR) for pk in pks]


def system_wide(found, *, live):
    return [(one.key, one.context) for one in rules.group_system_wide(found, live=live)]


def test_problem_of_half_of_the_tenants_is_system_wide():
    assert system_wide(denied(1, 2), live=4) == []
    assert system_wide(denied(1, 2, 3), live=7) == []
    ((key, context),) = system_wide(denied(1, 2, 3), live=6)
    assert key == (None, "ACCESS_DENIED", "uis:key")
    assert (context["clients"], context["live"], context["code"]) == (3, 6, "key")
    assert context["since"] == (NOW - 3 * HOUR).isoformat()


def test_overdue_work_of_three_tenants_is_system_wide():
    overdue = [RULES["BACKLOG"].incident("OVERDUE", pk, since=NOW - pk * HOUR) for pk in (1, 2, 3)]
    ((key, _context),) = system_wide(overdue, live=50)
    assert key == (None, "BACKLOG", "OVERDUE")
    assert system_wide(overdue[:2], live=2) == []


def test_system_wide_counts_are_summed():
    waiting = [RULES["BACKLOG"].incident("CRM_UNAVAILABLE", pk, since=NOW, calls=pk) for pk in (1, 2, 3)]
    ((_key, context),) = system_wide(waiting, live=3)
    assert context["calls"] == 6


def test_problem_of_the_whole_service_replaces_the_group(tenant, monkeypatch):
    whole = RULES["NO_EVENTS"].incident("NO_EVENTS", since=NOW, by="all", usual=9)
    clients = [RULES["NO_EVENTS"].incident("NO_EVENTS", tenant.pk, since=None, by="hours") for _number in range(3)]
    monkeypatch.setattr(RULES["NO_EVENTS"], "find", lambda _clients, now: [whole, *clients])
    found = rules.find_problems([tenant], now=NOW)
    assert found == {whole.key: whole, clients[0].key: clients[-1]}


def test_overdue_work_is_explained_by_dead_workers():
    overdue, no_worker = (1, "BACKLOG", "OVERDUE"), (None, "WORKER", "NO_HEARTBEAT:default")
    assert RULES["BACKLOG"].is_explained(overdue, [overdue, no_worker])
    assert not RULES["BACKLOG"].is_explained((1, "BACKLOG", "CRM_UNAVAILABLE"), [overdue, no_worker])
    assert not RULES["WORKER"].is_explained(no_worker, [overdue, no_worker])


def test_every_kind_has_a_rule():
    assert set(RULES) == set(Incident.Kind)
