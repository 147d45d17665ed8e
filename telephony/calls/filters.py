"""The filters of calls: one filter set for the call list, its exports and bulk actions, and the API."""

import re
from datetime import date
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.db.models.functions import Reverse
from django.utils.translation import gettext_lazy as _
from django_filters import BaseInFilter, CharFilter, ChoiceFilter, DateFilter

from connector_project.core import local_dates, phone_numbers, phone_texts
from connector_project.core.db_functions import in_local_days
from connector_project.core.filters import LARGEST_ID, ConditionFilter, IntegerFilter, MomentFilter, PatternFilter
from telephony import number_search
from telephony.calls import outcomes
from telephony.models import Call, Direction, FailureReason, Result, State
from telephony.models.call_queryset import MISSED
from telephony.models.choices import OPEN_STATES
from tenants import rule_labels
from tenants.models import Employee, Tenant, VirtualNumber
from tenants.transfer_rules import SkipReason
from tenants.visibility import NOTHING, visible_to
from tenants.visible_filters import ReaderFilterSet, TenantChoiceFilter

SEARCHES = {"q", "contact"}  # may hold a customer's number
PKS = "pks"
LONGEST_EXTENSION, LONGEST_LOCAL = 5, 10
MAX_EMPLOYEES = 500
YEARS = range(2000, 2100)
HAS_RECORDING = ~Q(recording_url="")  # compared in SQL, so that no link is decrypted
_PHONE = re.compile(r"(?:uis-)?[\d\s()+.–-]+", re.IGNORECASE)
_RULES = [
    choice for choice in rule_labels.skip_reasons() if choice[0] != SkipReason.POPUP_OFF
]  # it concerns pop-ups only


def mask_search_term(text: str) -> str:
    """Return the search term with a phone number masked, by itself or beside a name."""
    return phone_numbers.mask(re.sub(r"\D", "", text)) if _PHONE.fullmatch(text.strip()) else phone_texts.mask(text)


def of_day(rows: QuerySet[Call], _name: str, day: date) -> QuerySet[Call]:
    """Find the calls that began on this day, in their tenant's time zone."""
    if day.year not in YEARS:
        return rows.none()
    zones = Tenant.objects.order_by().values_list("time_zone", flat=True).distinct()
    return rows.filter(in_local_days("started_at", day, day + local_dates.DAY, zones=zones))


class SelectedFilter(BaseInFilter, IntegerFilter):  # type: ignore[misc]
    """Primary keys, separated by commas."""


class PhoneFilter(PatternFilter):
    """A phone number in any format; for a `ReaderFilterSet`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # An unescaped plus arrives as a space.
        super().__init__(*args, lookup_expr="in", regex=r"^\+?\(?[0-9][0-9 ().–-]{0,30}$", strip=True, **options)

    def filter(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        numbers = number_search.possible_numbers(value, self.parent.reader) if value else None
        found: QuerySet[Any] = super().filter(rows, numbers)
        return found


class CallFilterSet(ReaderFilterSet):
    """The reader's rights also decide which digits of a number may be searched for."""

    session = ""  # the digits that turned out to be a session id: they are then no number, and not logged as one

    @property
    def form(self) -> Any:
        is_new = not hasattr(self, "_form")
        form = super().form
        for name, check in {"q": self._check_term, "contact": self._check_contact}.items():
            if is_new and name in form.fields:
                form.fields[name].validators.append(check)
        return form

    q = CharFilter(
        label=_("Number, employee, session"),
        max_length=100,
        widget=forms.SearchInput(attrs={"autocomplete": "off"}),
        method="search",
    )
    # The parameter name that existing links to one client's calls use.
    tenant__id__exact = TenantChoiceFilter("tenant", label=_("Client"))
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

    def search(self, rows: QuerySet[Call], _name: str, text: str) -> QuerySet[Call]:
        """Find a number in any form, a session id, an extension or a name."""
        text = number_search.cleaned(text)
        condition = self._of_digits(text) if _PHONE.fullmatch(text) else self._of_name(text)
        return rows.alias(contact_end=Reverse("contact")).filter(condition)

    def _check_term(self, text: str) -> None:
        """Raise ValidationError for a number that may not be searched for; log a complete one that may."""
        text = number_search.cleaned(text)
        if not number_search.is_number(text) or self._names_row(number_search.digits_of(text)):
            return
        self._check_number(text)

    def _check_number(self, text: str) -> None:
        number_search.require_searchable(text, self.reader)
        if number_search.is_complete(text) and self.admit is not None:
            self.admit(text)

    def _check_contact(self, text: str) -> None:
        """The same for a filter by the whole number; an internal number is shown to everybody."""
        if len(number_search.digits_of(text)) > phone_numbers.LONGEST_INTERNAL:
            self._check_number(text)

    def _names_row(self, digits: str) -> bool:
        """Return whether digits that are too many for the end of a number are an extension or a session id."""
        if len(digits) <= number_search.SHOWN_DIGITS or not _is_id(digits):
            return False
        if len(digits) <= LONGEST_EXTENSION and self._people(Q(extension=digits)):
            return True
        is_session = visible_to(Call.objects.filter(session_id=int(digits)), self.reader).exists()
        self.session = digits if is_session else ""
        return is_session

    def _of_digits(self, text: str) -> Q:
        """Match a number by its last digits, in any form; the same digits may be a session id."""
        digits = number_search.digits_of(text)
        if own := self._caller_id_number(digits):
            # One tenant's number may be another's customer. Checked first, as the combined condition is slow.
            is_customer = visible_to(Call.objects.filter(contact__in=own), self.reader).exists()
            return Q(number__in=own) | Q(contact__in=own) if is_customer else Q(number__in=own)
        is_number = digits != self.session or not number_search.is_complete(text)
        found = number_search.condition(text, self.reader, ends_with=_ends_with) if is_number else NOTHING
        if len(digits) >= number_search.MIN_DIGITS and _is_id(digits):
            found |= Q(session_id=int(digits))
            if len(digits) <= LONGEST_EXTENSION:
                found |= Q(employee__in=self._people(Q(extension=digits)))
        return found

    def _caller_id_number(self, digits: str) -> list[str]:
        """Return the virtual number that is meant, if any: customers' numbers are then not searched by suffix."""
        if not LONGEST_LOCAL <= len(digits) <= number_search.MAX_DIGITS:
            return []
        meant = {digits, "7" + digits[-LONGEST_LOCAL:]}
        known = visible_to(VirtualNumber.objects.filter(number__in=meant), self.reader)
        return list(known.order_by().values_list("number", flat=True).distinct())

    def _of_name(self, text: str) -> Q:
        named = Q()
        for part in text.split()[:5]:
            named &= number_search.name_condition(part, self.reader)
        return Q(employee__in=self._people(named))

    def _people(self, chosen: Q) -> list[int]:
        people = visible_to(Employee.objects.filter(chosen), self.reader)
        return list(people.order_by().values_list("pk", flat=True)[:MAX_EMPLOYEES])


def _is_id(digits: str) -> bool:
    return 0 < len(digits) <= number_search.MAX_DIGITS and int(digits) <= LARGEST_ID


def _ends_with(digits: str) -> Q:
    """Match the indexed reversed number by a range, which every database can look up."""
    first = digits[::-1]
    stripped = first.rstrip("9")
    if not stripped:
        return Q(contact_end__gte=first)
    return Q(contact_end__gte=first, contact_end__lt=stripped[:-1] + str(int(stripped[-1]) + 1))
