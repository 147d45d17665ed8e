"""Tells the CRM's side what the legs of calls without a talk show: it has clicks and pop-ups that depend on it."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction

from connector_project.core.task_queue import enqueue
from connector_project.core.untrusted_input import parse_id
from telephony import task_names
from telephony.calls.evidence import CLICK_TO_CALL_PREFIX
from telephony.models import Call
from telephony.models.call_queryset import LIVE_WINDOW


def tell(without_talk: Sequence[Call], *, shown: Collection[int], now: datetime) -> None:
    """Queue what the legs are news for, of calls of one tenant whose notifications told no talk.

    `shown` are the sessions that UIS's reports have.
    """
    _tell_clicks([call for call in without_talk if not call.talk_seconds])
    # Pop-ups live for minutes: of older calls none waits for why nobody talked.
    if any(call.session_id in shown and call.retry_window_started_at > now - LIVE_WINDOW for call in without_talk):
        with transaction.atomic():
            enqueue(task_names.CLOSE_POPUPS, without_talk[0].tenant_id, queue="fast")


def _tell_clicks(unanswered: Sequence[Call]) -> None:
    """Queue a check of each click whose call nobody answered: the phone of who clicked may not have rung."""
    of_clicks = (call for call in unanswered if call.command_external_id)
    for call in of_clicks:
        command_id = parse_id(call.command_external_id.removeprefix(CLICK_TO_CALL_PREFIX))
        if command_id is not None:
            with transaction.atomic():
                enqueue(task_names.CHECK_STARTED_CLICK, command_id, queue="fast")
