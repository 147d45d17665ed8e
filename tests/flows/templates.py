"""UIS fills in the templates that our page gives out, and sends each to the address of its event."""

import json
import re
from collections.abc import Callable, Iterator

from django.test import Client
from django.utils import timezone

from telephony.uis import templates
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.uis import Account, Session
from tests.fakes.uis_notices import Notice


def fill(text: str, notice: Notice) -> str:
    """Put the values of one event into a template, the way UIS does: as JSON, quotes and all."""
    values = notice.macros()
    return re.sub(r"\{\{(\w+)\}\}", lambda macro: json.dumps(values.get(macro[1]), ensure_ascii=False), text)


def send_every_event(
    client: Client, hook: str, pbx: Account, *, only: str = "", spoil: Callable[[str], str] = lambda body: body
) -> None:
    """Let three calls happen now, and send one notification of each event, or the one of `only`, perhaps spoilt."""
    for event, session in _happened(pbx):
        if only in {"", event}:
            notice = Notice(session, event, employee_id=IVAN if event != "lost_call" else None, at=timezone.now())
            body = spoil(fill(templates.template(templates.Event(event)), notice))
            assert client.post(f"{hook}{event}/", body, content_type="application/json").status_code == 200


def _happened(pbx: Account) -> Iterator[tuple[str, Session]]:
    answered = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 30)])
    for event in ("waiting", "talk_started", "call_end", "recorded"):
        yield event, answered
    yield "outgoing", pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 20)])
    yield "lost_call", pbx.call(contact=CONTACT, number=NUMBER)
