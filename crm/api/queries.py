"""What may be asked for: each parameter is checked, and one that is not known is refused, not overlooked."""

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


class MomentField(serializers.DateTimeField):
    """A moment with its offset; without one nobody knows whose clock is meant."""

    def to_internal_value(self, value: Any) -> datetime:
        # Whoever forgets to escape the plus of an offset sends a space.
        moment: datetime = super().to_internal_value(str(value).replace(" ", "+"))
        return moment

    def enforce_timezone(self, value: datetime) -> datetime:
        """Refuse a moment without an offset, and bring one before the first year or after the last into them."""
        if value.tzinfo is None:
            raise serializers.ValidationError(_("Write the offset, such as 2026-11-01T09:00:00+03:00."))
        try:
            return value.astimezone(UTC)
        except OverflowError:
            return FIRST if value.year == FIRST.year else LAST


class IdField(serializers.IntegerField):
    """An id: a whole number that a column can hold."""

    def __init__(self, **about: Any) -> None:
        super().__init__(min_value=0, max_value=LARGEST_ID, **about)


class PhoneField(serializers.RegexField):
    """A number in any form that has digits in it."""

    def __init__(self, **about: Any) -> None:
        super().__init__(r"^\+?[0-9][0-9 ()-]{0,30}$", **about)


class Query(serializers.Serializer[Any]):
    """What every list takes. A subclass adds fields and says in `conditions` what each of them asks for."""

    tenant = serializers.SlugField(required=False, help_text=_("The client's short name; for keys of the staff."))
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_PAGE, help_text=_("Rows a page; 100 unless said.")
    )
    cursor = serializers.CharField(required=False, help_text=_("Where the page begins; out of `next`."))

    conditions: dict[str, Callable[[Any], Q]] = {}

    @classmethod
    def read(cls, asked: QueryDict) -> Q:
        """Return the condition that is asked for. Raises ValidationError."""
        query = cls(data=asked.dict())
        wrong = {name: [gettext("Give it once.")] for name in asked if len(asked.getlist(name)) > 1}
        wrong |= {name: [gettext("There is no such parameter.")] for name in asked if name not in query.fields}
        if wrong:
            raise serializers.ValidationError(wrong)
        query.is_valid(raise_exception=True)
        chosen = Q()
        for name, value in query.validated_data.items():
            if name in cls._all_conditions():
                chosen &= cls._all_conditions()[name](value)
        return chosen

    @classmethod
    def _all_conditions(cls) -> dict[str, Callable[[Any], Q]]:
        return {"tenant": lambda slug: Q(tenant__slug=slug), **cls.conditions}
