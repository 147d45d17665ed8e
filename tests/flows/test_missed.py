"""A missed call, from UIS's notification to the CRM's history."""

from datetime import timedelta

import pytest

from crm import tasks
from telephony.models import Call, CallLogEntry
from tenants.models import Tenant
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules_for_all


@pytest.fixture
def missed(pbx):
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])


def test_missed_call_reaches_the_crm_from_the_notification_alone(notify, uis_world, crm, missed, stranger):
    uis_world.requests.clear()
    notify(missed.notification("call_end"))
    sent = crm.calls[0]
    assert sent["externalId"] == f"uis-{missed.session_id}"
    assert (sent["type"], sent["result"], sent["phone"]) == ("in", "no answer", f"+{CONTACT}")
    assert (sent["externalPhone"], sent["duration"], sent["durationWaiting"]) == (f"+{NUMBER}", 0, missed.wait)
    assert Call.objects.get().state == Call.State.UPLOADED
    assert uis_world.requests == []


@pytest.mark.parametrize("order", [["call_end", "lost_call"], ["lost_call", "call_end"], ["lost_call", "lost_call"]])
def test_call_is_uploaded_once_in_any_order_of_end_events(notify, crm, missed, tenant, order):
    notify(*[missed.notification(event) for event in order])
    assert len(crm.calls) == 1
    assert len(crm.uploads) == 1


def test_lost_call_by_get_with_quoted_values(client, hook, run_queue, crm, missed, tenant):
    answer = client.get(f"{hook}?{missed.as_query('lost_call')}")
    run_queue()
    assert answer.status_code == 200
    assert crm.calls[0]["phone"] == f"+{CONTACT}"


@pytest.mark.parametrize("value", ["{{is_lost}}", "is_lost", None])
def test_end_event_without_is_lost_is_resolved_by_talk_time(notify, crm, missed, tenant, value):
    notify(dict(missed.notification("call_end"), is_lost=value))
    assert crm.calls[0]["result"] == "no answer"


def test_date_is_in_the_accounts_local_time(notify, crm, missed, tenant):
    tenant.crm.time_zone = crm.timezone = "Asia/Vladivostok"
    tenant.crm.save()
    notify(missed.notification("call_end"))
    local = missed.started_at.astimezone(tenant.crm.zone)
    assert crm.calls[0]["date"] == f"{local:%Y-%m-%d %H:%M:%S}"


def test_owner_is_the_employee_rung_last(notify, crm, missed, tenant):
    first = missed.notification("waiting", employee_id=PETR)
    last = missed.notification("waiting", employee_id=IVAN, at=missed.started_at + timedelta(seconds=3))
    notify(last, first, missed.notification("lost_call"))
    assert (crm.calls[0]["code"], crm.calls[0]["_manager"]) == ("101", 27)


def test_owner_from_a_second_notification_is_used(notify, crm, missed, tenant):
    notify(missed.notification("call_end"), missed.notification("lost_call"), works=False)
    task_queue.drain()
    assert crm.calls[0]["_manager"] == 28


def test_owner_can_be_empty(notify, crm, missed, tenant):
    publish_rules_for_all(missed_owner="NOBODY")
    notify(missed.notification("lost_call"))
    assert crm.calls[0]["_manager"] is None
    assert "code" not in crm.calls[0]


def test_owner_can_be_the_customers_manager(notify, crm, missed, tenant):
    publish_rules_for_all(missed_owner="RESPONSIBLE")
    crm.responsible[CONTACT] = 28
    notify(missed.notification("lost_call"))
    assert crm.calls[0]["_manager"] == 28


def test_customer_without_a_manager_falls_back_to_the_rung_employee(notify, crm, missed, tenant):
    publish_rules_for_all(missed_owner="RESPONSIBLE")
    notify(missed.notification("waiting", employee_id=IVAN), missed.notification("lost_call"))
    assert crm.calls[0]["_manager"] == 27


def test_manager_is_requested_again_after_a_rejected_key(notify, crm, missed, tenant, later):
    publish_rules_for_all(missed_owner="RESPONSIBLE")
    crm.responsible[CONTACT], key = 27, crm.key  # not the last employee rung
    crm.key = "another"
    notify(missed.notification("lost_call"))
    assert (crm.calls, Call.objects.get().reason) == ([], "CRM_DENIED")
    crm.key = key
    tasks.probe_all()
    task_queue.drain()
    later(timedelta(minutes=1))
    assert [call["_manager"] for call in crm.calls] == [27]


def test_key_without_the_manager_scope_still_uploads(notify, crm, missed, tenant):
    publish_rules_for_all(missed_owner="RESPONSIBLE")
    crm.scopes.discard("telephony_read")
    notify(missed.notification("lost_call"))
    assert len(crm.calls) == 1


