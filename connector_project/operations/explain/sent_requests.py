"""The requests to the vendors that were about a call, without the other calls in them. Pure."""

import json
from collections.abc import Collection, Set
from typing import Any

from django.utils.translation import gettext as _

from connector_project.core import exchanges
from connector_project.operations.explain.data import CallData
from connector_project.operations.explain.parts import SentRequest
from telephony.models import OutgoingRequest

FIRST_FAULT = 400


def build(data: CallData) -> list[SentRequest]:
    """Return the requests about a call, oldest first."""
    return [_build(data, row) for row in reversed(data.requests)]


def _build(data: CallData, row: OutgoingRequest) -> SentRequest:
    session_id = data.call.session_id
    others = {one.session_id for one in row.calls.all()} - {session_id}
    request, answer = (
        data.redactor.text(body_of_call(text, session_id, others=others)) for text in (row.request, row.response)
    )
    return SentRequest(
        at=row.sent_at,
        system=str(row.get_system_display()),
        method=row.method,
        status=row.status,
        ms=row.duration_ms,
        error=data.redactor.text(row.error),
        request=request,
        answer=answer,
        is_fault=not row.status or row.status >= FIRST_FAULT,
    )


def body_of_call(text: str, session_id: int, *, others: Collection[int]) -> str:
    """Return a body, indented, with this call only: who may see one customer's number must not get fifty.

    Values that were cut off cannot be read, so they are shown only where they are about this call alone.
    """
    value = exchanges.parsed(text)
    if isinstance(value, str):
        is_cut_off = text.startswith(("{", "["))
        return _("Not shown: it is very long, and about other calls, too.") if is_cut_off and others else text
    return json.dumps(_only(value, str(session_id), {str(one) for one in others}), ensure_ascii=False, indent=1)


def _only(value: Any, own: str, others: Set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _only(inner, own, others) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    mine = [inner for inner in value if isinstance(inner, dict) and own in _ids(inner)]
    kept = mine or [inner for inner in value if not (isinstance(inner, dict) and _ids(inner) & others)]
    return [_only(inner, own, others) for inner in kept]


def _ids(row: dict[str, Any]) -> set[str]:
    """Return what may be the id of a row's call: UIS writes the session, the CRM has it with our prefix."""
    values = (value for value in row.values() if isinstance(value, str | int))
    return {str(value).removeprefix("uis-") for value in values}
