"""Reopens calls of which UIS's report tells otherwise than the evidence that they were decided on."""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import transaction

from telephony.calls import evidence, reopen
from telephony.calls.sources import Sources
from telephony.models import Call, State
from telephony.reconciliation import differences
from telephony.reconciliation.differences import KnownFacts
from telephony.uis.types import EndedEvent
from tenants.models import Tenant
from tenants.transfer_rules import SkipReason


def find_differing(calls: Collection[Call], reported: Mapping[int, EndedEvent]) -> list[Call]:
    """Return the calls that the report may change, and whose rows it tells otherwise. One query at most.

    A call whose evidence has this row already was decided on it.
    """
    differing = [call for call in calls if _may_change(call) and _differs(_facts(call), reported[call.session_id])]
    if not differing:
        return []
    snapshots = dict(Call.objects.filter(pk__in=[call.pk for call in differing]).values_list("pk", "uis_snapshot"))
    seen = {call.pk: evidence.load(snapshots.get(call.pk, "")).row for call in differing}
    return [
        call
        for call in differing
        if (row := seen[call.pk]) is None or _differs(differences.of_report(row), reported[call.session_id])
    ]


def correct(tenant: Tenant, differing: Collection[Call], reported: Mapping[int, EndedEvent], *, now: datetime) -> int:
    """Resolve these calls anew with their rows of the report; return how many that changed.

    The caller enqueues the next steps of all its calls together, with `steps.resume_due`.
    """
    if not differing:
        return 0
    known = Sources.load(tenant, [call.session_id for call in differing])
    return sum(_correct(tenant, reported[call.session_id], known, now=now) for call in differing)


@transaction.atomic
def _correct(tenant: Tenant, row: EndedEvent, known: Sources, *, now: datetime) -> bool:
    call = Call.objects.locked(tenant, row.session_id)
    if call is None:
        return False
    is_changed = reopen.reopen_on_report(call, row, known, now=now)
    # The row is evidence from now on, also where it changed nothing: the difference is settled.
    call.uis_snapshot = evidence.updated(call.uis_snapshot, row=row, legs=())
    call.save(update_fields=["uis_snapshot"])
    return is_changed


def _may_change(call: Call) -> bool:
    return call.is_done and not (call.state == State.SKIPPED and call.skip_reason == SkipReason.MANUAL)


def _differs(known: KnownFacts, row: EndedEvent) -> bool:
    return bool(differences.find_differences(known, row))


def _facts(call: Call) -> KnownFacts:
    return KnownFacts(
        has_talk=bool(call.talk_seconds) or call.is_answered or (not call.result and call.is_lost is False),
        direction=call.direction,
        contact=call.contact,
        result=call.result,
        started_at=call.started_at,
    )