@pytest.mark.parametrize("kind", ["503", "429", "500", "html", "timeout", "refused"])
def test_outage_of_the_crm_postpones_the_call_with_a_reason(notify, later, crm, crm_world, missed, tenant, kind):
    crm_world.break_down(kind)
    notify(missed.notification("call_end"))
    call = Call.objects.get()
    assert (call.state, call.reason) == (Call.State.READY, "CRM_UNAVAILABLE")
    assert call.next_attempt_at > call.retry_window_started_at
    crm_world.repair()
    later(timedelta(minutes=2))
    assert len(crm.calls) == 1
    assert CallLogEntry.objects.filter(step="UPLOAD").count() == 2


def test_lost_answer_creates_no_second_call(notify, later, crm, crm_world, missed, tenant):
    crm_world.break_down("cut", times=1)
    notify(missed.notification("call_end"))
    later(timedelta(minutes=2))
    assert len(crm.calls) == 1
    assert Call.objects.get().state == Call.State.UPLOADED


def test_revoked_key_suspends_the_connection_and_a_new_one_restores_it(notify, later, crm, missed, tenant):
    crm.key, old = "new", crm.key
    notify(missed.notification("call_end"))
    tenant.crm.refresh_from_db()
    assert tenant.crm.denied_code == "key"
    assert Call.objects.get().reason == "CRM_DENIED"
    later(timedelta(hours=1))
    assert Call.objects.get().attempts == 0  # nobody looked at the call itself
    crm.key = old
    tenant.crm.restore()
    later(timedelta(minutes=1))
    assert len(crm.calls) == 1


@pytest.mark.slow
def test_one_rejected_call_in_a_batch_fails_alone(notify, pbx, crm, crm_world, later, tenant):
    crm_world.break_down("503")
    for contact in ("79990000101", "79990000102", "79990000103", "79990000104", "79990000105"):
        notify(pbx.call(contact=contact, number=NUMBER).notification("call_end"))
    bad = Call.objects.get(contact="79990000103")
    Call.objects.filter(pk=bad.pk).update(direction="???")
    crm_world.repair()
    later(timedelta(minutes=2))
    assert len(crm.calls) == 4
    bad.refresh_from_db()
    assert bad.reason == "CRM_REFUSED"
    assert bad.failed_at is not None


def test_call_is_uploaded_after_the_queue_was_lost(notify, later, crm, missed, tenant):
    notify(missed.notification("call_end"), works=False)
    assert task_queue.lose() > 0
    later(timedelta(minutes=2))
    assert len(crm.calls) == 1


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"upload_missed": False}, "MISSED_OFF"),
        ({"number_filter": "ONLY"}, "NUMBER"),
        ({"contact_filter": "EXCEPT", "contacts": "+79990000001"}, "CONTACT"),
    ],
)
def test_call_skipped_by_a_rule_has_the_reason(notify, crm, missed, tenant, change, rule):
    publish_rules_for_all(**change)
    notify(missed.notification("call_end"))
    call = Call.objects.get()
    assert (call.state, call.skip_reason, crm.calls) == (Call.State.SKIPPED, rule, [])


def test_hidden_number_is_skipped_with_the_reason(notify, crm, missed, tenant):
    notify(dict(missed.notification("call_end"), contact_phone_number="anonymous"))
    assert (Call.objects.get().skip_reason, crm.calls) == ("HIDDEN_NUMBER", [])


def test_answered_internal_call_costs_no_points(notify, pbx, crm, uis_world, tenant):
    call = pbx.call(contact="102", number=NUMBER, talks=[(IVAN, 10)], is_internal=True)
    uis_world.requests.clear()
    notify(call.notification("call_end"))
    assert (Call.objects.get().skip_reason, uis_world.requests) == ("INTERNAL_OFF", [])


def test_internal_call_is_skipped_unless_enabled(notify, pbx, crm, tenant):
    call = pbx.call(contact="102", number=NUMBER, is_internal=True)
    notify(call.notification("call_end"))
    assert (Call.objects.get().skip_reason, crm.calls) == ("INTERNAL_OFF", [])


def test_pause_keeps_calls_and_resume_uploads_them(notify, later, crm, missed, tenant):
    type(tenant).objects.update(is_paused=True)
    notify(missed.notification("call_end"))
    later(timedelta(hours=5))
    assert (crm.calls, Call.objects.get().state) == ([], Call.State.READY)
    type(tenant).objects.update(is_paused=False)
    later(timedelta(minutes=1))
    assert len(crm.calls) == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 30])
def test_uploaded_batch_is_saved_in_one_update(
    notify, run_queue, pbx, crm, tenant, django_assert_max_num_queries, count
):
    """A CASE WHEN with a value for each row would cost more CPU time than the rest of the upload."""
    played = [pbx.call(contact=f"79995{number:06d}", number=NUMBER, rings=[PETR]) for number in range(count)]
    Tenant.objects.update(is_paused=True)
    notify(*[call.notification("call_end") for call in played])
    Tenant.objects.update(is_paused=False)
    with django_assert_max_num_queries(25) as queries:
        tasks.upload_calls(tenant.pk)
    assert len(crm.calls) == count
    assert [query["sql"] for query in queries.captured_queries if 'WHEN ("telephony_call"."id"' in query["sql"]] == []
