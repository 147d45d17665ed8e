"""An answered call: its legs and recording are fetched from UIS, then it is uploaded to the CRM."""

from datetime import timedelta

import pytest
from django.utils import timezone

from telephony.models import Call, CallLogEntry
from tenants.models import Employee, UisConnection
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.flows.upload_hooks import while_uploading
from tests.rules import publish_rules, publish_rules_for_all


def add_ended_call(pbx, **values):
    """Create a call that has just ended."""
    duration = 5 + sum(seconds for _person, seconds in values.get("talks", ()))
    started_at = values.pop("started_at", timezone.now() - timedelta(seconds=duration + 3))
    return pbx.call(contact=CONTACT, number=NUMBER, started_at=started_at, **values)


@pytest.fixture
def answered(pbx):
    return add_ended_call(pbx, rings=[IVAN, PETR], talks=[(PETR, 65)])


def requests_of(uis_world, method):
    return [request for request in uis_world.requests if request.method == method]


def test_answered_call_is_uploaded_with_all_fields(notify, uis_world, crm, answered, stranger):
    notify(answered.notification("call_end"))
    sent = {name: value for name, value in crm.calls[0].items() if not name.startswith("_")}
    local = answered.started_at.astimezone(Call.objects.get().tenant.crm.zone)
    record = answered.records[-1]
    assert sent == {
        "externalId": f"uis-{answered.session_id}",
        "date": f"{local:%Y-%m-%d %H:%M:%S}",
        "type": "in",
        "phone": f"+{CONTACT}",
        "result": "answered",
        "duration": 65,
        "durationWaiting": 5,
        "code": "102",
        "userId": 28,
        "externalPhone": f"+{NUMBER}",
        "recordUrl": f"https://app.uiscom.ru/system/media/talk/{answered.session_id}/{record}/",
    }
    assert len(requests_of(uis_world, "get.call_legs_report")) == 1
    call = Call.objects.get()
    assert (call.state, call.employee.uis_id, call.result) == (Call.State.UPLOADED, PETR, "ANSWERED")
    assert list(CallLogEntry.objects.values_list("step", flat=True)) == ["RECEIVED", "FETCH_LEGS", "UPLOAD"]


@pytest.mark.slow
def test_legs_of_all_due_calls_are_fetched_in_one_request(notify, uis_world, pbx, crm, later, tenant):
    calls = [add_ended_call(pbx, talks=[(IVAN, 10 + n)]) for n in range(6)]
    notify(*[call.notification("call_end") for call in calls], works=False)
    uis_world.requests.clear()
    later(timedelta(minutes=1))
    later(timedelta(minutes=1))
    assert sorted(call["externalId"] for call in crm.calls) == sorted(f"uis-{call.session_id}" for call in calls)
    assert len([request for request in requests_of(uis_world, "get.call_legs_report") if request.mnemonic is None]) == 1
    assert len(crm.uploads) == 1


def test_account_without_the_in_operator_gets_a_filter_tree(notify, uis_world, pbx, crm, answered, tenant):
    pbx.refuses_in_operator = True
    notify(answered.notification("call_end"))
    assert len(crm.calls) == 1
    assert UisConnection.objects.get(tenant=tenant).supports_in_operator is False


