"""Filters of the call log as conditions, for the list and for bulk actions.

A filter is a name and a value from the list's query string; an invalid value matches nothing.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.db.models.functions import Reverse

from connector_project.core import local_dates, phone_numbers
from telephony.models import Call, Direction, FailureReason, Result, State
from telephony.models.call_queryset import MISSED
from telephony.models.choices import OPEN_STATES
from tenants.models import Employee, Tenant, VirtualNumber
from tenants.transfer_rules import SkipReason

SEARCH = "q"
TENANT = "tenant__id__exact"
PKS = "pks"
MIN_DIGITS, MAX_DIGITS = 3, 19
LONGEST_EXTENSION, LONGEST_LOCAL = 5, 10
MAX_EMPLOYEES = 500
YEARS = range(2000, 2100)
NOTHING = Q(pk__in=[])
_PHONE = re.compile(r"(?:uis-)?[\d\s()+.–-]+", re.IGNORECASE)
STATUSES: Mapping[str, Q] = {
    "failed": Q(state__in=OPEN_STATES, failed_at__isnull=False),
    "waiting": Q(state__in=OPEN_STATES, failed_at=None),
    **{state.value: Q(state=state) for state in State},
}
OUTCOMES: Mapping[str, Q] = {
    "answered": Q(result=Result.ANSWERED),
    "missed": MISSED,
    "not_reached": Q(direction=Direction.OUT) & ~Q(result__in=["", Result.ANSWERED]),
}
RECORDINGS: Mapping[str, Q] = {"yes": ~Q(recording_url=""), "no": Q(recording_url="")}


def matching_calls(chosen: Mapping[str, str], rows: QuerySet[Call] | None = None) -> QuerySet[Call]:
    """Return the calls that match all filters; unknown names are ignored."""
    found = Call.objects.all() if rows is None else rows
    found = found.alias(contact_end=Reverse("contact"))
    for name, value in filters(chosen).items():
        found = found.filter(FILTERS[name](value))
    return found


def filters(query: Mapping[str, object]) -> dict[str, str]:
    """Return the known filters that are set; an empty `pks` is kept, as it matches nothing."""
    known = {name: strip_nul(value) for name, value in query.items() if name in FILTERS}
    return {name: value for name, value in known.items() if value or name == PKS}


def strip_nul(value: object) -> str:
    """Remove NUL, which PostgreSQL rejects in text."""
    return str(value).replace("\0", "")


def search_condition(text: str) -> Q:
    """Return the condition for a search term: a number in any form, a session id, an extension or a name."""
    text = text.strip()
    if not text:
        return Q()
    return _of_digits(text) if _PHONE.fullmatch(text) else _of_name(text)


def mask_search_term(text: str) -> str:
    """Return the search term with a phone number masked."""
    return phone_numbers.mask(re.sub(r"\D", "", text)) if _PHONE.fullmatch(text.strip()) else text


def of_day(text: str) -> Q:
    """Return the condition that a call began on this day, in its tenant's time zone."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return NOTHING
    spans = {zone: _span(day, zone) for zone in _zones()} if day.year in YEARS else {}
    each = NOTHING
    for zone, (begin, end) in spans.items():
        each |= Q(tenant__time_zone=zone, started_at__gte=begin, started_at__lt=end)
    if not spans:
        return NOTHING
    # Redundant, but lets the database use an index.
    begins, ends = zip(*spans.values(), strict=True)
    return Q(started_at__gte=min(begins), started_at__lt=max(ends)) & each


def of_pks(text: str) -> Q:
    """Return the condition for selected calls, given as comma-separated primary keys."""
    return Q(pk__in=[int(pk) for pk in text.split(",") if pk.isdecimal() and len(pk) < MAX_DIGITS])


def _of_digits(text: str) -> Q:
    """Match a number by its last digits, in any form; the same digits may be a session id.

    A leading 8 of a Russian number stands for +7.
    """
    digits = re.sub(r"\D", "", text)
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return NOTHING
    if own := _caller_id_number(digits):
        # One tenant's number may be another's customer. Checked first, as the combined condition is slow.
        is_customer = Call.objects.filter(contact__in=own).exists()
        return Q(number__in=own) | Q(contact__in=own) if is_customer else Q(number__in=own)
    found = _ends_with(digits)
    if len(digits) == 11 and digits.startswith("8") and "+" not in text:
        found |= _ends_with("7" + digits[1:])
    if int(digits) < 2**63:
        found |= Q(session_id=int(digits))
    if len(digits) <= LONGEST_EXTENSION:
        found |= Q(employee__in=_people(Q(extension=digits)))
    return found


def _caller_id_number(digits: str) -> list[str]:
    """Return the virtual number that is meant, if any: customers' numbers are then not searched by suffix."""
    if len(digits) < LONGEST_LOCAL:
        return []
    known = VirtualNumber.objects.filter(number__in={digits, "7" + digits[-LONGEST_LOCAL:]})
    return list(known.order_by().values_list("number", flat=True).distinct())


def _ends_with(digits: str) -> Q:
    """Match the indexed reversed number by a range, which every database can look up."""
    first = digits[::-1]
    stripped = first.rstrip("9")
    if not stripped:
        return Q(contact_end__gte=first)
    return Q(contact_end__gte=first, contact_end__lt=stripped[:-1] + str(int(stripped[-1]) + 1))


def _of_name(text: str) -> Q:
    # Not icontains: SQLite ignores case for Latin letters only.
    named = Q()
    for part in text.split()[:5]:
        named &= Q(full_name__iregex=re.escape(part))
    return Q(employee__in=_people(named))


def _people(chosen: Q) -> list[int]:
    return list(Employee.objects.filter(chosen).order_by().values_list("pk", flat=True)[:MAX_EMPLOYEES])


def _zones() -> list[str]:
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def _span(day: date, zone: str) -> tuple[datetime, datetime]:
    here = ZoneInfo(zone)
    return local_dates.begin(day, zone=here), local_dates.begin(day + local_dates.DAY, zone=here)


def _one_of(field: str, known: object) -> Callable[[str], Q]:
    return lambda value: Q(**{field: value}) if value in known else NOTHING  # type: ignore[operator]


def _named(conditions: Mapping[str, Q]) -> Callable[[str], Q]:
    return lambda value: conditions.get(value, NOTHING)


def _number(value: str) -> Q:
    digits = {phone_numbers.normalise(value, is_russian=is_russian) for is_russian in (True, False)}
    return Q(number__in=digits) if all(digits) else NOTHING


def _client(value: str) -> Q:
    return Q(tenant=int(value)) if value.isdecimal() and len(value) < MAX_DIGITS else NOTHING


FILTERS: Mapping[str, Callable[[str], Q]] = {
    TENANT: _client,
    "day": of_day,
    "direction": _one_of("direction", set(Direction.values)),
    "outcome": _named(OUTCOMES),
    "status": _named(STATUSES),
    "reason": _one_of("reason", set(FailureReason.values) - {""}),
    "rule": _one_of("skip_reason", set(SkipReason.values)),
    "number": _number,
    "recording": _named(RECORDINGS),
    PKS: of_pks,
    SEARCH: search_condition,
}
