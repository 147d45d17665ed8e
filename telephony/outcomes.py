"""How a call ended for the customer, as conditions that exclude each other: whoever counts calls counts by these."""

from collections.abc import Mapping

from django.db.models import Case, CharField, Q, Value, When

from telephony.models import Direction, Result

_IN, _OUT = Q(direction=Direction.IN), Q(direction=Direction.OUT)
INCOMING = _IN
ANSWERED = _IN & Q(result=Result.ANSWERED)
# The same as Call.is_missed, of a call whose legs say nothing better.
MISSED = _IN & Q(is_lost=True, talk_seconds=0) & ~Q(result=Result.ANSWERED)
REACHED = _OUT & Q(result=Result.ANSWERED)
NOT_REACHED = _OUT & ~Q(result__in=["", Result.ANSWERED])
# A call that is in none of these has not been told of to its end yet.
# Somebody talked, in either direction: the call ended so, or UIS told of a talk and not of its end yet.
TALKED = Q(result=Result.ANSWERED) | Q(result="", is_lost=False)
OUTCOMES: Mapping[str, Q] = {
    "answered": ANSWERED,
    "missed": MISSED,
    "reached": REACHED,
    "not_reached": NOT_REACHED,
}
# The name of a call's outcome, "" where it has none yet.
OUTCOME = Case(
    *(When(chosen, then=Value(name)) for name, chosen in OUTCOMES.items()),
    default=Value(""),
    output_field=CharField(),
)
