"""Explains why a call is in its state, for the call's page and the command."""

from datetime import datetime

from crm.why import cards, lines, remarks, verdict
from crm.why.eyes import MASKED, Eyes
from crm.why.facts import Facts
from crm.why.types import CardTimes, Explanation, Line, Verdict
from telephony.models import Call

__all__ = ["MASKED", "CardTimes", "Explanation", "Eyes", "Facts", "Line", "Verdict", "explain", "explain_facts"]


def explain(call: Call, *, redactor: Eyes, now: datetime) -> Explanation:
    """Explain a call loaded by `Call.objects.with_related().with_history()`, in the active language."""
    return explain_facts(Facts.of(call, now=now), redactor)


def explain_facts(facts: Facts, redactor: Eyes) -> Explanation:
    """Explain loaded data; no queries."""
    redactor = redactor.on(facts.call.contact)
    return Explanation(
        verdict=verdict.of(facts, redactor),
        next=verdict.next_step(facts),
        next_at=verdict.next_at(facts),
        remarks=remarks.of(facts, redactor),
        lines=lines.of(facts, redactor),
        cards=cards.of(facts, redactor),
    )
