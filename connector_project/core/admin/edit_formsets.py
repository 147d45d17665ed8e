"""Formsets whose rows may exchange values that are unique in the set."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext

from connector_project.core.admin.edit_forms import EditForm
from connector_project.core.check_results import Text


class EditFormSet(forms.BaseInlineFormSet[Any, Any, Any]):
    """Rows of one parent, saved by EditForms."""

    # Fields whose values are unique among the rows, and the error for a second row with the same value. Empty values
    # and False are not unique. The database checks row by row, so an exchange clears the fields first.
    unique: ClassVar[Mapping[str, Text]] = {}

    def get_queryset(self) -> Any:
        """Return the rows; of a posted page in its order, which Django expects: rows may be new, gone or renamed."""
        if not self.is_bound:
            return super().get_queryset()
        if not hasattr(self, "_posted_rows"):
            rows = {str(row.pk): row for row in super().get_queryset()}
            count = min(self.initial_form_count(), self.absolute_max)
            keys = (self.data.get(f"{self.add_prefix(index)}-{self.fk.model._meta.pk.name}") for index in range(count))
            self._posted_rows = [rows[key] for key in dict.fromkeys(keys) if key in rows]
        return self._posted_rows

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        form.is_row_of_set = True
        return form

    def clean(self) -> None:
        super().clean()
        if any(form.instance._state.adding for form in self.initial_forms) or self._has_rows_as_new():
            raise ValidationError(gettext("A row of this page no longer exists. Reload the page."))
        if outdated := [str(form.instance) for form in self.deleted_forms if form.is_outdated()]:
            message = gettext("Changed since you opened this page: %(rows)s. Check, and delete again.")
            raise ValidationError(message % {"rows": ", ".join(outdated)})

    def _has_rows_as_new(self) -> bool:
        """Return whether the page sends as new what is a row already: its counts are wrong."""
        key = self.fk.model._meta.pk.name
        if any(self.data.get(f"{form.prefix}-{key}") for form in self.extra_forms):
            return True
        is_one_per_parent = self.fk.unique and self.instance.pk and any(form.has_changed() for form in self.extra_forms)
        return bool(is_one_per_parent) and super().get_queryset().exists()

    def validate_unique(self) -> None:
        """Report values that several rows would have, rows included that the page does not show."""
        for name, message in self.unique.items():
            holders: dict[Any, list[EditForm | None]] = defaultdict(list)
            for value, form in self._values_after_saving(name):
                holders[value].append(form)
            for forms_of_value in holders.values():
                for form in forms_of_value[0 if None in forms_of_value else 1 :]:
                    if form is not None:
                        form.add_error(name, str(message))

    def save(self, commit: bool = True) -> Any:
        if commit:
            for name in self.unique:
                self._clear(name)
        return super().save(commit)

    def _values_after_saving(self, name: str) -> Iterable[tuple[Any, EditForm | None]]:
        """Yield the values of a field, those of unchanged rows first, with the form of the row if it has changed it."""
        kept = [form for form in self.forms if form not in self.deleted_forms and hasattr(form, "cleaned_data")]
        changed = [form for form in kept if _changes(form, name)]
        free = {form.instance.pk for form in (*changed, *self.deleted_forms)} - {None}
        rows = self.fk.model._default_manager.filter(**{self.fk.name: self.instance}) if self.instance.pk else ()
        stored = [(getattr(row, name), None) for row in rows if row.pk not in free]
        typed = [(form.cleaned_data.get(name), form) for form in changed]
        return [pair for pair in [*stored, *typed] if not _is_shared(pair[0])]

    def _clear(self, name: str) -> None:
        """Clear the field of the rows that leave their value to others."""
        leaving = [form.instance.pk for form in self.initial_forms if _changes(form, name)]
        leaving += [form.instance.pk for form in self.deleted_forms if form.instance.pk]
        if len(leaving) + len(self.extra_forms) > 1 and leaving:
            empty = _empty(self.fk.model._meta.get_field(name))
            self.fk.model._default_manager.filter(pk__in=leaving).update(**{name: empty})


def _changes(form: EditForm, name: str) -> bool:
    """Return whether saving the form changes this field: a form that the user may only view changes nothing."""
    return form.has_changed() and name in form.changed_data


def _empty(field: Any) -> Any:
    """Return a value that no two rows share, or that may be shared."""
    if field.null:
        return None
    if isinstance(field, models.BooleanField):
        return False
    return Concat(models.Value("-"), Cast("pk", models.CharField()))


def _is_shared(value: Any) -> bool:
    """Return whether any number of rows may have this value."""
    return value is None or value is False or value == ""
