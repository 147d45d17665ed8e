"""Notes calls that the CRM shows as missed although somebody talked: it accepts no correction."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from telephony.models import Call, CallLogEntry, FailureReason, Result, State, Step
from telephony.models.call_log import log_many


def note(calls: Collection[Call], *, now: datetime) -> bool:
    """Log the late answer of each call, once; return whether one was new. Needs a transaction and locked calls."""
    if not calls:
        return False
    entries = CallLogEntry.objects.filter(call__in=calls, step=Step.LATE_ANSWER)
    noted = set(entries.values_list("call_id", flat=True))
    new = [call for call in calls if call.pk not in noted]
    log_many(new, Step.LATE_ANSWER, now=now, reason="", detail="")
    return bool(new)


def note_contradicted(done: Iterable[Call], *, known: Collection[int], now: datetime) -> None:
    """Note the calls with a talk whose log has an upload as missed that reached the CRM, or may have.

    `known` are the primary keys of uploaded calls that the CRM had already: an earlier upload reached it.
    """
    answered = {
        call.pk: call for call in done if call.is_answered and (call.state == State.SKIPPED or call.pk in known)
    }
    if not answered:
        return
    uploads = CallLogEntry.objects.filter(call__in=answered, step=Step.UPLOAD)
    sent = [
        pk
        for pk, reason, details in uploads.values_list("call_id", "reason", "details")
        if details.get("result", Result.ANSWERED) != Result.ANSWERED and (pk in known or not reason)
    ]
    note([answered[pk] for pk in dict.fromkeys(sent)], now=now)


def log_unconfirmed_upload(call: Call, sent: str, *, now: datetime) -> None:
    """Log that an upload with the result `sent` was in flight when the call was taken back from it.

    Its worker may have died before it could log it.
    """
    log_many([call], Step.UPLOAD, now=now, details={call.pk: {"result": sent, "unconfirmed": True}}, reason="")


def confirm_failure(call: Call, reason: FailureReason) -> None:
    """Write to the log that the upload that was in flight did not reach the CRM."""
    in_flight = CallLogEntry.objects.filter(call=call.pk, step=Step.UPLOAD, reason="", details__unconfirmed=True)
    in_flight.update(reason=reason)


def log_unclaimed(
    uploads: Iterable[tuple[Call, FailureReason | None]],
    details: Mapping[int, dict[str, Any]],
    *,
    milliseconds: int,
    now: datetime,
) -> None:
    """Log what the CRM answered for calls that were taken back from their worker meanwhile. Needs a transaction.

    They come with the reason of a failure; None: the CRM took them. They are the worker's copies: they have the result
    that the CRM was sent.
    """
    uploaded = list[Call]()
    for call, reason in uploads:
        if reason is None:
            uploaded.append(call)
        else:
            confirm_failure(call, reason)
    if not uploaded:
        return
    sent = {call.pk: call.result for call in uploaded}
    rows = list(Call.objects.select_for_update(of=("self",)).filter(pk__in=sent).order_by("pk"))
    log_many(rows, Step.UPLOAD, now=now, milliseconds=milliseconds, details=details, reason="", detail="")
    taken = [call for call in rows if not details.get(call.pk, {}).get("known")]
    note([call for call in taken if sent[call.pk] != Result.ANSWERED and call.is_lost is False], now=now)
