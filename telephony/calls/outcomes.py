"""Outcomes of calls as mutually exclusive conditions, shared by everything that counts calls."""

from collections.abc import Mapping

from django.db.models import Case, CharField, Q, Value, When

from telephony.models import Direction, Result
from telephony.models.call_queryset import MISSED

_IN, _OUT = Q(direction=Direction.IN), Q(direction=Direction.OUT)
INCOMING = _IN
ANSWERED = _IN & Q(result=Result.ANSWERED)
REACHED = _OUT & Q(result=Result.ANSWERED)
NOT_REACHED = _OUT & ~Q(result__in=["", Result.ANSWERED])
# Somebody talked, in either direction: by the result, unless a menu served the caller, or by a reported talk whose end
# is not known yet.
TALKED = Q(result=Result.ANSWERED, talk_seconds__gt=0) | Q(result="", is_lost=False)
# The end of a call that matches none of these is not known yet.
OUTCOMES: Mapping[str, Q] = {
    "answered": ANSWERED,
    "missed": MISSED,
    "reached": REACHED,
    "not_reached": NOT_REACHED,
}
# The name of a call's outcome; "" if it has none yet.
OUTCOME = Case(
    *(When(chosen, then=Value(name)) for name, chosen in OUTCOMES.items()),
    default=Value(""),
    output_field=CharField(),
)
