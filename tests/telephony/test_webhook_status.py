"""Webhook status: the status of each event comes from its newest notification."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from telephony.models import Notification
from telephony.uis.types import Event
from telephony.uis.webhook_templates import EVENTS, TemplateCode, TemplateFault, template
from telephony.webhooks import status
from telephony.webhooks.status import RECENT_PERIOD, SENTENCES, UNREADABLE_LIMIT, State, fault_message
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.uis_webhooks import FakeNotification

pytestmark = pytest.mark.sql

ALL_NOT_SEEN = [State.NOT_SEEN] * len(EVENTS)


@pytest.fixture
def bodies(pbx):
    """Fill in our template of an event as UIS does."""
    call_values = {
        Event.OUTGOING: {"direction": "out", "talks": [(IVAN, 30)]},
        Event.LOST_CALL: {"rings": [IVAN]},
    }

    def fill(event, template_text=None):
        values_of_call = call_values.get(event, {"rings": [IVAN], "talks": [(IVAN, 30)]})
        values = FakeNotification(pbx.call(contact=CONTACT, number=NUMBER, **values_of_call), str(event)).macros()
        return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]]), template_text or template(event))

    return fill


@pytest.fixture
def post_webhook(client, hook):
    """Send one notification, to the webhook URL of its event or to the one without an event."""

    def send(body, event="", url=hook):
        length = {} if body else {"CONTENT_LENGTH": "0"}
        answer = client.post(f"{url}{event}/" if event else url, body, content_type="application/json", **length)
        assert answer.status_code == 200
        task_queue.process_notifications()
        return Notification.objects.latest("pk")

    return send


def states(tenant):
    return [entry.state for entry in status.webhook_status(tenant, now=timezone.now()).events]


def test_deleted_text_is_no_fault(tenant, post_webhook, bodies):
    post_webhook(bodies(Event.CALL_END))
    Notification.objects.update(query="", body="")
    assert status_of(tenant, Event.CALL_END).state == State.OK


def status_of(tenant, event):
    return next(entry for entry in status.webhook_status(tenant, now=timezone.now()).events if entry.event == event)


def unreadable(event):
    return f'{{"event": "{event}", "contact_phone_number": '


def test_every_event_is_not_seen_before_the_first_notification(tenant):
    found = status.webhook_status(tenant, now=timezone.now())
    assert found == status.WebhookStatus(
        events=[status.EventStatus(event=event, state=State.NOT_SEEN) for event in EVENTS], unidentified=None
    )


@pytest.mark.parametrize("event", EVENTS)
def test_filled_template_sets_only_its_own_event_to_ok(tenant, post_webhook, bodies, event):
    stored = post_webhook(bodies(event), event)
    expected = status.EventStatus(event=event, state=State.OK, seen_at=stored.received_at)
    assert [
        entry for entry in status.webhook_status(tenant, now=timezone.now()).events if entry.state != State.NOT_SEEN
    ] == [expected]


def test_events_are_recognised_without_an_event_in_the_url(tenant, post_webhook, bodies):
    for event in EVENTS:
        post_webhook(bodies(event))
    assert states(tenant) == [State.OK] * len(EVENTS)


def test_nested_body_and_get_request_are_recognised(tenant, client, post_webhook, hook, pbx):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 30)])
    body = call.notification("waiting", nested=True)
    del body["event"]
    post_webhook(body, "waiting")
    client.get(f"{hook}?{call.as_query('call_end')}")
    assert status_of(tenant, Event.WAITING).state == State.OK
    assert status_of(tenant, Event.CALL_END).state == State.OK


@pytest.mark.parametrize(
    ("change", "state", "code", "names"),
    [
        (lambda body: body.replace(f'"{CONTACT}"', f'""{CONTACT}""'), "WARNING", "QUOTED", ["contact_phone_number"]),
        (lambda body: re.sub(r'"leg_id": \d+', '"leg_id": {{leg}}', body), "WARNING", "UNRESOLVED", ["leg_id"]),
        (
            lambda body: re.sub(r'"employee_id": \d+', '"employee_id": {{e}}', body),
            "BROKEN",
            "UNRESOLVED",
            ["employee_id"],
        ),
        (lambda body: re.sub(r'  "notification_time".*\n', "", body), "WARNING", "MISSING", ["notification_time"]),
        (lambda body: re.sub(r'  "employee_id".*\n', "", body), "BROKEN", "MISSING", ["employee_id"]),
        (lambda body: re.sub(r'"call_session_id": \d+', '"call_session_id": null', body), "BROKEN", "NO_SESSION", []),
        (lambda body: body.replace('"waiting"', '"call_end"'), "BROKEN", "WRONG_EVENT", ["waiting", "call_end"]),
        (lambda body: body[:-1], "BROKEN", "NOT_JSON", []),
        (lambda body: "", "BROKEN", "EMPTY", []),
    ],
)
def test_template_fault_is_a_warning_or_broken_by_its_effect(tenant, post_webhook, bodies, change, state, code, names):
    stored = post_webhook(change(bodies(Event.WAITING)), "waiting")
    fault = TemplateFault(TemplateCode(code), tuple(names))
    assert status_of(tenant, Event.WAITING) == status.EventStatus(
        event=Event.WAITING, state=State(state), seen_at=stored.received_at, faults=(fault,)
    )
    assert states(tenant).count(State.NOT_SEEN) == len(EVENTS) - 1


def test_status_follows_the_newest_notification(tenant, post_webhook, bodies):
    post_webhook(unreadable("waiting"))
    assert status_of(tenant, Event.WAITING).state == State.BROKEN
    post_webhook(bodies(Event.WAITING))
    assert status_of(tenant, Event.WAITING).state == State.OK
    post_webhook(bodies(Event.WAITING).replace(f'"{CONTACT}"', f'""{CONTACT}""'))
    assert status_of(tenant, Event.WAITING).state == State.WARNING
    post_webhook(bodies(Event.WAITING)[:-1])
    assert status_of(tenant, Event.WAITING).state == State.BROKEN


def test_later_row_decides_when_two_have_the_same_time(tenant, post_webhook, bodies):
    post_webhook(unreadable("waiting"))
    post_webhook(bodies(Event.WAITING))
    Notification.objects.update(received_at=timezone.now())
    assert status_of(tenant, Event.WAITING).state == State.OK


def test_event_of_an_unreadable_body_is_recognised(tenant, post_webhook):
    post_webhook(unreadable("recorded"))
    post_webhook("{“event”: “call_end”}")
    post_webhook('{"event": "waiting", "call_session_id": 5}', "wating")
    codes_by_event = {
        entry.event: [fault.code for fault in entry.faults]
        for entry in status.webhook_status(tenant, now=timezone.now()).events
    }
    assert {event: codes for event, codes in codes_by_event.items() if codes} == {
        Event.WAITING: [TemplateCode.UNKNOWN_EVENT],
        Event.CALL_END: [TemplateCode.NOT_JSON],
        Event.RECORDED: [TemplateCode.NOT_JSON],
    }


@pytest.mark.slow
def test_unreadable_bodies_of_one_event_do_not_hide_a_readable_one_of_another(tenant, post_webhook, bodies):
    post_webhook(bodies(Event.RECORDED))
    for number in range(UNREADABLE_LIMIT + 5):
        post_webhook(unreadable("waiting") + str(number))
    assert status_of(tenant, Event.RECORDED).state == State.OK
    assert status_of(tenant, Event.WAITING).state == State.BROKEN


@pytest.mark.slow
def test_readable_bodies_of_one_event_do_not_hide_an_unreadable_one_of_another(tenant, post_webhook, bodies):
    post_webhook(unreadable("recorded"))
    body = bodies(Event.WAITING)
    for number in range(UNREADABLE_LIMIT + 5):
        post_webhook(f"{body} {' ' * number}")
    assert status_of(tenant, Event.RECORDED).state == State.BROKEN


def test_unprocessed_notification_counts(tenant, post_webhook, bodies):
    post_webhook(bodies(Event.LOST_CALL))
    Notification.objects.update(event="", outcome="RECEIVED")
    assert status_of(tenant, Event.LOST_CALL).state == State.OK


def test_repeat_with_another_body_counts(tenant, post_webhook, bodies):
    complete = bodies(Event.CALL_END)
    post_webhook(re.sub(r'  "direction".*\n', "", complete))
    assert status_of(tenant, Event.CALL_END).state == State.WARNING
    assert post_webhook(complete).outcome == "REPEATED"
    assert status_of(tenant, Event.CALL_END).state == State.OK


def test_events_without_a_template_of_ours_change_no_status(tenant, post_webhook):
    post_webhook('{"event": "incoming", "call_session_id": 5}')
    post_webhook("unreadable", "talk_finished")
    found = status.webhook_status(tenant, now=timezone.now())
    assert ([entry.state for entry in found.events], found.unidentified) == (ALL_NOT_SEEN, None)


def test_event_is_not_seen_after_a_week(tenant, post_webhook, bodies):
    post_webhook(bodies(Event.WAITING))
    post_webhook(unreadable("recorded"))
    post_webhook("words")
    Notification.objects.update(received_at=timezone.now() - RECENT_PERIOD + timedelta(minutes=1))
    assert states(tenant).count(State.NOT_SEEN) == len(EVENTS) - 2
    assert status.webhook_status(tenant, now=timezone.now()).unidentified is not None
    Notification.objects.update(received_at=timezone.now() - RECENT_PERIOD - timedelta(minutes=1))
    assert states(tenant) == ALL_NOT_SEEN
    assert status.webhook_status(tenant, now=timezone.now()).unidentified is None


def test_notifications_of_another_tenant_change_no_status(tenant, stranger, post_webhook, bodies):
    other = f"/hooks/uis/{stranger.uis.hook}/"
    post_webhook(bodies(Event.WAITING), url=other)
    post_webhook(unreadable("recorded"), url=other)
    post_webhook("words", url=other)
    found = status.webhook_status(tenant, now=timezone.now())
    assert ([entry.state for entry in found.events], found.unidentified) == (ALL_NOT_SEEN, None)
    assert states(stranger).count(State.NOT_SEEN) == len(EVENTS) - 2


def test_unidentified_webhook_is_the_newest_without_a_known_event(tenant, post_webhook):
    post_webhook("words")
    newest = post_webhook('{"event": "ringing", "call_session_id": 5}')
    post_webhook(unreadable("waiting"))
    fault = TemplateFault(TemplateCode.UNKNOWN_EVENT, ("ringing",))
    expected = status.UnidentifiedWebhook(seen_at=newest.received_at, faults=(fault,))
    assert status.webhook_status(tenant, now=timezone.now()).unidentified == expected


def test_status_needs_two_queries(tenant, post_webhook, bodies, django_assert_num_queries):
    with django_assert_num_queries(2):
        status.webhook_status(tenant, now=timezone.now())
    for event in EVENTS:
        post_webhook(bodies(event))
        post_webhook(unreadable(event))
    post_webhook("words")
    with django_assert_num_queries(2):
        status.webhook_status(tenant, now=timezone.now())


# --- texts


def test_every_fault_code_has_a_message():
    assert set(SENTENCES) == set(TemplateCode)
    for code in TemplateCode:
        sentence = fault_message(TemplateFault(code, ("employee_id", "leg_id")))
        assert "%" not in sentence
        assert "  " not in sentence


def test_fault_message_contains_the_fields():
    fault = TemplateFault(TemplateCode.MISSING, ("employee_id", "direction"))
    with translation.override("en"):
        english = fault_message(fault)
        assert "employee_id, direction" in english
        assert "100%" in fault_message(TemplateFault(TemplateCode.UNKNOWN_EVENT, ("100%",)))
    with translation.override("ru"):
        assert "employee_id, direction" in fault_message(fault)
        assert fault_message(fault) != english


@pytest.mark.parametrize(("language", "name"), [("ru", "Потерянный звонок"), ("en", "Lost call"), (None, "Lost call")])
def test_event_has_its_name_in_the_uis_account(language, name):
    with translation.override(language):
        assert status.name(Event.LOST_CALL) == name
