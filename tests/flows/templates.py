"""UIS fills in the templates that our page gives out, and sends each to the address of its event."""

from collections.abc import Callable, Iterator

from django.test import Client
from django.utils import timezone

from telephony.uis import webhook_templates
from telephony.uis.types import Event
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.uis import Account, Session
from tests.fakes.uis_webhooks import FakeNotification


def send_every_event(
    client: Client, hook: str, pbx: Account, *, only: str = "", spoil: Callable[[str], str] = lambda body: body
) -> None:
    """Let three calls happen now, and send one notification of each event, or the one of `only`, perhaps spoilt."""
    for event, session in _happened(pbx):
        if only in {"", event}:
            notice = FakeNotification(
                session, event, employee_id=IVAN if event != "lost_call" else None, at=timezone.now()
            )
            body = spoil(notice.render(webhook_templates.template(Event(event))))
            assert client.post(f"{hook}{event}/", body, content_type="application/json").status_code == 200


def _happened(pbx: Account) -> Iterator[tuple[str, Session]]:
    answered = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 30)])
    for event in ("waiting", "talk_started", "call_end", "recorded"):
        yield event, answered
    yield "outgoing", pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 20)])
    yield "lost_call", pbx.call(contact=CONTACT, number=NUMBER)
