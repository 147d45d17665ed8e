"""Admin pages of rows that others change too: saved under a lock, changed columns only."""

import contextlib
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.http import HttpRequest, HttpResponse

from connector_project.core.admin import edit_forms
from connector_project.core.admin.edit_forms import EditForm
from connector_project.core.admin.selection import SelectionAdmin


class EditAdmin(SelectionAdmin):
    """Saves the page of one row; `ConnectorAdminSite` adds it to every page that can be saved."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        if not change or issubclass(form, EditForm):
            return form
        return type(form)(form.__name__, (EditForm, form), {})  # a form of Django's or a library's

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

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("obj") is not None and self.has_change_permission(request, kwargs["obj"]):
            inlines = (inline.formset.forms for inline in context["inline_admin_formsets"])
            shown = [context["adminform"].form, *(form for forms in inlines for form in forms)]
            context["opened"] = edit_forms.dump([form for form in shown if isinstance(form, EditForm)])
        return super().render_change_form(request, context, *args, **kwargs)

    @transaction.atomic
    def _save_page(self, request: HttpRequest, object_id: str | None, form_url: str, extra: Any) -> HttpResponse:
        if object_id is not None:
            self._lock(request, unquote(object_id))
        return super().changeform_view(request, object_id, form_url, extra)

    def _lock(self, request: HttpRequest, object_id: str) -> None:
        """Lock the row, then the rows of its inlines by primary key: the order of everybody who locks several."""
        try:
            pk = self.opts.pk.to_python(object_id)
        except ValidationError:
            return  # Django answers that there is no such row.
        _lock_rows(self.model._default_manager.filter(pk=pk))
        for inline in self.get_inline_instances(request, self.model(pk=pk)):
            _lock_rows(inline.model._default_manager.filter(**{_parent_field(inline, self.model): pk}))


def _lock_rows(rows: models.QuerySet[Any]) -> None:
    """Lock rows without blocking inserts of rows that refer to them."""
    list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def _parent_field(inline: Any, parent: type[models.Model]) -> str:
    names = (field.name for field in inline.model._meta.concrete_fields if field.related_model is parent)
    return str(inline.fk_name or next(names))
