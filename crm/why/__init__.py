"""Why a call stands where it stands: one explanation out of the rows, for the page and the command alike."""

from datetime import datetime

from crm.why import cards, lines, remarks, verdict
from crm.why.eyes import MASKED, Eyes
from crm.why.facts import Facts
from crm.why.types import CardTimes, Explanation, Line, Verdict
from telephony.models import Call

__all__ = ["MASKED", "CardTimes", "Explanation", "Eyes", "Facts", "Line", "Verdict", "explain", "explain_facts"]


def explain(call: Call, *, eyes: Eyes, now: datetime) -> Explanation:
    """Return the explanation of a call out of `Call.objects.whole().with_history()`, in the language that is active."""
    return explain_facts(Facts.of(call, now=now), eyes)


def explain_facts(facts: Facts, eyes: Eyes) -> Explanation:
    """Return what the facts amount to. Asks nothing of anybody."""
    eyes = eyes.on(facts.call.contact)
    return Explanation(
        verdict=verdict.of(facts, eyes),
        next=verdict.next_step(facts),
        next_at=verdict.next_at(facts),
        remarks=remarks.of(facts, eyes),
        lines=lines.of(facts, eyes),
        cards=cards.of(facts, eyes),
    )
