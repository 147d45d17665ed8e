"""What every page of the admin shows: rows and choices of tenants that the user may see, and nothing of the others.

The admin site adds it to each page that is registered. A hidden row answers as one that does not exist.
"""

import functools
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from connector_project.core.admin.selection import SelectedRows
from tenants.models import Tenant
from tenants.visibility import sees_all, visible_to


class VisibleRelatedFilter(admin.RelatedFieldListFilter):
    """Offers only the rows that the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        visible = visible_to(field.remote_field.model._default_manager.all(), request.user)
        if sees_all(request.user):
            return super().field_choices(field, request, model_admin)
        ordering = self.field_admin_ordering(field, request, model_admin)
        limit = {"pk__in": visible.order_by().values("pk")}
        return field.get_choices(include_blank=False, ordering=ordering, limit_choices_to=limit)


class VisibleChoices(admin.options.BaseModelAdmin[Any]):
    """Rows to choose from in a form, of a page or of an inline."""

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        ordered = super().get_field_queryset(db, db_field, request)
        rows = db_field.remote_field.model._default_manager.all() if ordered is None else ordered
        return visible_to(rows, request.user)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{"form_class": SelectedRows} | kwargs)


class VisibleAdmin(VisibleChoices, admin.ModelAdmin[Any]):
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_to(super().get_queryset(request), request.user)

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [_visible_filter(self.model, one) for one in super().get_list_filter(request)]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return [_with_visible_choices(inline) for inline in super().get_inlines(request, obj)]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """List to users with a set only what they chose: Django also lists rows that refer to it, of any tenant."""
        listed, *counts = super().get_deleted_objects(objs, request)
        return (listed if sees_all(request.user) else [str(one) for one in objs], *counts)

    def require(self, request: HttpRequest, permission: str = "", **place: Any) -> None:
        super().require(request, permission)  # type: ignore[misc]  # of BaseAdmin, whose pages call it
        if sees_all(request.user):
            return
        hidden_row = "pk" in place and not self.get_queryset(request).filter(pk=place["pk"]).exists()
        tenants = visible_to(Tenant.objects.all(), request.user)
        if hidden_row or ("tenant_id" in place and not tenants.filter(pk=place["tenant_id"]).exists()):
            raise Http404


@functools.cache
def _with_visible_choices(inline: Any) -> Any:
    return type(inline.__name__, (VisibleChoices, inline), {"__module__": inline.__module__})


def _visible_filter(model: type[models.Model], one: Any) -> Any:
    """Return a filter of a list; for the name of a relation the filter with visible choices."""
    if not isinstance(one, str) or "__" in one or not model._meta.get_field(one).is_relation:
        return one
    return (one, VisibleRelatedFilter)
