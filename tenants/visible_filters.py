"""Filter sets for one reader: choices that are rows are those that the reader may see."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import ModelChoiceFilter

from connector_project.core.filters import StrictFilterSet
from tenants.models import Tenant
from tenants.visibility import Reader, visible_to


class ReaderFilterSet(StrictFilterSet):
    """`admit` is called with each whole number that is searched for; it logs it, or raises an error."""

    def __init__(
        self, *args: Any, reader: Reader = None, admit: Callable[[str], None] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.reader, self.admit = reader, admit


class TenantChoiceFilter(ModelChoiceFilter):  # type: ignore[misc]
    """A client; for a `ReaderFilterSet`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("queryset", Tenant.objects.only("name").order_by("name"))
        super().__init__(*args, **options)

    def get_queryset(self, request: HttpRequest | None) -> QuerySet[Tenant]:
        return visible_to(super().get_queryset(request), self.parent.reader)