def test_talk_without_legs_yet_costs_one_point_for_each_attempt(notify, uis_world, crm, later, answered, tenant):
    """The report's row cannot decide a talk before the legs are given up."""
    answered.visible_at = timezone.now() + timedelta(seconds=30)
    notify(answered.notification("call_end"))
    later(timedelta(minutes=1))
    assert len(crm.calls) == 1
    assert requests_of(uis_world, "get.calls_report") == []


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [1, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_busy_hour_costs_points_per_minute_and_not_per_call(notify, uis_world, pbx, crm, later, tenant, minutes):
    uis_world.requests.clear()
    for _minute in range(minutes):
        for _call in range(15):
            notify(add_ended_call(pbx, talks=[(IVAN, 10)]).notification("call_end"))
        later(timedelta(minutes=1))
    later(timedelta(minutes=1))
    assert len(crm.calls) == 15 * minutes
    # 15 calls a minute are 900 an hour: at most five requests at first, then one every twenty seconds.
    assert len(requests_of(uis_world, "get.call_legs_report")) <= 5 + minutes * 3


@pytest.mark.parametrize(
    ("rule", "owner", "extension"),
    [
        ("LAST_TALKER", PETR, "102"),
        ("FIRST_TALKER", IVAN, "101"),
        ("LONGEST_TALKER", PETR, "102"),
    ],
)
def test_transferred_call_has_the_owner_by_the_rule(notify, pbx, crm, tenant, rule, owner, extension):
    publish_rules_for_all(owner=rule)
    notify(add_ended_call(pbx, rings=[IVAN], talks=[(IVAN, 52), (PETR, 202)]).notification("call_end"))
    assert (crm.calls[0]["code"], crm.calls[0]["duration"]) == (extension, 254)
    assert Call.objects.get().employee.uis_id == owner


def test_upload_waits_for_the_recording_event(notify, pbx, crm, later, answered, tenant):
    answered.records_at = timezone.now() + timedelta(minutes=3)
    notify(answered.notification("call_end"))
    call = Call.objects.get()
    assert (crm.calls, call.state, call.reason) == ([], Call.State.FETCHING_LEGS, "RECORDING_NOT_READY")
    notify(answered.notification("recorded"))
    assert crm.calls[0]["recordUrl"] == answered.link(answered.records[-1])


def test_upload_finds_a_recording_without_an_event(notify, crm, later, answered, tenant):
    answered.records_at = timezone.now() + timedelta(minutes=3)
    notify(answered.notification("call_end"))
    for _minute in range(9):
        later(timedelta(minutes=1))
    assert crm.calls[0]["recordUrl"] == answered.link(answered.records[-1])


def test_call_is_uploaded_with_our_link_after_the_wait(notify, crm, later, answered, tenant):
    answered.records_at = timezone.now() + timedelta(hours=5)
    notify(answered.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    assert len(crm.calls) == 1
    assert "/records/" in crm.calls[0]["recordUrl"]


@pytest.mark.slow
def test_unavailable_uis_delays_a_call_only_until_the_recording_deadline(
    notify, uis_world, crm, later, answered, tenant
):
    answered.records_at = timezone.now() + timedelta(hours=5)
    notify(answered.notification("call_end"))
    uis_world.break_down("503")
    for _minute in range(30):
        later(timedelta(minutes=1))
    assert len(crm.calls) == 1


def test_recording_event_before_the_end_is_used(notify, uis_world, crm, answered, tenant):
    answered.records_at = timezone.now() + timedelta(hours=5)
    notify(answered.notification("recorded"), answered.notification("call_end"))
    assert crm.calls[0]["recordUrl"] == answered.link(answered.records[-1])


def test_recording_event_while_the_call_waits_for_the_crm_is_uploaded(notify, crm_world, crm, later, answered, tenant):
    publish_rules_for_all(recording_wait_minutes=0)
    answered.records_at = timezone.now() + timedelta(minutes=3)
    crm_world.break_down("503")
    notify(answered.notification("call_end"))
    assert Call.objects.get().state == Call.State.READY
    notify(answered.notification("recorded"))
    crm_world.repair()
    later(timedelta(minutes=20))
    assert [record["recordUrl"] for record in crm.calls] == [answered.link(answered.records[-1])]


def test_recording_event_during_an_upload_is_sent_with_the_retry(
    notify, crm_world, crm, later, answered, tenant, monkeypatch
):
    publish_rules_for_all(recording_wait_minutes=0)
    answered.records_at = timezone.now() + timedelta(minutes=3)
    crm_world.break_down("503", times=1)
    while_uploading(monkeypatch, lambda: notify(answered.notification("recorded")))
    notify(answered.notification("call_end"))
    later(timedelta(minutes=20))
    assert [record["recordUrl"] for record in crm.calls] == [answered.link(answered.records[-1])]


def test_call_without_recording_is_not_delayed(notify, pbx, crm, tenant):
    Employee.objects.filter(uis_id=IVAN).update(recording_mode="off")
    notify(add_ended_call(pbx, talks=[(IVAN, 20)], recorded=False).notification("call_end"))
    assert len(crm.calls) == 1


def test_link_is_not_sent_when_the_rule_is_off(notify, crm, answered, tenant):
    publish_rules_for_all(send_recording=False)
    notify(answered.notification("call_end"))
    assert "recordUrl" not in crm.calls[0]


@pytest.mark.slow
def test_legs_not_ready_are_requested_again(notify, crm, later, answered, tenant):
    answered.visible_at = timezone.now() + timedelta(minutes=4)
    notify(answered.notification("call_end"))
    assert Call.objects.get().reason == "LEGS_NOT_READY"
    for _minute in range(12):
        later(timedelta(minutes=1))
    assert (len(crm.calls), Call.objects.get().state) == (1, Call.State.UPLOADED)


def test_call_unknown_to_uis_fails_after_three_days(notify, client, hook, crm, later, answered, tenant):
    notify(dict(answered.notification("call_end"), call_session_id=77))
    later(timedelta(days=1))
    for _day in range(6):
        later(timedelta(days=1))
    call = Call.objects.get()
    assert (crm.calls, call.reason, call.failed_at is not None) == ([], "UNKNOWN_TO_UIS", True)


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("subscriber_busy", "busy"),
        ("subscriber_not_responsible", "no answer"),
        ("no_money", "not allowed"),
        ("subscriber_number_problems", "failed"),
        ("a_word_of_2030", "unknown"),
    ],
)
def test_outgoing_call_without_talk_has_the_result_of_uis(notify, pbx, crm, tenant, reason, result):
    call = add_ended_call(pbx, direction="out", rings=[IVAN], finish_reason=reason)
    notify(call.notification("call_end"))
    assert (crm.calls[0]["type"], crm.calls[0]["result"]) == ("out", result)


