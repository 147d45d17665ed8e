"""Webhook status: each event by its newest notification of this client."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from telephony.models import Notification
from telephony.uis.types import Event
from telephony.uis.webhook_templates import EVENTS, TemplateCode, TemplateFault, template
from telephony.webhooks import status
from telephony.webhooks.status import LATELY, SENTENCES, UNREADABLE_LOOKED_AT, State, fault_message
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.uis_webhooks import FakeNotification

pytestmark = pytest.mark.sql

DARK = [State.NOT_SEEN] * len(EVENTS)


@pytest.fixture
def bodies(pbx):
    """Our templates of all events, filled in as UIS does."""
    courses = {
        Event.OUTGOING: {"direction": "out", "talks": [(IVAN, 30)]},
        Event.LOST_CALL: {"rings": [IVAN]},
    }

    def fill(event, written=None):
        course = courses.get(event, {"rings": [IVAN], "talks": [(IVAN, 30)]})
        values = FakeNotification(pbx.call(contact=CONTACT, number=NUMBER, **course), str(event)).macros()
        return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]]), written or template(event))

    return fill


@pytest.fixture
def tell(client, hook):
    """Send one notification to an address of its event, or to the bare one."""

    def send(body, event="", to=hook):
        answer = client.post(f"{to}{event}/" if event else to, body, content_type="application/json")
        assert answer.status_code == 200
        task_queue.process_notifications()
        return Notification.objects.latest("pk")

    return send


def states(tenant):
    return [entry.state for entry in status.webhook_status(tenant, now=timezone.now()).events]


def status_of(tenant, event):
    return next(entry for entry in status.webhook_status(tenant, now=timezone.now()).events if entry.event == event)


def broken(event):
    return f'{{"event": "{event}", "contact_phone_number": '


def test_every_event_is_not_seen_before_the_first_notification(tenant):
    found = status.webhook_status(tenant, now=timezone.now())
    assert found == status.WebhookStatus(
        events=[status.EventStatus(event=event, state=State.NOT_SEEN) for event in EVENTS], unidentified=None
    )


@pytest.mark.parametrize("event", EVENTS)
def test_our_template_changes_only_its_own_event(tenant, tell, bodies, event):
    stored = tell(bodies(event), event)
    lit = status.EventStatus(event=event, state=State.OK, seen_at=stored.received_at)
    assert [
        entry for entry in status.webhook_status(tenant, now=timezone.now()).events if entry.state != State.NOT_SEEN
    ] == [lit]


def test_events_are_recognised_without_an_event_in_the_url(tenant, tell, bodies):
    for event in EVENTS:
        tell(bodies(event))
    assert states(tenant) == [State.OK] * len(EVENTS)


def test_default_body_and_a_get_are_recognised(tenant, client, tell, hook, pbx):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 30)])
    body = call.notification("waiting", nested=True)
    del body["event"]
    tell(body, "waiting")
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
def test_fault_of_a_template_shows_by_what_it_costs(tenant, tell, bodies, change, state, code, names):
    stored = tell(change(bodies(Event.WAITING)), "waiting")
    fault = TemplateFault(TemplateCode(code), tuple(names))
    assert status_of(tenant, Event.WAITING) == status.EventStatus(
        event=Event.WAITING, state=State(state), seen_at=stored.received_at, faults=(fault,)
    )
    assert states(tenant).count(State.NOT_SEEN) == len(EVENTS) - 1


def test_repaired_template_is_ok_and_a_spoilt_one_broken(tenant, tell, bodies):
    tell(broken("waiting"))
    assert status_of(tenant, Event.WAITING).state == State.BROKEN
    tell(bodies(Event.WAITING))
    assert status_of(tenant, Event.WAITING).state == State.OK
    tell(bodies(Event.WAITING).replace(f'"{CONTACT}"', f'""{CONTACT}""'))
    assert status_of(tenant, Event.WAITING).state == State.WARNING
    tell(bodies(Event.WAITING)[:-1])
    assert status_of(tenant, Event.WAITING).state == State.BROKEN


def test_of_two_at_one_moment_the_later_row_counts(tenant, tell, bodies):
    tell(broken("waiting"))
    tell(bodies(Event.WAITING))
    Notification.objects.update(received_at=timezone.now())
    assert status_of(tenant, Event.WAITING).state == State.OK


def test_event_of_an_unreadable_body_is_salvaged(tenant, tell):
    tell(broken("recorded"))
    tell("{“event”: “call_end”}")
    tell('{"event": "waiting", "call_session_id": 5}', "wating")
    lit = {
        entry.event: [fault.code for fault in entry.faults]
        for entry in status.webhook_status(tenant, now=timezone.now()).events
    }
    assert {event: codes for event, codes in lit.items() if codes} == {
        Event.WAITING: [TemplateCode.UNKNOWN_EVENT],
        Event.CALL_END: [TemplateCode.NOT_JSON],
        Event.RECORDED: [TemplateCode.NOT_JSON],
    }


@pytest.mark.slow
def test_broken_bodies_of_one_event_do_not_hide_a_readable_one_of_another(tenant, tell, bodies):
    tell(bodies(Event.RECORDED))
    for number in range(UNREADABLE_LOOKED_AT + 5):
        tell(broken("waiting") + str(number))
    assert status_of(tenant, Event.RECORDED).state == State.OK
    assert status_of(tenant, Event.WAITING).state == State.BROKEN


@pytest.mark.slow
def test_readable_bodies_of_one_event_do_not_hide_a_broken_one_of_another(tenant, tell, bodies):
    tell(broken("recorded"))
    body = bodies(Event.WAITING)
    for number in range(UNREADABLE_LOOKED_AT + 5):
        tell(f"{body} {' ' * number}")
    assert status_of(tenant, Event.RECORDED).state == State.BROKEN


def test_notification_that_nobody_has_decided_yet_counts(tenant, tell, bodies):
    tell(bodies(Event.LOST_CALL))
    Notification.objects.update(event="", outcome="RECEIVED")
    assert status_of(tenant, Event.LOST_CALL).state == State.OK


def test_repeat_under_another_wording_counts(tenant, tell, bodies):
    whole = bodies(Event.CALL_END)
    tell(re.sub(r'  "direction".*\n', "", whole))
    assert status_of(tenant, Event.CALL_END).state == State.WARNING
    assert tell(whole).outcome == "REPEATED"
    assert status_of(tenant, Event.CALL_END).state == State.OK


def test_events_we_ask_nobody_for_light_nothing(tenant, tell):
    tell('{"event": "incoming", "call_session_id": 5}')
    tell("broken", "talk_finished")
    found = status.webhook_status(tenant, now=timezone.now())
    assert ([entry.state for entry in found.events], found.unidentified) == (DARK, None)


def test_event_is_not_seen_after_a_week(tenant, tell, bodies):
    tell(bodies(Event.WAITING))
    tell(broken("recorded"))
    tell("words")
    Notification.objects.update(received_at=timezone.now() - LATELY + timedelta(minutes=1))
    assert states(tenant).count(State.NOT_SEEN) == len(EVENTS) - 2
    assert status.webhook_status(tenant, now=timezone.now()).unidentified is not None
    Notification.objects.update(received_at=timezone.now() - LATELY - timedelta(minutes=1))
    assert states(tenant) == DARK
    assert status.webhook_status(tenant, now=timezone.now()).unidentified is None


def test_second_tenant_lights_nothing(tenant, stranger, tell, bodies):
    other = f"/hooks/uis/{stranger.uis.hook}/"
    tell(bodies(Event.WAITING), to=other)
    tell(broken("recorded"), to=other)
    tell("words", to=other)
    found = status.webhook_status(tenant, now=timezone.now())
    assert ([entry.state for entry in found.events], found.unidentified) == (DARK, None)
    assert states(stranger).count(State.NOT_SEEN) == len(EVENTS) - 2


def test_stranger_is_the_newest_that_tells_no_event(tenant, tell):
    tell("words")
    newest = tell('{"event": "ringing", "call_session_id": 5}')
    tell(broken("waiting"))
    fault = TemplateFault(TemplateCode.UNKNOWN_EVENT, ("ringing",))
    expected = status.UnidentifiedWebhook(seen_at=newest.received_at, faults=(fault,))
    assert status.webhook_status(tenant, now=timezone.now()).unidentified == expected


def test_two_queries_are_enough_whatever_came(tenant, tell, bodies, django_assert_num_queries):
    with django_assert_num_queries(2):
        status.webhook_status(tenant, now=timezone.now())
    for event in EVENTS:
        tell(bodies(event))
        tell(broken(event))
    tell("words")
    with django_assert_num_queries(2):
        status.webhook_status(tenant, now=timezone.now())


# --- texts


def test_every_fault_has_a_text():
    assert set(SENTENCES) == set(TemplateCode)
    for code in TemplateCode:
        sentence = fault_message(TemplateFault(code, ("employee_id", "leg_id")))
        assert "%" not in sentence
        assert "  " not in sentence


def test_text_of_a_fault_names_the_fields():
    fault = TemplateFault(TemplateCode.MISSING, ("employee_id", "direction"))
    with translation.override("en"):
        english = fault_message(fault)
        assert "employee_id, direction" in english
        assert "100%" in fault_message(TemplateFault(TemplateCode.UNKNOWN_EVENT, ("100%",)))
    with translation.override("ru"):
        assert "employee_id, direction" in fault_message(fault)
        assert fault_message(fault) != english


@pytest.mark.parametrize(("language", "name"), [("ru", "Потерянный звонок"), ("en", "Lost call"), (None, "Lost call")])
def test_event_is_named_as_in_the_cabinet(language, name):
    with translation.override(language):
        assert status.name(Event.LOST_CALL) == name
