"""Keeps the requests that belong to a call, a click or a status, with their answers: for the call's page.

Polling is not kept: lists, reports of whole periods, statuses, checks.
"""

import functools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from connector_project.core import exchanges, logging, transactions
from connector_project.core.compiled_queries import CompiledInsert
from connector_project.core.exchanges import Exchange
from connector_project.core.prepared_statements import Given, Statement, row_count
from telephony.models import OutgoingRequest, RequestedCall
from telephony.models.outgoing_request import LONGEST_METHOD
from telephony.uis.recordings import RECORD_FIELDS

logger = logging.logger(__name__)


_requests, _calls = CompiledInsert(OutgoingRequest), CompiledInsert(RequestedCall)
_WITH_CALLS = """
WITH kept AS ({request})
INSERT INTO telephony_requestedcall (tenant_id, request_id, session_id)
SELECT %s::bigint, kept.id, session_id FROM kept, unnest(%s::bigint[]) AS session_id
"""


@contextmanager
def kept(tenant_id: int, *, sessions: Sequence[int] = (), command_id: int | None = None) -> Iterator[list[int]]:
    """Keep the requests that are sent within this block, once it has ended: what they were for is stored by then.

    `sessions` are the calls they are about; the block may add some to the list that it gets. A request that names some
    of them is kept for these only.
    """
    sent: list[Exchange] = []
    about = list(sessions)
    try:
        with exchanges.recording(sent.append):
            yield about
    finally:
        if sent:
            _try_to_store(tenant_id, sent, sessions=about, command_id=command_id)


def _try_to_store(tenant_id: int, sent: Sequence[Exchange], *, sessions: Sequence[int], command_id: int | None) -> None:
    """Store exchanges. Never raises: what the vendor was told must not be repeated for its log."""
    try:
        _store(tenant_id, sent, sessions=sessions, command_id=command_id)
    except Exception:
        logger.exception("outgoing requests were not kept", requests=len(sent))


def _store(tenant_id: int, sent: Sequence[Exchange], *, sessions: Sequence[int], command_id: int | None) -> None:
    """Store exchanges: one in a single statement where the database allows it, else all in two."""
    rows = [_row(tenant_id, one, command_id) for one in sent]
    if len(rows) == 1 and sessions and connection.vendor == "postgresql":
        transactions.run_again_on_conflict(_store_one, rows[0], _named(rows[0], sessions))
    else:
        _store_all(rows, sessions)


@transactions.atomic
def _store_all(rows: Sequence[OutgoingRequest], sessions: Sequence[int]) -> None:
    _requests.insert(rows)
    about = [
        RequestedCall(tenant_id=row.tenant_id, request=row, session_id=session_id)
        for row in rows
        for session_id in _named(row, sessions)
    ]
    if about:
        _calls.insert(about)


def _store_one(row: OutgoingRequest, sessions: Sequence[int]) -> None:
    """Store one exchange and the calls it is about, in one statement."""
    insert, values = _requests.statement([row])
    _with_calls(insert).run([*values, row.tenant_id, list(sessions)], row_count)


@functools.cache
def _with_calls(insert: Statement) -> Statement:
    return Statement(_WITH_CALLS.format(request=insert.sql), [Given(place) for place in range(len(insert.params) + 2)])


def _row(tenant_id: int, one: Exchange, command_id: int | None) -> OutgoingRequest:
    method, request, response = exchanges.stored(one, hidden=RECORD_FIELDS)
    return OutgoingRequest(
        tenant_id=tenant_id,
        system=one.system,
        method=method[:LONGEST_METHOD],
        sent_at=timezone.now() - timedelta(seconds=time.monotonic() - one.started),
        duration_ms=round(one.seconds * 1000),
        status=one.status,
        error=one.error,
        request=request,
        response=response,
        command_id=command_id,
    )


def _named(row: OutgoingRequest, sessions: Sequence[int]) -> list[int]:
    """Return the calls that a request names; all of them if it names none."""
    every, numbers = list(dict.fromkeys(sessions)), set(re.findall(r"\d+", row.request))
    return [one for one in every if str(one) in numbers] or every
