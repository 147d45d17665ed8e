"""Base classes of our admin: own titles and pages, read-only pages of rows that only code writes, filters, columns."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from connector_project.core import number_forms, phone_numbers
from connector_project.core.admin.pagination import KeysetChangeList
from connector_project.core.admin.selection import SelectionAdmin
from connector_project.core.check_results import Responsible, Text
from connector_project.core.redaction import redact
from connector_project.core.transactions import run_again_on_conflict

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def page(route: str, *, name: str, permission: str = "", post_only: bool = False) -> Callable[[View], View]:
    """Make a method of a BaseAdmin a page of its own; the route is relative to the list.

    The page is for users who may view the list, and have the permission; its `pk` is of a row of the list, its
    `tenant_id` of a client, and both must be visible to the user. If the database breaks its transaction off, it is
    made again.
    """

    def add_route(view: View) -> View:
        @functools.wraps(view)
        def checked(model_admin: "BaseAdmin", request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            model_admin.require(request, permission, **kwargs)
            if post_only and request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            return run_again_on_conflict(view, model_admin, request, **kwargs)

        vars(checked).setdefault("routes", []).append((route, name))
        return cast(View, checked)

    return add_route


class BaseAdmin(SelectionAdmin):
    """Sets its own page titles: Django's titles insert a noun into a sentence, which breaks Russian grammar."""

    title_of_new: Text = ""
    show_facets = admin.ShowFacets.NEVER

    def get_urls(self) -> list[URLPattern]:
        """Add the pages marked by `page`."""
        routes = [
            (route, name, getattr(self, attribute))
            for attribute in dir(type(self))
            for route, name in getattr(getattr(type(self), attribute), "routes", ())
        ]
        routes.sort(key=lambda own: own[:2])  # `<int:…>` comes before `<slug:…>`, which matches numbers too.
        own = [path(route, self.admin_site.admin_view(view), name=name) for route, name, view in routes]
        return [*own, *super().get_urls()]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Save again if the database broke the transaction off: all of it was undone."""
        return run_again_on_conflict(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return run_again_on_conflict(super().delete_view, request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Do the action of a list again, too, if the database broke its transaction off."""
        title = capfirst(str(self.opts.verbose_name_plural))
        context = {"title": title, **(extra_context or {})}
        return run_again_on_conflict(super().changelist_view, request, context)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow only the fields of the list's own filters.

        Django allows lookups by any field in the URL, so a user with read access could guess a secret character by
        character.
        """
        filtered = {_field_of(one) for one in self.get_list_filter(request)}
        return lookup.partition("__")[0] in filtered and super().lookup_allowed(lookup, value, request)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj")
        context["title"] = self.title_of_new if obj is None else self.title_of(obj)
        context["subtitle"] = None
        return super().render_change_form(request, context, *args, **kwargs)

    def render_page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """Return a page of this admin that is no page of Django's, with what the base templates need."""
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, shared | context)

    def ask_about(
        self, request: HttpRequest, rows: models.QuerySet[Any], *, title: Text, warnings: Sequence[Text]
    ) -> HttpResponse | None:
        """Return the confirmation of an action on the selected rows of a list; None if it was confirmed."""
        if "confirmed" in request.POST:
            return None
        return self.render_page(
            request,
            "admin/selection_confirm.html",
            title=title,
            rows=list(rows),
            warnings=warnings,
            posted=request.POST,
        )

    def require(self, request: HttpRequest, permission: str = "", **_place: Any) -> None:
        """Raise PermissionDenied unless the user may view the rows, and has the permission.

        `VisibleAdmin` also checks the place: the row or client that the page is about.
        """
        if not self.has_view_permission(request) or (permission and not request.user.has_perm(permission)):
            raise PermissionDenied

    def title_of(self, obj: Any) -> str:
        """Return the title of the page of one row."""
        return f"{capfirst(str(self.opts.verbose_name))} {obj}"


class ReadOnlyAdmin(BaseAdmin):
    """Allows no adding, changing and deleting, and never counts rows: these tables grow to millions."""

    has_change_actions = False  # users who may change rows see actions; the page of a row stays read-only
    keyset_field = ""  # the datetime field of keyset pagination, newest first
    show_full_result_count = False
    list_per_page = 50
    empty_value_display = ""  # an empty cell is clearer than a dash

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Reject Django's “select all across pages”: such a list does not offer it, and it would ask nobody."""
        if request.POST.get("select_across", "0") not in {"", "0"}:
            raise BadRequest
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList if self.keyset_field else super().get_changelist(request, **kwargs)

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return () if self.keyset_field else super().get_sortable_by(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_actions and obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _field_of(of_list: Any) -> str:
    """Return the field that one list filter reads from the URL."""
    named = of_list[0] if isinstance(of_list, tuple | list) else of_list
    return named.partition("__")[0] if isinstance(named, str) else str(named.parameter_name)


def column(model: type[models.Model], name: str, show: Callable[[Any], str]) -> Any:
    """Return a list column, or a read-only field of a page, that shows a model field as `show` formats its row."""
    field: Any = model._meta.get_field(name)

    @admin.display(description=field.verbose_name, ordering=name)
    def shown(row: Any) -> str:
        return show(row)

    shown.__name__ = name  # Becomes the CSS class of the cells.
    return shown


def masked_column(model: type[models.Model], name: str) -> Any:
    """Return the column of a phone number; full numbers are only on the page of a call."""
    return column(model, name, lambda row: phone_numbers.mask(getattr(row, name)))


def redacted_column(
    model: type[models.Model], name: str, *, contact: Callable[[Any], str] = lambda row: getattr(row, "contact", "")
) -> Any:
    """Return the column of a text that may contain secrets or phone numbers, above all the number of the row itself."""
    return column(model, name, lambda row: number_forms.mask_number(redact(getattr(row, name)), contact(row)))


def list_filter(
    label: Text,
    parameter: str,
    *,
    choices: Callable[[], Sequence[tuple[str, Text]]],
    condition: Callable[[str], models.Q],
) -> type[admin.SimpleListFilter]:
    """Return a filter of a list, with the condition of each choice; an unknown value filters nothing."""

    class ListFilter(admin.SimpleListFilter):
        title, parameter_name = label, parameter  # type: ignore[assignment]

        def lookups(self, _request: HttpRequest, _model_admin: Any) -> Any:
            return choices()

        def queryset(self, _request: HttpRequest, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
            value = self.value()
            return rows.filter(condition(value)) if value in dict(choices()) else rows

    return ListFilter


def state_label(css_class: str, label: object) -> str:
    """Return a state as a coloured label."""
    return format_html('<span class="admin-state admin-{}">{}</span>', css_class, label)


def with_responsible(text: str, responsible: Responsible) -> str:
    """Return what is wrong, and below it who must act."""
    action = _("Action: %(who)s.") % {"who": responsible.label}
    return format_html('{} <div class="admin-who">{}</div>', text, action)


def with_column_label(label: Text, value: object) -> str:
    """Return a value with the name of its column, for screens too narrow for columns."""
    return format_html('<span class="admin-label">{}: </span>{}', label, value)
