"""Skips calls that left the upload window while they waited."""

import time
from collections.abc import Sequence
from datetime import datetime

from telephony.calls import pipeline
from telephony.models import Call, Step
from tenants.transfer_rules import SkipReason


def skip_expired(batch: Sequence[Call], *, now: datetime) -> list[Call]:
    """Skip claimed calls that left the upload window while they waited; return the others."""

    def skip(call: Call) -> None:
        call.skip_reason = SkipReason.EXPIRED
        call.move_to(Call.State.SKIPPED, now=now)

    old = [call for call in batch if call.is_expired(now=now)]
    if old:
        pipeline.finish_batch(old, skip, step=Step.UPLOAD, now=now, started=time.monotonic())
    return [call for call in batch if call not in old]
