"""Send notifications made from our webhook templates, each to the webhook URL of its event."""

from collections.abc import Callable, Iterator

from django.test import Client
from django.utils import timezone

from telephony.uis import webhook_templates
from telephony.uis.types import Event
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.uis import Account, Session
from tests.fakes.uis_webhooks import FakeNotification


def send_every_event(
    client: Client, hook: str, pbx: Account, *, only: str = "", change_body: Callable[[str], str] = lambda body: body
) -> None:
    """Create three calls; send one notification of each event, or of `only`, with its body changed by `change_body`."""
    for event, session in _sessions_by_event(pbx):
        if only in {"", event}:
            notification = FakeNotification(
                session, event, employee_id=IVAN if event != "lost_call" else None, at=timezone.now()
            )
            body = change_body(notification.render(webhook_templates.template(Event(event))))
            assert client.post(f"{hook}{event}/", body, content_type="application/json").status_code == 200


def _sessions_by_event(pbx: Account) -> Iterator[tuple[str, Session]]:
    answered = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 30)])
    for event in ("waiting", "talk_started", "call_end", "recorded"):
        yield event, answered
    yield "outgoing", pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 20)])
    yield "lost_call", pbx.call(contact=CONTACT, number=NUMBER)