def test_owner_of_an_outgoing_call_is_the_employee_who_dialled(notify, pbx, crm, tenant):
    notify(add_ended_call(pbx, direction="out", talks=[(IVAN, 40)]).notification("call_end"))
    assert (crm.calls[0]["code"], crm.calls[0]["result"], crm.calls[0]["duration"]) == ("101", "answered", 40)


def test_answered_event_after_a_missed_one_wins(notify, crm, answered, tenant):
    lost = dict(
        answered.notification("call_end"),
        event="lost_call",
        is_lost=True,
        talk_time_duration=0,
        total_time_duration=None,
    )
    notify(lost, answered.notification("call_end"), works=False)
    from tests import task_queue

    task_queue.drain()
    assert [call["result"] for call in crm.calls] == ["answered"]


@pytest.mark.parametrize("body", ["double_quoted", "unresolved"])
def test_broken_template_with_only_the_session_is_resolved_by_uis(notify, crm, answered, later, tenant, body):
    session = answered.session_id
    bodies = {
        "double_quoted": f'{{"event": "call_end", "employee_id": ""{IVAN}"", "call_session_id": "{session}"}}',
        "unresolved": f'{{"event": "call_end", "is_lost": {{{{is_lost}}}}, "call_session_id": {session}}}',
    }
    notify(bodies[body])
    assert [call["result"] for call in crm.calls] == ["answered"]


def test_nested_body_is_parsed_like_a_flat_one(notify, crm, answered, tenant):
    notify(answered.notification("call_end", nested=True))
    assert crm.calls[0]["result"] == "answered"


