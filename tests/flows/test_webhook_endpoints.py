"""The webhook endpoints: unknown addresses, unreadable bodies, repeats, oversized requests."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connector_project.core import task_queue as core_task_queue
from telephony.models import Call, Notification
from telephony.uis import webhooks
from tenants.models import UisConnection
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER


def outcomes():
    task_queue.drain()
    return list(Notification.objects.order_by("pk").values_list("outcome", "reason"))


def test_unknown_hook_is_not_found_and_stores_nothing(client, tenant):
    for url in ("/hooks/uis/unknown/", "/hooks/uis/unknown/call_end/", f"/hooks/uis/{tenant.slug}/", "/hooks/uis/"):
        assert client.post(url, "{}", content_type="application/json").status_code == 404
    assert Notification.objects.count() == 0


def test_unknown_hook_has_the_response_of_any_unknown_url(client, tenant):
    bodies = {client.get(url).content for url in ("/hooks/uis/unknown/", "/nothing/here/")}
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "EMPTY"),
        ("hello", "NOT_JSON"),
        ('{"event": "call_end", ', "NOT_JSON"),
        ("[1, 2]", "NOT_JSON"),
        ('{"call_session_id": 5}', "NO_EVENT"),
        ('{"event": "unknown_event", "call_session_id": 5}', "UNKNOWN_EVENT"),
        ('{"event": "call_end"}', "NO_SESSION"),
        ('{"event": "call_end", "call_session_id": "{{call_session_id}}"}', "NO_SESSION"),
        ('{"event": "call_end", "call_session_id": {{call_session_id}}}', "NO_SESSION"),
        ('{"event": "call_end", "call_session_id": "call_session_id"}', "NO_SESSION"),
    ],
)
def test_unreadable_body_is_stored_with_the_reason_and_answered_200(client, hook, run_queue, body, reason):
    answer = client.post(hook, body, content_type="text/plain", CONTENT_LENGTH=str(len(body)))
    run_queue()
    assert (answer.status_code, answer.content) == (200, b"")
    assert outcomes() == [("UNREADABLE", reason)]
    assert Notification.objects.get().body == body
    assert Call.objects.count() == 0


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream", "", "nonsense"])
def test_json_is_parsed_with_any_content_type(client, hook, run_queue, pbx, crm, content_type):
    import json

    body = json.dumps(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    assert client.post(hook, body, content_type=content_type).status_code == 200
    run_queue()
    assert len(crm.calls) == 1


def test_form_body_is_parsed(client, hook, run_queue, pbx, crm):
    query = pbx.call(contact=CONTACT, number=NUMBER).as_query("lost_call")
    client.post(hook, query, content_type="application/x-www-form-urlencoded")
    run_queue()
    assert len(crm.calls) == 1


def test_event_in_the_path_is_parsed(client, hook, run_queue, pbx, crm):
    body = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")
    del body["event"]
    client.post(f"{hook}lost_call/", body, content_type="application/json")
    run_queue()
    assert len(crm.calls) == 1


def test_repeat_is_stored_once_and_counted(client, hook, run_queue, pbx, crm):
    body = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")
    for _delivery in range(5):
        assert client.post(hook, body, content_type="application/json").status_code == 200
    run_queue()
    assert (Notification.objects.count(), Notification.objects.get().repeats, len(crm.calls)) == (1, 4, 1)


def test_oversized_body_is_rejected(client, hook):
    assert client.post(hook, "x" * (64 * 1024 + 1), content_type="text/plain").status_code == 413
    assert client.post(hook, "x" * (64 * 1024), content_type="text/plain").status_code == 200
    assert Notification.objects.count() == 1
    assert UisConnection.objects.get().oversized_webhooks == 1


@pytest.mark.parametrize("event", ["x" * 300, "%F0%9F%93%9E"])
def test_unknown_event_in_the_path_is_unreadable(client, hook, event):
    assert client.post(f"{hook}{event}/", '{"call_session_id": 5}', content_type="application/json").status_code == 200
    assert outcomes() == [("UNREADABLE", "UNKNOWN_EVENT")]


def test_body_that_is_not_text_is_stored_as_unreadable(client, hook):
    assert client.post(hook, b"\xff\xfe{\x00", content_type="application/json").status_code == 200
    assert outcomes() == [("UNREADABLE", "NOT_JSON")]


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_rejected(client, hook, method):
    assert getattr(client, method)(hook).status_code == 405


@pytest.mark.slow
def test_same_session_of_two_tenants_makes_two_calls(client, run_queue, pbx, crm, crm_world, uis_world, tenant, hook):
    from connector_project.operations.onboarding import steps
    from tenants import onboarding

    uis_world.add_account("b").add_number("74950000009")
    other_crm = crm_world.add_account("b.retailcrm.ru", key="b")
    other = onboarding.create_tenant(
        onboarding.NewTenant(name="B", slug="b", uis_token="b", crm_url="https://b.retailcrm.ru", crm_key="b"),
        now=timezone.now(),
    )
    steps.activate(other, now=timezone.now())
    body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    for url in (hook, f"/hooks/uis/{other.uis.hook}/"):
        client.post(url, body, content_type="application/json")
    run_queue()
    assert (len(crm.calls), len(other_crm.calls), Call.objects.count()) == (1, 1, 2)


def test_notification_before_activation_is_processed_after_it(client, run_queue, pbx, crm, later, db):
    from connector_project.operations.onboarding import steps
    from tenants import onboarding

    new = onboarding.NewTenant(
        name="Новый", slug="new", uis_token=pbx.token, crm_url=f"https://{crm.host}", crm_key=crm.key
    )
    tenant = onboarding.create_tenant(new, now=timezone.now())
    body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    client.post(f"/hooks/uis/{tenant.uis.hook}/", body, content_type="application/json")
    run_queue()
    later(timedelta(minutes=5))
    assert crm.calls == []
    steps.activate(tenant, now=timezone.now())
    task_queue.drain()
    assert len(crm.calls) == 1


def test_receiving_has_a_limited_query_count(client, hook, pbx, django_assert_max_num_queries):
    bodies = [pbx.call(contact=f"7999000010{n}", number=NUMBER).notification("call_end") for n in range(2)]
    client.post(hook, bodies[0], content_type="application/json")
    with django_assert_max_num_queries(26):
        client.post(hook, bodies[1], content_type="application/json")


@pytest.mark.parametrize("is_repeat", [False, True])
def test_webhook_is_stored_by_one_statement(client, hook, pbx, tenant, django_assert_num_queries, is_repeat):
    """Nothing is parsed or decided in the web process; the second statement is the push into the queue's table."""
    body = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")
    if is_repeat:
        client.post(hook, body, content_type="application/json")
    with django_assert_num_queries(1 if is_repeat else 2):
        assert client.post(hook, body, content_type="application/json").status_code == 200
    stored = Notification.objects.get()
    assert (stored.outcome, stored.parsed_event, stored.repeats) == ("RECEIVED", None, int(is_repeat))
    assert not Call.objects.exists()


