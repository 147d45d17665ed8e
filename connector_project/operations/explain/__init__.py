"""Explains why a call is in its state, for the call's page and the command."""

from datetime import datetime

from connector_project.operations.explain import diagnosis, popup_timing, timeline, warnings
from connector_project.operations.explain.data import CallData
from connector_project.operations.explain.redactor import MASKED, Redactor
from connector_project.operations.explain.types import Diagnosis, Explanation, PopupTiming, TimelineEntry
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


def explain_data(facts: CallData, redactor: Redactor) -> Explanation:
    """Explain loaded data; no queries."""
    redactor = redactor.on(facts.call.contact)
    return Explanation(
        diagnosis=diagnosis.diagnose(facts, redactor),
        next=diagnosis.next_step(facts),
        next_at=diagnosis.next_at(facts),
        warnings=warnings.find_warnings(facts, redactor),
        timeline=timeline.build_timeline(facts, redactor),
        popups=popup_timing.popup_timings(facts, redactor),
    )