@pytest.mark.parametrize("kind", ["503", "500", "html", "timeout", "refused", "internal_error", "cut"])
def test_outage_of_uis_delays_the_call_with_the_reason(notify, uis_world, crm, later, answered, tenant, kind):
    uis_world.break_down(kind)
    notify(answered.notification("call_end"))
    assert (Call.objects.get().reason, crm.calls) == ("UIS_UNAVAILABLE", [])
    uis_world.repair()
    later(timedelta(minutes=2))
    assert len(crm.calls) == 1


def test_exhausted_points_delay_the_call(notify, uis_world, pbx, crm, later, answered, tenant):
    pbx.minute_limit = 0
    notify(answered.notification("call_end"))
    call = Call.objects.get()
    assert call.reason == "UIS_QUOTA"
    pbx.minute_limit = 200
    later(timedelta(minutes=3))
    assert len(crm.calls) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token_state": "expired"}, "access_token_expired"),
        ({"token_state": "blocked"}, "access_token_blocked"),
        ({"is_whitelisted": False}, "ip_not_whitelisted"),
        ({"is_active": False}, "account_inactive"),
    ],
)
def test_denied_access_suspends_the_connection_until_it_is_restored(
    notify, pbx, crm, later, answered, tenant, change, code
):
    from telephony import tasks
    from tests import task_queue

    before = {name: getattr(pbx, name) for name in change}
    for name, value in change.items():
        setattr(pbx, name, value)
    notify(answered.notification("call_end"))
    tenant.uis.refresh_from_db()
    assert (tenant.uis.denied_code, Call.objects.get().reason) == (code, "UIS_DENIED")
    later(timedelta(hours=2))
    assert Call.objects.get().attempts == 0  # nobody looked at the call itself
    for name, value in before.items():
        setattr(pbx, name, value)
    tasks.probe_all()
    task_queue.drain()
    later(timedelta(minutes=1))
    assert len(crm.calls) == 1


def test_call_over_midnight_and_another_zone_keeps_its_true_time(notify, pbx, crm, tenant):
    tenant.crm.time_zone = crm.timezone = "Asia/Yekaterinburg"
    tenant.crm.save()
    started_at = timezone.now().replace(hour=20, minute=59, second=30, microsecond=0) - timedelta(days=1)
    notify(add_ended_call(pbx, talks=[(IVAN, 90)], started_at=started_at).notification("call_end"))
    local = started_at.astimezone(tenant.crm.zone)
    assert crm.calls[0]["date"] == f"{local:%Y-%m-%d %H:%M:%S}"


@pytest.mark.slow
def test_session_row_replaces_legs_that_never_come(notify, crm, later, answered, tenant, monkeypatch):
    from telephony.uis.client import UisClient

    monkeypatch.setattr(UisClient, "call_legs", lambda *_args, **_kwargs: [])
    notify(answered.notification("call_end"))
    for _minute in range(20):
        later(timedelta(minutes=1))
    assert [(call["result"], call["_manager"]) for call in crm.calls] == [("answered", 28)]


def test_talk_without_an_employee_id_is_owned_by_the_employee_with_that_number(notify, pbx, crm, answered, tenant):
    for leg in answered.legs:
        if leg.is_operator:
            leg.employee_id = None
    Employee.objects.filter(uis_id=PETR).update(numbers=[answered.operator_legs[-1].called])
    notify(dict(answered.notification("call_end"), employee_id=None))
    assert crm.calls[0]["_manager"] == 28


def test_unexpected_reply_of_uis_fails_the_call(notify, crm, answered, tenant, monkeypatch):
    from telephony.uis import schemas

    monkeypatch.setattr(schemas, "_row", lambda _kind, _raw, _locale: None)
    notify(answered.notification("call_end"))
    assert (Call.objects.get().reason, crm.calls) == ("UNEXPECTED_REPLY", [])


