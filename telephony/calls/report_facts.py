"""Waits for the row of UIS's report where the field map needs what only the report may tell of a call."""

from collections.abc import Collection
from datetime import datetime, timedelta

from telephony.calls import attribution
from telephony.calls.attribution import Origin
from telephony.models import Call
from telephony.uis import call_facts
from tenants.field_map.facts import Fact
from tenants.field_map.targets import Record
from tenants.rules import Rules

PAUSES_SECONDS = (15, 60, 120)
# What notifications tell is not waited for: where a client's template lacks it, it may come with the row or not at all.
_TOLD_BY_REPORT = frozenset(
    Fact(code) for code, known in call_facts.ATTRIBUTION.items() if known.column and (known.static or not known.macros)
)
_OF_NUMBERS = frozenset(Fact(code) for code, known in call_facts.ATTRIBUTION.items() if known.static)


def deadline(call: Call) -> datetime:
    """Return when the call is uploaded without what the report has not told."""
    return call.ended_at + timedelta(minutes=call.tenant.rules.report_wait_minutes)


def is_awaited(call: Call, *, now: datetime) -> bool:
    """Whether the upload waits for the row: it may tell a fact that the field map needs and nobody has told."""
    needed = needed_facts(call.tenant.rules)
    return bool(needed) and now < deadline(call) and bool(missing(call, needed))


def needed_facts(rules: Rules) -> frozenset[Fact]:
    """Return what the field map may need of the report; nothing if the upload never waits for it."""
    if not (rules.field_map.rows and rules.report_wait_minutes):
        return frozenset()
    return rules.field_map.needs(Record.UPLOAD) & _TOLD_BY_REPORT


def missing(call: Call, needed: Collection[Fact]) -> set[Fact]:
    """Return what the report may still tell: nothing once its row was read, whatever it told.

    Where the virtual number tells something, it tells all that its campaign has.
    """
    known = attribution.from_columns(attribution.columns_of(call))
    origins = {fact.origin for fact in known.values()}
    if Origin.REPORT in origins:
        return set()
    settled = _OF_NUMBERS if Origin.STATIC in origins else frozenset()
    return {fact for fact in needed if fact not in known and fact not in settled}


def next_check_at(call: Call, *, now: datetime) -> datetime:
    """Return when UIS is asked again; at the deadline at the latest."""
    pause = PAUSES_SECONDS[min(call.attempts, len(PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), deadline(call))
