"""Skips calls that left the upload window while they waited."""

from collections.abc import Sequence
from datetime import datetime

from telephony.calls import step_outcomes
from telephony.calls.step_outcomes import Moved, Timer
from telephony.models import Call, State, Step
from tenants.transfer_rules import SkipReason


def skip_expired(batch: Sequence[Call], *, now: datetime) -> list[Call]:
    """Skip claimed calls that left the upload window while they waited; return the others."""
    skipped = Moved(state=State.SKIPPED, changes={"skip_reason": SkipReason.EXPIRED})
    old = [call for call in batch if call.is_expired(now=now)]
    if old:
        step_outcomes.finish([(call, skipped) for call in old], Step.UPLOAD, timer=Timer(), now=now)
    return [call for call in batch if call not in old]
