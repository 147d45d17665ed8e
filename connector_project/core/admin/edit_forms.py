"""Forms of rows that others change too: only changed columns are written, and a change of somebody else is kept.

A page carries a fingerprint of each value it showed. What the person left alone follows the row; where both changed the
same field, the form is invalid and says what it is now. Pages saved again after that replace it. A page without
fingerprints is refused: nobody knows what it showed.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin import field_values, fingerprints
from connector_project.core.check_results import Text

LONGEST_KEY = 300
OPENED = "_opened"  # the hidden input with the fingerprints: {form: {field: fingerprint}}
NO_FINGERPRINTS = _(
    "This page does not say which values it showed. Nothing is saved. Check the values, and save again."
)


class SecretField(forms.CharField):
    """A write-only key: if the field is left empty, the stored key stays."""

    def __init__(self, **kwargs: Any) -> None:
        # A model form passes the widget and the length of a text column.
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"})
        super().__init__(**kwargs | {"required": False, "widget": widget, "max_length": LONGEST_KEY})

    def clean(self, value: Any) -> Any:
        cleaned = str(super().clean(value))
        if not cleaned.isascii() or any(character.isspace() for character in cleaned):
            raise ValidationError(gettext("The key contains a space or a non-Latin letter. Copy it again."))
        return cleaned


class MergingForm(forms.BaseForm):
    """Merges what a person typed with what has changed since they opened the page."""

    # Of an address, the field of its key: one typed for this address must not be stored with one of somebody else.
    key_for: ClassVar[Mapping[str, str]] = {}

    def opened_as(self) -> str:
        """Return the name of this form's row in the page; "" for a new row, which nobody else can change."""
        raise NotImplementedError  # Abstract: forms have a metaclass of their own, so this is no ABC.

    def author_of(self, name: str) -> str:
        """Return who gave a field its present value, and when; "" if that is not known. The admin sets this."""
        return ""

    def stored_value(self, name: str) -> Any:
        """Return the value that the row has now."""
        return self.get_initial_for_field(self.fields[name], name)

    def guarded_values(self) -> dict[str, Any]:
        """Return values that the form does not edit, but that must be as they were when the page was opened."""
        return {}

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprints for the page that shows this form; a guard that failed fails again."""
        values = {name: self.stored_value(name) for name in self._typed_names()} | self.guarded_values()
        prints = {name: self._fingerprint(name, value) for name, value in values.items()}
        return prints | {name: self._opened[name] for name in self.guarded_values() if name in self._opened}

    @property
    def opened(self) -> str:
        """The content of the hidden input for a page with this form alone."""
        return dump([self])

    def conflicts(self) -> list[str]:
        """Return the fields that the person and somebody else have changed differently."""
        return self._comparison[1]

    def followed(self) -> list[str]:
        """Return what only somebody else has changed since the page was opened, a text for each field."""
        kept, _conflicts, new_keys = self._comparison
        return [self._followed_text(name) for name in self.fields if self.add_prefix(name) in kept or name in new_keys]

    def _followed_text(self, name: str) -> str:
        field, who = self.fields[name], self.author_of(name) or gettext("Somebody else")
        value = gettext("a new key") if isinstance(field, SecretField) else self._shown_value(name)
        return gettext("%(field)s: %(value)s (%(who)s)") % {"field": field.label, "value": value, "who": who}

    def is_outdated(self) -> bool:
        """Return whether the row is not, or not known to be, as the page showed it."""
        return self._lacks_fingerprints() or any(self._comparison)

    def fails_guard(self) -> bool:
        guarded = self.guarded_values().items()
        return any(self._fingerprint(name, value) != self._opened.get(name) for name, value in guarded if self._opened)

    def _widget_data_value(self, widget: forms.Widget, html_name: str) -> Any:
        kept = self._comparison[0]
        return kept[html_name] if html_name in kept else super()._widget_data_value(widget, html_name)  # type: ignore[misc]

    def _clean_fields(self) -> None:
        super()._clean_fields()  # type: ignore[misc]
        for name in self.conflicts():
            if name not in self.errors:
                self.add_error(name, self._conflict_message(name))
        for address, key in self.key_for.items():
            if (
                self.add_prefix(address) in self._comparison[0]
                and not self._is_left_empty(key)
                and key not in self.errors
            ):
                self.add_error(key, self._moved_message(address))

    def _clean_form(self) -> None:
        super()._clean_form()  # type: ignore[misc]
        if self._lacks_fingerprints():
            self.add_error(None, str(NO_FINGERPRINTS))

    def _lacks_fingerprints(self) -> bool:
        needed = {*self._typed_names(), *self.guarded_values()} if self.opened_as() else set()
        return not needed <= self._opened.keys()

    def _typed_names(self) -> list[str]:
        return [name for name, field in self.fields.items() if not field.disabled and not field.widget.is_hidden]

    def _conflict_message(self, name: str) -> str:
        field, who = self.fields[name], self.author_of(name) or gettext("Somebody else")
        if isinstance(field, SecretField):
            message = gettext("A new key since you opened this page: %(who)s. Enter yours again to replace it.")
            return message % {"who": who}
        message = gettext(
            "Changed since you opened this page: %(who)s. It is now: %(value)s. Save again to replace it."
        )
        return message % {"who": who, "value": self._shown_value(name)}

    def _moved_message(self, address: str) -> str:
        who = self.author_of(address) or gettext("Somebody else")
        message = gettext(
            "%(field)s has changed since you opened this page: %(value)s (%(who)s). Enter the key for it."
        )
        return message % {"field": self.fields[address].label, "value": self._shown_value(address), "who": who}

    def _shown_value(self, name: str) -> str:
        return field_values.shown(self.fields[name], self.stored_value(name)) or "–"

    @functools.cached_property
    def _opened(self) -> Mapping[str, str]:
        return fingerprints.parse(str(self.data.get(OPENED, ""))).get(self.opened_as(), {}) if self.is_bound else {}

    @functools.cached_property
    def _comparison(self) -> tuple[dict[str, Any], list[str], list[str]]:
        """Return the input of fields that only somebody else has changed, the fields that both have, and new keys."""
        kept: dict[str, Any] = {}
        conflicts = []
        for name in self.fields.keys() & self._opened.keys():
            stored = self.stored_value(name)
            if self._fingerprint(name, stored) == self._opened[name]:
                continue
            typed = self._typed(name)
            if typed is not None and self._fingerprint(name, typed) == self._opened[name]:
                kept[self.add_prefix(name)] = field_values.as_input(self.fields[name], stored)
            elif typed is None or fingerprints.as_text(typed) != fingerprints.as_text(stored):
                conflicts.append(name)
        new_keys = [name for name in conflicts if self._is_left_empty(name)]
        return kept, [name for name in conflicts if name not in new_keys], new_keys

    def _typed(self, name: str) -> Any:
        """Return what the person typed, as the row would store it; None if it is no valid value."""
        field, html_name = self.fields[name], self.add_prefix(name)
        raw = field.widget.value_from_datadict(self.data, self.files, html_name)
        if isinstance(field, forms.ModelChoiceField):  # Keys are compared: no query is needed.
            return raw or ""
        try:
            value = field.clean(raw)
        except ValidationError:
            return None
        return "" if value is None else field.prepare_value(value)

    def _is_left_empty(self, name: str) -> bool:
        return isinstance(self.fields[name], SecretField) and not self.data.get(self.add_prefix(name))

    def _fingerprint(self, name: str, value: Any) -> str:
        if name in self.fields:
            value = self.fields[name].prepare_value(value)
        return fingerprints.fingerprint(self.opened_as(), name, value)


class EditForm(MergingForm, forms.ModelForm[Any]):
    """Writes only the columns that the person changed, and those that `set_dependent` sets."""

    guarded: ClassVar[Sequence[str]] = ()  # fields that the form does not edit, but whose change forbids saving
    guard_message: ClassVar[Text] = ""
    is_row_of_set = False  # its formset checks what must be unique: rows may exchange values

    def opened_as(self) -> str:
        return "" if self.instance.pk is None else f"{self.instance._meta.label_lower}.{self.instance.pk}"

    def guarded_values(self) -> dict[str, Any]:
        return {name: getattr(self.instance, name) for name in self.guarded}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.fails_guard():
            self.add_error(None, str(self.guard_message))
        return cleaned

    def validate_unique(self) -> None:
        if not self.is_row_of_set:
            super().validate_unique()

    def set_dependent(self) -> Sequence[str]:
        """Set fields that follow from the changed ones; return their names."""
        return ()

    def save(self, commit: bool = True) -> Any:
        if commit and not self.errors and not self.instance._state.adding:
            self.save_changes()
            self._save_m2m()
            return self.instance
        if self.changed_data:
            self.set_dependent()
        return super().save(commit)

    def save_changes(self) -> None:
        """Write the changed columns; nothing if there are none."""
        if self.changed_data:
            columns = {field.name for field in self.instance._meta.concrete_fields}
            self.instance.save(update_fields=[*columns.intersection(self.changed_data), *self.set_dependent()])

    def _save_m2m(self) -> None:
        for field in self.instance._meta.many_to_many:
            if field.name in self.changed_data and field.name in self.cleaned_data:
                field.save_form_data(self.instance, self.cleaned_data[field.name])


def dump(shown: Sequence[MergingForm]) -> str:
    """Return the content of the hidden input for a page with these forms."""
    return json.dumps({form.opened_as(): form.fingerprints() for form in shown if form.opened_as()})
