"""Circuit breaker: an unavailable vendor gets one probe at a time, and the waiting calls once it is back."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from connector_project.core import circuit_breaker, rate_limit
from connector_project.operations import ticker
from crm import uploads
from crm.models import Command, Popup
from crm.retailcrm.client import MANAGER_RIGHT
from telephony import tasks
from telephony.models import Call, Notification
from telephony.webhooks import process
from tenants.models import CrmConnection, UisConnection
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules

pytestmark = pytest.mark.one_database


@pytest.fixture
def add_missed_calls(add_missed):
    """Create missed calls of different contacts."""

    def create(count=1, *, first=0):
        for number in range(first, first + count):
            add_missed(number)

    return create


def sent(crm_world, part="calls/upload"):
    return [request for request in crm_world.requests if part in request.path]


@pytest.mark.slow
def test_unavailable_crm_gets_one_request_for_many_calls(clock, tenant, crm, crm_world, add_missed_calls, stranger):
    crm_world.break_down("503", host=crm.host)
    add_missed_calls(20)
    assert len(sent(crm_world)) == 1
    assert Call.objects.filter(state="READY", failed_at=None).count() == 20
    assert CrmConnection.objects.get(tenant=tenant).retry_at == timezone.now() + timedelta(seconds=5)
    assert CrmConnection.objects.get(tenant=stranger).consecutive_failures == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batches", "duration", "least", "most"),
    [([1, 5, 2], 10, 5, 8), pytest.param([1, 50, 9], 60, 10, 18, marks=pytest.mark.exhaustive)],
    ids=["minutes", "hour"],
)
def test_each_probe_of_an_unavailable_crm_sends_one_call_after_growing_pauses(
    clock, tenant, crm, crm_world, add_missed_calls, minutes, monkeypatch, batches, duration, least, most
):
    monkeypatch.setattr(uploads, "BATCH", batches[1])
    crm_world.break_down("timeout")
    add_missed_calls(sum(batches))
    minutes(duration)
    # Pauses of 5, 15, 30, 60 and 120 seconds, then of five minutes; the sweep runs every minute.
    assert least <= len(sent(crm_world)) <= most
    assert crm.uploads == []
    assert max(Call.objects.values_list("attempts", flat=True)) <= 3
    crm_world.repair()
    minutes(7)
    assert (len(crm.calls), [len(batch) for batch in crm.uploads]) == (sum(batches), batches)


@pytest.mark.slow
@pytest.mark.parametrize("hours", [8, pytest.param(80, marks=pytest.mark.exhaustive)])
def test_calls_are_uploaded_after_hours_without_the_crm(
    clock, tenant, crm, crm_world, add_missed_calls, minutes, hours
):
    crm_world.break_down("503")
    add_missed_calls(3)
    for _hour in range(hours):
        clock.shift(timedelta(minutes=59))
        minutes(1)
    assert Call.objects.filter(failed_at=None, state="READY").count() == 3
    crm_world.repair()
    minutes(7)
    assert len(crm.calls) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("count", "batch"), [(12, 5), pytest.param(120, 50, marks=pytest.mark.exhaustive)])
def test_new_call_is_in_the_first_batches_after_an_outage(
    clock, tenant, crm, crm_world, add_missed_calls, minutes, monkeypatch, count, batch
):
    monkeypatch.setattr(uploads, "BATCH", batch)
    crm_world.break_down("503")
    add_missed_calls(count)
    minutes(60)
    crm_world.repair()
    add_missed_calls(1, first=500)
    minutes(7)
    assert len(crm.calls) == count + 1
    first = [call["phone"] for batch in crm.uploads[:2] for call in batch]
    assert "+79996000500" in first


@pytest.mark.slow
@pytest.mark.parametrize(("count", "duration"), [(9, 20), pytest.param(20, 45, marks=pytest.mark.exhaustive)])
def test_call_that_causes_a_500_does_not_block_the_others(
    clock, tenant, crm, crm_world, add_missed_calls, minutes, monkeypatch, count, duration
):
    from tests.fakes import retailcrm_methods

    real = retailcrm_methods.answer

    def answer_500(account, request):
        if "79996000007" in str(request.fields):
            return crm_world._error_500
        return real(account, request)

    from tests.fakes.retailcrm_http import as_json

    crm_world._error_500 = as_json(500, {"success": False, "errorMsg": "Internal Server Error"})
    monkeypatch.setattr("tests.fakes.retailcrm.answer", answer_500)
    crm_world.break_down("503", times=1)
    add_missed_calls(count)
    minutes(duration)
    assert len(crm.calls) == count - 1
    assert Call.objects.get(contact="79996000007").reason == "CRM_UNAVAILABLE"


def test_popups_are_dropped_after_three_failed_requests(clock, tenant, pbx, crm, crm_world, notify, minutes):
    crm_world.break_down("timeout")
    for number in range(6):
        call = pbx.call(contact=f"79995{number:06d}", number=NUMBER, rings=[IVAN])
        notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))
    assert len(sent(crm_world, "call/event")) == circuit_breaker.LIVE_FAILURE_THRESHOLD
    reasons = list(Notification.objects.order_by("pk").values_list("reason", flat=True))
    assert reasons == ["CRM_FAILED"] * 3 + ["CRM_AWAY"] * 3
    crm_world.repair()
    clock.shift(timedelta(minutes=1))
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[PETR])
    notify(call.notification("waiting", employee_id=PETR, at=timezone.now()))
    assert Popup.objects.filter(state="OPEN").count() == 1
    assert CrmConnection.objects.get(tenant=tenant).consecutive_failures == 0


def test_popup_is_closed_when_the_crm_is_available_again(clock, tenant, pbx, crm, crm_world, notify, minutes):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))
    CrmConnection.objects.update(consecutive_failures=3, retry_at=timezone.now() + timedelta(seconds=30))
    crm_world.requests.clear()
    notify(call.notification("lost_call"))
    assert sent(crm_world, "call/event") == []
    minutes(3)
    assert [popup.state for popup in Popup.objects.all()] == ["CLOSED"]


@pytest.mark.slow
def test_unavailable_uis_gets_one_request_and_its_calls_are_uploaded_afterwards(
    clock, tenant, pbx, crm, uis_world, notify, minutes
):
    uis_world.break_down("timeout")
    for number in range(8):
        call = pbx.call(contact=f"79995{number:06d}", number=NUMBER, talks=[(IVAN, 20)])
        notify(call.notification("call_end"))
    assert len([request for request in uis_world.requests if request.method == "get.call_legs_report"]) == 1
    assert UisConnection.objects.get(tenant=tenant).consecutive_failures == 1
    uis_world.repair()
    minutes(3)
    assert len(crm.calls) == 8
    assert UisConnection.objects.get(tenant=tenant).consecutive_failures == 0


def test_used_up_points_do_not_count_as_a_failure(clock, tenant, pbx, crm, notify):
    pbx.minute_limit = 0
    notify(pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)]).notification("call_end"))
    assert UisConnection.objects.get(tenant=tenant).consecutive_failures == 0


def test_status_is_set_when_uis_is_available_again(client, clock, tenant, pbx, uis_world, minutes, run_queue):
    UisConnection.objects.update(consecutive_failures=3, retry_at=timezone.now() + timedelta(minutes=2))
    uis_world.requests.clear()
    form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101", "status": "dinner"}
    client.post(f"/hooks/retailcrm/{tenant.crm.hook}/change-user-status/", form)
    run_queue()
    assert (uis_world.requests, Command.objects.get().reason) == ([], "UIS_UNAVAILABLE")
    minutes(4)
    assert Command.objects.get().state == "DONE"


def test_access_denied_resets_the_circuit_breaker(clock, tenant, crm, add_missed_calls):
    CrmConnection.objects.update(consecutive_failures=2, retry_at=timezone.now() - timedelta(seconds=1))
    crm.key = "another"
    add_missed_calls()
    connection = CrmConnection.objects.get(tenant=tenant)
    assert (connection.consecutive_failures, connection.retry_at, connection.denied_code) == (0, None, "key")


def test_only_one_worker_probes(clock, tenant, crm, add_missed_calls):
    add_missed_calls(3)
    Call.objects.update(state="READY", next_attempt_at=timezone.now(), uploaded_at=None)
    CrmConnection.objects.update(consecutive_failures=2, retry_at=timezone.now())
    assert len(Call.objects.claim(tenant.pk, Call.State.READY, limit=50, now=timezone.now())) == 1
    assert Call.objects.claim(tenant.pk, Call.State.READY, limit=50, now=timezone.now()) == []


@pytest.mark.slow
def test_slow_crm_of_one_tenant_occupies_two_workers_at_most(clock, tenant, crm, add_missed_calls):
    add_missed_calls(5)
    Call.objects.update(state="READY", next_attempt_at=timezone.now(), uploaded_at=None)
    claimed = [Call.objects.claim(tenant.pk, Call.State.READY, limit=1, now=timezone.now()) for _worker in range(4)]
    assert [len(batch) for batch in claimed] == [1, 1, 0, 0]


@pytest.fixture
def everything_due(monkeypatch):
    """Each part of the ticker has something to do."""
    monkeypatch.setattr(ticker, "_SIGNS", SimpleNamespace(fetch=lambda **_values: (True,) * 6))


@pytest.mark.usefixtures("everything_due")
def test_ticker_runs_in_one_worker_at_a_time(db, clock, real_pacing, monkeypatch):
    runs = []
    monkeypatch.setattr(tasks, "enqueue_debounced", lambda: runs.append(timezone.now()))
    monkeypatch.setattr(rate_limit, "database_clock", lambda: str(int(time.time() * rate_limit.MICROSECOND)))
    for _worker in range(4):
        ticker.tick()
    assert len(runs) == 1
    clock.shift(timedelta(seconds=2.2))
    ticker.tick()
    assert len(runs) == 2


def test_missed_calls_whose_manager_may_not_be_asked_for_take_no_probe(
    clock, tenant, crm, crm_world, add_missed_calls, minutes
):
    """A right is missing, and the CRM was away: the first request after that is an upload, with the first probe."""
    publish_rules(tenant, missed_owner="RESPONSIBLE")
    tenant.crm.suspend("scope", "no", subject=MANAGER_RIGHT, now=timezone.now())
    retry_at = timezone.now() + timedelta(seconds=90)
    CrmConnection.objects.filter(tenant=tenant).update(consecutive_failures=3, retry_at=retry_at)
    add_missed_calls(3)
    assert Call.objects.filter(state="RESOLVING_OWNER").count() == 3
    minutes(2)
    assert (len(crm.calls), sent(crm_world, "telephony/manager")) == (3, [])


def test_legs_are_requested_after_the_clock_was_set_back(clock, tenant, pbx, crm, notify):
    """A slot so far ahead was taken by a machine whose clock was wrong."""
    UisConnection.objects.filter(tenant=tenant).update(legs_slot_at=timezone.now() + timedelta(days=1))
    started_at = timezone.now() - timedelta(seconds=40)
    notify(pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=started_at).notification("call_end"))
    assert len(crm.calls) == 1


@pytest.mark.usefixtures("everything_due")
def test_floods_that_cannot_be_limited_stop_no_debounced_call(tenant, monkeypatch):
    ran = []
    monkeypatch.setattr(tasks, "limit_notifications", lambda: [].pop())
    monkeypatch.setattr(tasks, "enqueue_debounced", lambda: ran.append("debounced"))
    with pytest.raises(IndexError):
        ticker.tick()
    assert ran == ["debounced"]


def test_part_of_the_sweep_that_breaks_stops_no_other_part(clock, tenant, crm, add_missed_calls, monkeypatch):
    add_missed_calls(1)
    Call.objects.update(state="READY", next_attempt_at=timezone.now(), uploaded_at=None)
    monkeypatch.setattr(process, "enqueue_due", lambda **_now: [].pop())
    with pytest.raises(IndexError):
        tasks.enqueue_due_work()
    task_queue.drain()
    assert Call.objects.get().state == "UPLOADED"
