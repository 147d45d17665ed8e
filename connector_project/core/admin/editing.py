"""Admin pages of rows that others change too: saved under a lock, changed columns only."""

import contextlib
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.db import IntegrityError, models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext

from connector_project.core.admin import edit_forms
from connector_project.core.admin.edit_forms import EditForm
from connector_project.core.admin.selection import SelectionAdmin, is_possible


class EditAdmin(SelectionAdmin):
    """Saves the page of one row; `ConnectorAdminSite` adds it to every page that can be saved."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        if not change:
            return form
        if not issubclass(form, EditForm):  # a form of Django's or a library's
            form = type(form)(form.__name__, (EditForm, form), {})
        form.author_of = self.admin_site.author_of  # type: ignore[attr-defined]
        return form

    def get_formsets_with_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        for formset, inline in super().get_formsets_with_inlines(request, obj):
            formset.form.author_of = self.admin_site.author_of  # type: ignore[attr-defined]
            yield formset, inline

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Save under a lock. A lost race for a unique value is repeated once: then the form finds the other row."""
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with contextlib.suppress(IntegrityError):
            return self._save_page(request, object_id, form_url, extra_context)
        return self._save_page(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            form.save_changes()
        else:
            super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change:
            _tell_what_others_changed(request, [form, *(row for rows in formsets for row in rows.forms)])

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("obj") is not None and self.has_change_permission(request, kwargs["obj"]):
            inlines = (inline.formset.forms for inline in context["inline_admin_formsets"])
            forms = [context["adminform"].form, *(form for forms in inlines for form in forms)]
            shown = [form for form in forms if isinstance(form, EditForm)]
            context["opened"] = edit_forms.dump(shown)
            _tell_what_others_changed(request, shown)
        return super().render_change_form(request, context, *args, **kwargs)

    @transaction.atomic
    def _save_page(self, request: HttpRequest, object_id: str | None, form_url: str, extra: Any) -> HttpResponse:
        if object_id is not None:
            self._lock(request, unquote(object_id))
        return super().changeform_view(request, object_id, form_url, extra)

    def _lock(self, request: HttpRequest, object_id: str) -> None:
        """Lock the row, then the rows of its inlines by primary key: the order of everybody who locks several."""
        if not is_possible(self.opts.pk, object_id):
            return  # Django answers that there is no such row.
        pk = self.opts.pk.to_python(object_id)
        _lock_rows(self.model._default_manager.filter(pk=pk))
        for inline in self.get_inline_instances(request, self.model(pk=pk)):
            _lock_rows(inline.model._default_manager.filter(**{_parent_field(inline, self.model): pk}))


def _tell_what_others_changed(request: HttpRequest, forms: Iterable[EditForm]) -> None:
    """Show what others have changed since the page was opened, and what is kept of it: all of it."""
    changed = [f"{form.instance}: {text}" for form in forms if form.is_bound for text in form.followed()]
    if changed:
        message = gettext("Others have changed this page since you opened it; what they changed is kept:")
        messages.info(request, format_html("{} {}", message, "; ".join(changed)))


def _lock_rows(rows: models.QuerySet[Any]) -> None:
    """Lock rows without blocking inserts of rows that refer to them."""
    list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def _parent_field(inline: Any, parent: type[models.Model]) -> str:
    names = (field.name for field in inline.model._meta.concrete_fields if field.related_model is parent)
    return str(inline.fk_name or next(names))
