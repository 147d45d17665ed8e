"""A session that only an unreadable notification names is explained by it: why it cannot be read, and what to do."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import translation

from telephony import tasks
from telephony.models import Call, Notification
from telephony.uis import webhook_templates
from telephony.webhooks import status
from tenants.models import Tenant
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(5)]

SESSION = 5139032004
# Texts that name the session and cannot be read, with the event in the URL.
TEXTS = {
    "no comma": ("call_end", f'{{"call_session_id": {SESSION} "is_lost"}}'),
    "cut": ("call_end", f'{{"event": "call_end", "call_session_id": {SESSION}, "contact_phone'),
    "cut after the number": ("", f'{{"event": "call_end", "call_session_id": {SESSION}'),
    "repeated key": ("call_end", f'{{"call_session_id": {SESSION}, "call_session_id": null}}'),
    "no event": ("", f'{{"call_session_id": {SESSION}}}'),
    "unknown event": ("", f'{{"event": "call-ended", "call_session_id": "{SESSION}"}}'),
    "another name": ("call_end", f'{{"session": {SESSION}}}'),
    "array": ("call_end", f'[{{"call_session_id": {SESSION}}}]'),
    "words": ("lost_call", f"call {SESSION} was lost"),
    "two documents": ("call_end", f'{{"call_session_id": {SESSION}}}{{"event": "x"}}'),
}
EACH = pytest.mark.parametrize(("event", "body"), TEXTS.values(), ids=TEXTS)


@pytest.fixture
def send(client, hook, run_queue, tenant):
    Tenant.objects.update(language="en")

    def post(event, body):
        path = f"{hook}{event}/" if event else hook
        assert client.post(path, body, content_type="text/plain").status_code == 200
        run_queue()
        return Notification.objects.order_by("-pk").first()

    return post


def explain(session=SESSION):
    out = StringIO()
    call_command("explain_call", "--tenant", "romashka", str(session), stdout=out)
    return json.loads(out.getvalue())


def fault_of(stored):
    with translation.override("en"):
        faults = webhook_templates.faults(stored.event_in_url, stored.query, stored.body)
        return status.fault_message(faults[0])


@EACH
def test_session_named_by_an_unreadable_notification_is_explained_by_it(send, stranger, event, body):
    stored = send(event, body)
    assert (stored.outcome, stored.session_id) == ("UNREADABLE", None)
    found = explain()
    assert (found["session"], found["reason"], found["responsible"]) == (SESSION, stored.reason, "client")
    assert f"№ {stored.pk}" in found["message"]
    assert fault_of(stored) in found["message"]
    assert [entry["notification"] for entry in found["timeline"]] == [stored.pk]
    assert found["next"]


@EACH
def test_page_of_the_call_names_the_unreadable_notification(client, send, pbx, later, run_queue, stranger, event, body):
    session = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], session_id=SESSION)
    stored = send(event, body)
    later(timedelta(minutes=6))
    tasks.reconcile_all()
    run_queue()
    client.force_login(create_user("support", "Support"))
    page = reverse("admin:telephony_call_change", args=[Call.objects.get(session_id=session.session_id).pk])
    shown = html_text.text(client.get(page, headers={"accept-language": "en"}))
    warnings = {warning["reason"]: warning["message"] for warning in explain()["warnings"]}
    assert f"№ {stored.pk}" in warnings["UNREADABLE"]
    assert fault_of(stored) in warnings["UNREADABLE"]
    assert warnings["UNREADABLE"] in shown
    assert "NO_NOTIFICATIONS" not in warnings


@pytest.mark.parametrize(
    "body",
    [
        f'{{"call_session_id": {SESSION}1 "x"',
        f'{{"call_session_id": 1{SESSION} "x"',
        '{"call_session_id": 4 "x"',
        '{"talk_time_duration": 5 "x"',
        "{",
    ],
)
@pytest.mark.parametrize("session", [SESSION, 5])
def test_notification_of_another_session_explains_nothing(send, body, session):
    send("call_end", body)
    with pytest.raises(CommandError):
        explain(session)


def test_notification_of_another_client_explains_nothing(send, twin):
    send(*TEXTS["cut"])
    Notification.objects.update(tenant=twin)
    with pytest.raises(CommandError):
        explain()


def test_numbers_are_masked(send):
    send("call_end", f'{{"event": "{CONTACT}", "call_session_id": {SESSION}, "x')
    send("", f'{{"event": "{CONTACT}", "call_session_id": {SESSION}}}')
    assert CONTACT not in json.dumps(explain(), ensure_ascii=False)


@pytest.mark.parametrize(
    ("event", "name", "told"),
    [
        ("call_end", "contact_phone_number", "{{contact_phone_number}}"),
        ("call_end", "contact_phone_number", None),
        ("lost_call", "contact_phone_number", "contact_phone_number"),
        ("lost_call", "virtual_phone_number", "{{virtual_phone_number}}"),
        ("call_end", "direction", None),
    ],
)
def test_page_names_the_template_that_does_not_tell_a_field(notify, pbx, tenant, stranger, event, name, told):
    Tenant.objects.update(language="en")
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], session_id=SESSION)
    body = dict(call.notification(event))
    if told is None:
        del body[name]
    else:
        body[name] = told
    notify(body)
    (warning,) = [one for one in explain()["warnings"] if one["reason"].startswith("TEMPLATE_")]
    with translation.override("en"):
        assert status.event_label(event) in warning["message"]
    assert (name in warning["message"], warning["responsible"]) == (True, "client")