def test_call_skipped_by_a_rule_after_its_legs_are_known(notify, pbx, crm, answered, tenant):
    publish_rules_for_all(employee_filter="EXCEPT")
    publish_rules(tenant, employees=Employee.objects.filter(uis_id=PETR))
    notify(answered.notification("call_end"))
    call = Call.objects.get()
    assert (call.state, call.skip_reason, crm.calls) == (Call.State.SKIPPED, "EMPLOYEE", [])


@pytest.mark.parametrize(
    ("change", "direction"), [({"upload_answered": False}, "in"), ({"upload_outgoing": False}, "out")]
)
def test_disabled_kind_is_skipped_with_the_reason(notify, pbx, crm, tenant, change, direction):
    publish_rules_for_all(**change)
    notify(add_ended_call(pbx, direction=direction, talks=[(IVAN, 20)]).notification("call_end"))
    assert Call.objects.get().skip_reason == ("ANSWERED_OFF" if direction == "in" else "OUTGOING_OFF")
    assert crm.calls == []


def test_call_that_causes_an_exception_fails_alone(notify, pbx, crm, later, uis_world, tenant, monkeypatch):
    from telephony.calls import recording_selection

    uis_world.break_down("503", times=1)
    good, bad = add_ended_call(pbx, talks=[(IVAN, 20)]), add_ended_call(pbx, talks=[(PETR, 20)])
    notify(good.notification("call_end"), bad.notification("call_end"), works=False)
    real = recording_selection.url

    def fail(call, *args, **kwargs):
        return 1 / 0 if call.session_id == bad.session_id else real(call, *args, **kwargs)

    monkeypatch.setattr(recording_selection, "url", fail)
    for _minute in range(3):
        later(timedelta(minutes=1))
    assert [call["externalId"] for call in crm.calls] == [f"uis-{good.session_id}"]
    assert Call.objects.get(session_id=bad.session_id).reason == "INTERNAL_ERROR"


def test_unknown_rejection_fails_the_call_with_the_reason(notify, pbx, crm, answered, tenant, monkeypatch):
    from connector_project.core.http_client import RemoteRejected
    from telephony.uis.client import UisClient

    def reject(*_args, **_kwargs):
        raise RemoteRejected("UIS", "no", code="odd")

    monkeypatch.setattr(UisClient, "call_legs", reject)
    notify(answered.notification("call_end"))
    call = Call.objects.get()
    assert (call.reason, call.failed_at is not None) == ("UIS_REFUSED", True)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 40])
def test_pipeline_step_has_a_fixed_query_count(
    notify, pbx, crm, tenant, uis_world, django_assert_max_num_queries, count
):
    """Fetching legs and uploading read and write batches, not single calls."""
    from telephony import tasks
    from tests import task_queue

    publish_rules_for_all(number_filter="EXCEPT", employee_filter="EXCEPT")
    bodies = [add_ended_call(pbx, talks=[(IVAN, 10 + n)]).notification("call_end") for n in range(count)]
    notify(*bodies, works=False)
    task_queue.process_notifications()
    task_queue.lose()
    with django_assert_max_num_queries(32):
        tasks.fetch_call_legs(tenant.pk)
    with django_assert_max_num_queries(23):
        task_queue.drain(pick=lambda task: task.endswith("upload_calls"))
    assert len(crm.calls) == count


@pytest.mark.parametrize("uploads_internal", [False, True])
def test_answered_call_of_a_hidden_number_is_not_internal(notify, pbx, crm, tenant, uploads_internal):
    """The contact's leg has only our number, which is not the caller's."""
    publish_rules_for_all(upload_internal=uploads_internal)
    call = pbx.call(contact="anonymous", number=NUMBER, rings=[IVAN], talks=[(IVAN, 30)])
    notify(call.notification("call_end"))
    assert (Call.objects.get().skip_reason, crm.calls) == ("HIDDEN_NUMBER", [])
