"""Skips calls that left the upload window while they waited; requeues uploads that the CRM lost."""

import time
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from telephony import calls
from telephony.models import Call, Step
from tenants.models import Tenant
from tenants.transfer import KeptBack


def keep_back_old(batch: Sequence[Call], *, now: datetime) -> list[Call]:
    """Skip claimed calls that left the upload window while they waited; return the others."""

    def skip(call: Call) -> None:
        call.kept_back_by = KeptBack.TOO_OLD
        call.move_to(Call.State.SKIPPED, now=now)

    old = [call for call in batch if call.is_too_old(now=now)]
    if old:
        calls.finish(old, skip, step=Step.UPLOAD, now=now, began=time.monotonic())
    return [call for call in batch if call not in old]


@transaction.atomic
def upload_again(tenant: Tenant, session_ids: Sequence[int], *, now: datetime) -> int:
    """Requeue uploaded calls that the CRM lost, once each; return how many. The CRM ignores a repeat."""
    uploaded = Call.objects.filter(tenant=tenant, session_id__in=session_ids, state=Call.State.UPLOADED)
    lost = list(uploaded.exclude(history__step=Step.LOOKUP).select_for_update(of=("self",)))
    for call in lost:
        call.move_to(Call.State.READY, now=now)
        call.recorded_at, call.is_backlog, call.uploaded_at = now, True, None
        call.save()
        call.note(Step.LOOKUP, now=now)
    if lost:
        calls.nudge(lost[0], now=now)
    return len(lost)
