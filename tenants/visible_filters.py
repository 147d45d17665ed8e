"""Filter sets for one reader: choices that are rows are those that the reader may see."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import ModelChoiceFilter

from connector_project.core.filters import StrictFilterSet
from tenants import home_region
from tenants.models import Tenant, UisConnection
from tenants.visibility import Reader, visible_to


class ReaderFilterSet(StrictFilterSet):
    """`admit` is called with each whole number that is searched for; it logs it, or raises an error."""

    def __init__(
        self, *args: Any, reader: Reader = None, admit: Callable[[str], None] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.reader, self.admit = reader, admit


def home_regions(reader: Reader) -> set[str]:
    """Return the home countries of the reader's clients. One query."""
    clients = visible_to(UisConnection.objects.order_by(), reader)
    columns = ("tenant__home_country", "tenant__time_zone", "time_zone", "brand")
    found = clients.values_list(*columns).distinct()
    return {chosen or home_region.default(zone, uis_zone, brand) for chosen, zone, uis_zone, brand in found}


class TenantChoiceFilter(ModelChoiceFilter):  # type: ignore[misc]
    """A client; for a `ReaderFilterSet`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("queryset", Tenant.objects.only("name").order_by("name"))
        super().__init__(*args, **options)

    def get_queryset(self, request: HttpRequest | None) -> QuerySet[Tenant]:
        return visible_to(super().get_queryset(request), self.parent.reader)
