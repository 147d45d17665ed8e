"""The filters of calls: one filter set for the call list, its exports and bulk actions, and the API."""

import re
from datetime import date

from django import forms
from django.db.models import Q, QuerySet
from django.db.models.functions import Reverse
from django.utils.translation import gettext_lazy as _
from django_filters import BaseInFilter, CharFilter, ChoiceFilter, DateFilter, ModelChoiceFilter

from connector_project.core import local_dates, phone_numbers
from connector_project.core.db_functions import in_local_days
from connector_project.core.filters import ConditionFilter, IntegerFilter, MomentFilter, PhoneFilter, StrictFilterSet
from telephony.calls import outcomes
from telephony.models import Call, Direction, FailureReason, Result, State
from telephony.models.call_queryset import MISSED
from telephony.models.choices import OPEN_STATES
from tenants.models import Employee, Tenant, VirtualNumber
from tenants.transfer_rules import SkipReason

SEARCHES = {"q", "contact"}  # may hold a customer's number
PKS = "pks"
MIN_DIGITS, MAX_DIGITS = 3, 19
LONGEST_EXTENSION, LONGEST_LOCAL = 5, 10
MAX_EMPLOYEES = 500
YEARS = range(2000, 2100)
NOTHING = Q(pk__in=[])
HAS_RECORDING = ~Q(recording_url="")  # compared in SQL, so that no link is decrypted
_PHONE = re.compile(r"(?:uis-)?[\d\s()+.–-]+", re.IGNORECASE)
_RULES = [choice for choice in SkipReason.choices if choice[0] != SkipReason.POPUP_OFF]  # it concerns pop-ups only


def search(rows: QuerySet[Call], _name: str, text: str) -> QuerySet[Call]:
    """Find a number in any form, a session id, an extension or a name."""
    condition = _of_digits(text) if _PHONE.fullmatch(text) else _of_name(text)
    return rows.alias(contact_end=Reverse("contact")).filter(condition)


def mask_search_term(text: str) -> str:
    """Return the search term with a phone number masked."""
    return phone_numbers.mask(re.sub(r"\D", "", text)) if _PHONE.fullmatch(text.strip()) else text


def of_day(rows: QuerySet[Call], _name: str, day: date) -> QuerySet[Call]:
    """Find the calls that began on this day, in their tenant's time zone."""
    if day.year not in YEARS:
        return rows.none()
    zones = Tenant.objects.order_by().values_list("time_zone", flat=True).distinct()
    return rows.filter(in_local_days("started_at", day, day + local_dates.DAY, zones=zones))


class SelectedFilter(BaseInFilter, IntegerFilter):  # type: ignore[misc]
    """Primary keys, separated by commas."""


class CallFilterSet(StrictFilterSet):
    q = CharFilter(
        label=_("Number, employee, session"),
        max_length=100,
        widget=forms.SearchInput(attrs={"autocomplete": "off"}),
        method=search,
    )
    # The parameter name that existing links to one client's calls use.
    tenant__id__exact = ModelChoiceFilter(
        "tenant", label=_("Client"), queryset=Tenant.objects.only("name").order_by("name")
    )
    day = DateFilter(
        label=_("Day"), input_formats=["%Y-%m-%d"], widget=forms.DateInput(attrs={"type": "date"}), method=of_day
    )
    direction = ChoiceFilter(label=_("Direction"), choices=Direction.choices)
    outcome = ConditionFilter(
        {
            "answered": (_("answered"), Q(result=Result.ANSWERED)),
            "missed": (_("missed"), MISSED),
            "not_reached": (_("outgoing, not answered"), outcomes.NOT_REACHED),
        },
        label=_("Answered or missed"),
    )
    status = ConditionFilter(
        {
            "waiting": (_("in progress"), Q(state__in=OPEN_STATES, failed_at=None)),
            "failed": (_("failed, needs action"), Q(state__in=OPEN_STATES, failed_at__isnull=False)),
            **{state.value: (state.label, Q(state=state)) for state in State},
        },
        label=_("State"),
    )
    reason = ChoiceFilter(label=_("Reason"), choices=[choice for choice in FailureReason.choices if choice[0]])
    rule = ChoiceFilter("skip_reason", label=_("Rule"), choices=_RULES)
    number = PhoneFilter(label=_("Our number"), help_text=_("The client's phone number in any format."))
    recording = ConditionFilter(
        {"yes": (_("with a recording"), HAS_RECORDING), "no": (_("without a recording"), ~HAS_RECORDING)},
        label=_("Recording"),
    )
    pks = SelectedFilter("pk", label=_("Selected"))
    session_id = IntegerFilter()
    started_from = MomentFilter("started_at", "gte", help_text=_("Inclusive."))
    started_till = MomentFilter("started_at", "lt", help_text=_("Exclusive."))
    result = ChoiceFilter(choices=Result.choices)
    state = ChoiceFilter(choices=State.choices)
    employee = IntegerFilter("employee__uis_id", help_text=_("UIS employee ID."))
    contact = PhoneFilter(help_text=_("The customer's phone number in any format."))


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
