"""Reopens calls of which UIS's report tells otherwise than the evidence that they were decided on."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from connector_project.core import logging, transactions
from telephony.calls import apply_event, evidence, late_recordings, reopen
from telephony.calls.sources import Sources
from telephony.models import Call, State
from telephony.reconciliation import differences
from telephony.reconciliation.differences import Difference, KnownFacts, find_differences
from telephony.uis.types import EndedEvent
from tenants import erased_numbers
from tenants.models import Tenant
from tenants.transfer_rules import SkipReason

logger = logging.logger(__name__)


def correct(tenant: Tenant, calls: Iterable[Call], reported: Mapping[int, EndedEvent], *, now: datetime) -> int:
    """Resolve the calls that the report tells otherwise anew with their rows of it; return how many that changed.

    The caller enqueues the next steps of all its calls together, with `sweep.resume_due`.
    """
    differing = [call.session_id for call in calls if _is_news(call, reported[call.session_id])]
    if not differing:
        return 0
    known = Sources.load(tenant, differing)
    return sum(_correct_or_log(tenant, reported[session_id], known, now=now) for session_id in differing)


def _correct_or_log(tenant: Tenant, row: EndedEvent, known: Sources, *, now: datetime) -> bool:
    try:
        return _correct(tenant, row, known, now=now)
    except Exception:
        # The others must not wait for it; the next run tries it again.
        logger.exception("call could not be corrected", tenant=tenant.slug, call=row.session_id)
        return False


@transactions.atomic
def _correct(tenant: Tenant, row: EndedEvent, known: Sources, *, now: datetime) -> bool:
    call = Call.objects.locked(tenant, row.session_id)
    began_at = row.started_at or row.happened_at
    if call is None or erased_numbers.is_erased(tenant, row.contact, began_at=began_at):
        return False
    is_changed = _apply_row(call, row, known, now=now)
    return late_recordings.apply_report(call, row, known, now=now) or is_changed


def _apply_row(call: Call, row: EndedEvent, known: Sources, *, now: datetime) -> bool:
    if not _may_change(call, row):
        return False
    seen = evidence.load(call.uis_snapshot).row
    if seen is not None and not find_differences(differences.of_report(seen), row):
        return False  # It was decided on this row.
    if not call.is_done:
        return apply_event.apply_report(call, row, known, now=now)
    is_changed = reopen.reopen_on_report(call, row, known, now=now)
    # The row is evidence from now on, also where it changed nothing: the difference is settled.
    call.uis_snapshot = evidence.updated(call.uis_snapshot, row=row, legs=())
    call.save(update_fields=["uis_snapshot"])
    return is_changed


def _is_news(call: Call, row: EndedEvent) -> bool:
    """Whether the report may change the call, or has a recording that an uploaded call lacks."""
    is_lacking = call.state == State.UPLOADED and (call.awaits_recording or not getattr(call, "has_recording", True))
    return _may_change(call, row) or (is_lacking and not call.is_erased and late_recordings.tells_recording(row))


def _may_change(call: Call, row: EndedEvent) -> bool:
    """Whether the report may change the call.

    Of an upload, done or in flight, only an unknown talk matters: the CRM accepts no correction.
    """
    if call.is_erased:
        return False
    found = find_differences(_facts(call), row)
    if call.state == State.UPLOADED or (call.state == State.READY and call.claim_token is not None):
        return Difference.TALK in found
    return bool(found) and call.skip_reason != SkipReason.MANUAL


def _facts(call: Call) -> KnownFacts:
    return KnownFacts(
        has_talk=bool(call.talk_seconds)
        or call.is_answered
        or (call.is_lost is False and (call.direction == "in" or not call.result)),
        direction=call.direction,
        contact=call.contact,
        number=call.number,
        result=call.result,
        started_at=call.started_at,
    )
