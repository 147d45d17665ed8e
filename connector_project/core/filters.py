"""Filters of lists, over django-filter: each parameter is validated, and an unknown one is an error.

django-filter ignores unknown parameters and invalid values: the list would hold more rows than the person asked for.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, FilterSet, IsoDateTimeFilter, NumberFilter

from connector_project.core.check_results import Text

LARGEST_ID = 2**63 - 1
OFFSET = re.compile(r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$")
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class StrictForm(forms.Form):
    """Rejects unknown, empty and repeated parameters."""

    def clean(self) -> None:
        for name in self.data:
            if name not in self.fields:
                self.errors[name] = self.error_class([gettext("Unknown parameter.")])
            elif not self.data[name].strip():
                self.errors[name] = self.error_class([str(self.fields[name].error_messages["required"])])
            elif isinstance(self.data, QueryDict) and len(self.data.getlist(name)) > 1:
                self.errors[name] = self.error_class([gettext("Specify this parameter once.")])


class StrictFilterSet(FilterSet):  # type: ignore[misc]
    """A filter set that matches nothing if a parameter is invalid; `errors` says why."""

    class Meta:
        form = StrictForm

    @property
    def qs(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().qs if self.is_valid() else self.queryset.none()
        return rows


class IntegerFilter(NumberFilter):  # type: ignore[misc]
    """A whole number; by default one that an ID may have: not negative, and no larger than a BIGINT."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, min_value: int = 0, max_value: int = LARGEST_ID, **options: Any) -> None:
        super().__init__(*args, min_value=min_value, max_value=max_value, **options)


class PatternFilter(CharFilter):  # type: ignore[misc]
    """A text that matches `regex`."""

    field_class = forms.RegexField


class ConditionFilter(ChoiceFilter):  # type: ignore[misc]
    """A choice of conditions, each with its label."""

    def __init__(self, conditions: Mapping[str, tuple[Text, Q]], **options: Any) -> None:
        super().__init__(choices=[(name, label) for name, (label, _condition) in conditions.items()], **options)
        self.conditions = conditions

    def filter(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(self.conditions[value][1]) if value else rows


class AwareDateTimeField(forms.DateTimeField):
    """A datetime with a UTC offset; without one it would be ambiguous. One out of range is clamped.

    The value is in UTC: PostgreSQL rejects offsets of 16 hours and more.
    """

    def to_python(self, value: Any) -> datetime | None:
        text = (value or "").replace(" ", "+")  # An unescaped plus of the offset arrives as a space.
        if text and not OFFSET.search(text):
            raise ValidationError(_("Specify the UTC offset, for example 2026-11-01T09:00:00+03:00."))
        moment = super().to_python(text)
        return moment and max(FIRST, min(LAST, moment)).astimezone(UTC)


class MomentFilter(IsoDateTimeFilter):  # type: ignore[misc]
    field_class = AwareDateTimeField
