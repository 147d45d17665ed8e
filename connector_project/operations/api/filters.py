"""Parameters that the list of every resource has, and how the schema describes them."""

from copy import deepcopy
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter
from drf_spectacular.contrib.django_filters import DjangoFilterExtension

from connector_project.core.filters import IntegerFilter, PatternFilter
from tenants.visible_filters import ReaderFilterSet

LARGEST_PAGE = 500


def _of_page(rows: QuerySet[Any], _name: str, _value: Any) -> QuerySet[Any]:
    """Leave the rows to the pagination."""
    return rows


class ResourceFilterSet(ReaderFilterSet):
    tenant = PatternFilter(
        "tenant__slug", regex=r"^[-a-zA-Z0-9_]+$", help_text=_("The client's short name; for staff keys.")
    )
    page_size = IntegerFilter(
        min_value=1, max_value=LARGEST_PAGE, method=_of_page, help_text=_("Rows per page; 100 by default.")
    )
    cursor = CharFilter(method=_of_page, help_text=_("Start of the page, from `next`."))


class ParameterExtension(DjangoFilterExtension):  # type: ignore[no-untyped-call]
    """Adds limits and patterns, which drf-spectacular leaves out, to the schema."""

    priority = 1

    def resolve_filter_field(
        self, auto_schema: Any, model: Any, filterset_class: Any, field_name: str, filter_field: Any
    ) -> Any:
        filter_field = deepcopy(filter_field)  # It caches its form field.
        [parameter] = super().resolve_filter_field(  # type: ignore[no-untyped-call]
            auto_schema, model, filterset_class, field_name, filter_field
        )
        match filter_field.field:
            case forms.IntegerField(min_value=least, max_value=most):
                parameter["schema"] = {"type": "integer", "format": "int64", "minimum": least, "maximum": most}
            case forms.RegexField(regex=regex):
                parameter["schema"]["pattern"] = regex.pattern
            case forms.CharField():
                parameter["schema"]["minLength"] = 1
        return [parameter]
