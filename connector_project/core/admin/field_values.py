"""Stored values of form fields: as an input sends them, and as a message names them."""

from typing import Any

from django import forms
from django.utils.translation import gettext


def as_input(field: forms.Field, value: Any) -> Any:
    """Return a stored value as a widget would return it from the input."""
    if isinstance(field, forms.MultiValueField):
        return field.widget.decompress(value)
    return field.prepare_value(value)


def shown(field: forms.Field, value: Any) -> str:
    """Return a stored value as a message names it."""
    if isinstance(field, forms.ModelChoiceField):
        keys = value if isinstance(value, list | tuple) else [value]
        rows = field.queryset.filter(pk__in=[getattr(one, "pk", one) for one in keys if one]) if field.queryset else ()
        return ", ".join(str(row) for row in rows)
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    prepared = field.prepare_value(value)
    return str(dict(getattr(field, "choices", ())).get(prepared, "" if prepared is None else prepared))
