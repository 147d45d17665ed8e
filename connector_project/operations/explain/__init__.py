"""Explains why a call is in its state, for the call's page and the command."""

from datetime import datetime

from connector_project.operations.explain import diagnosis, popup_timing, timeline, warnings
from connector_project.operations.explain.data import (
    MASKED,
    CallData,
    Diagnosis,
    Explanation,
    PopupTiming,
    Redactor,
    TimelineEntry,
)
from telephony.models import Call

__all__ = [
    "MASKED",
    "CallData",
    "Diagnosis",
    "Explanation",
    "PopupTiming",
    "Redactor",
    "TimelineEntry",
    "explain",
    "explain_data",
]


def explain(call: Call, *, redactor: Redactor, now: datetime) -> Explanation:
    """Explain a call loaded by `Call.objects.with_related().with_history()`, in the active language."""
    return explain_data(CallData.load(call, now=now), redactor)


def explain_data(data: CallData, redactor: Redactor) -> Explanation:
    """Explain loaded data; no queries."""
    redactor = redactor.on(data.call.contact)
    return Explanation(
        diagnosis=diagnosis.diagnose(data, redactor),
        next=diagnosis.next_step(data),
        next_at=diagnosis.next_at(data),
        warnings=warnings.find_warnings(data, redactor),
        timeline=timeline.build_timeline(data, redactor),
        popups=popup_timing.popup_timings(data, redactor),
    )
