"""Query parameters: each is validated; an unknown one is an error."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

LARGEST_ID = 2**63 - 1
LARGEST_PAGE = 500
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class AwareDateTimeField(serializers.DateTimeField):
    """A datetime with a UTC offset; without one it would be ambiguous."""

    def to_internal_value(self, value: Any) -> datetime:
        # An unescaped plus of the offset arrives as a space.
        moment: datetime = super().to_internal_value(str(value).replace(" ", "+"))
        return moment

    def enforce_timezone(self, value: datetime) -> datetime:
        """Reject a datetime without an offset, and clamp one out of range."""
        if value.tzinfo is None:
            raise serializers.ValidationError(_("Specify the UTC offset, for example 2026-11-01T09:00:00+03:00."))
        try:
            return value.astimezone(UTC)
        except OverflowError:
            return FIRST if value.year == FIRST.year else LAST


class IdField(serializers.IntegerField):
    """A non-negative integer that fits into a BIGINT column."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=LARGEST_ID, **options)


class PhoneField(serializers.RegexField):
    """A phone number in any format."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^\+?[0-9][0-9 ()-]{0,30}$", **options)


class Query(serializers.Serializer[Any]):
    """Parameters of every list. A subclass adds fields and, in `conditions`, a Q for each."""

    tenant = serializers.SlugField(required=False, help_text=_("The client's short name; for staff keys."))
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_PAGE, help_text=_("Rows per page; 100 by default.")
    )
    cursor = serializers.CharField(required=False, help_text=_("Start of the page, from `next`."))

    conditions: dict[str, Callable[[Any], Q]] = {}

    @classmethod
    def read(cls, params: QueryDict) -> Q:
        """Return the combined Q. Raises ValidationError."""
        query = cls(data=params.dict())
        errors = {name: [gettext("Specify this parameter once.")] for name in params if len(params.getlist(name)) > 1}
        errors |= {name: [gettext("Unknown parameter.")] for name in params if name not in query.fields}
        if errors:
            raise serializers.ValidationError(errors)
        query.is_valid(raise_exception=True)
        condition = Q()
        for name, value in query.validated_data.items():
            if name in cls._all_conditions():
                condition &= cls._all_conditions()[name](value)
        return condition

    @classmethod
    def _all_conditions(cls) -> dict[str, Callable[[Any], Q]]:
        return {"tenant": lambda slug: Q(tenant__slug=slug), **cls.conditions}
