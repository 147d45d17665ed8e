"""Explains why a call is in its state, for the call's page and the command."""

from datetime import datetime

from connector_project.operations.explain import diagnosis, sent_requests, timeline
from connector_project.operations.explain.data import CallData, Redactor
from connector_project.operations.explain.parts import Explanation
from telephony.models import Call


def explain(call: Call, *, redactor: Redactor, now: datetime) -> Explanation:
    """Explain a call loaded by `Call.objects.with_related().with_history()`, in the active language."""
    data = CallData.load(call, redactor=redactor, now=now)
    next_step, next_at = diagnosis.next_step(data)
    return Explanation(
        diagnosis=diagnosis.diagnose(data),
        next=next_step,
        next_at=next_at,
        warnings=diagnosis.find_warnings(data),
        timeline=timeline.build_timeline(data),
        popups=timeline.popup_timings(data),
        requests=sent_requests.build(data),
    )
