"""Lists that are searched by a customer's number."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.operations.admin.call_list import searches
from telephony import number_search


class NumberSearchAdmin(ReadOnlyAdmin):
    """Also finds the number in the field `contact`."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        found, is_doubled = super().get_search_results(request, queryset, search_term)
        text = number_search.cleaned(search_term)
        if not number_search.is_number(text):
            return found, is_doubled
        try:
            if not (len(text) > number_search.SHOWN_DIGITS and found.exists()):  # It is no session.
                number_search.require_searchable(text, request.user)
                if number_search.is_complete(text):
                    searches(request).admit(text)
        except ValidationError as exc:
            messages.error(request, " ".join(exc.messages))
            return queryset.none(), False
        return found | queryset.filter(_contact(text, request.user)), is_doubled


def _contact(text: str, user: Any) -> Q:
    return number_search.condition(text, user, ends_with=lambda digits: Q(contact__endswith=digits))