def test_unavailable_queue_stores_the_webhook_for_the_sweep(client, hook, pbx, crm, later, monkeypatch, caplog):
    body = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")
    with monkeypatch.context() as patch:
        patch.setattr("django.conf.settings.REDIS_URL", "redis://127.0.0.1:1/0")
        patch.setattr(core_task_queue, "_broker", core_task_queue.create_broker)
        patch.setattr(core_task_queue, "_paused_until", 0.0)
        assert client.post(hook, body, content_type="application/json").status_code == 200
    assert "process_notification" in caplog.text
    later(timedelta(minutes=2))
    assert len(crm.calls) == 1


def test_event_costs_the_same_whether_its_call_has_three_events_or_thirty(
    client, hook, pbx, tenant, run_queue, monkeypatch
):
    """Only the new event is parsed, and the number of statements is fixed."""
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 20)])
    end = call.notification("call_end")
    client.post(hook, end, content_type="application/json")
    run_queue()
    parsed, costs = [], []
    parse = webhooks.parse
    monkeypatch.setattr(webhooks, "parse", lambda *args, **more: parsed.append(1) or parse(*args, **more))
    for number in range(30):
        body = dict(call.notification("waiting", employee_id=IVAN), leg_id=number + 1)
        client.post(hook, body, content_type="application/json")
        with CaptureQueriesContext(connection) as queries:
            task_queue.process_notifications()
        costs.append(len(queries))
    assert len(parsed) == 30
    assert costs[2] == costs[29]
