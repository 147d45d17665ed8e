"""Rows that a person selects: of a list, for an action; in a form, for a field."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse

from connector_project.core.filters import LARGEST_ID


class SelectionAdmin(admin.ModelAdmin[Any]):
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Reject keys that no row can have: the database would fail on them."""
        if not all(is_possible(self.opts.pk, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest
        return super().changelist_view(request, extra_context)


class SelectedRows(forms.ModelMultipleChoiceField[Any]):
    """Rejects keys that no row can have: the query of Django's field would fail on them."""

    def clean(self, value: Any) -> Any:
        if isinstance(value, list | tuple) and self.queryset is not None:
            pk = self.queryset.model._meta.pk
            value = [key if is_possible(pk, key) else "" for key in value]
        return super().clean(value)


def is_possible(pk: Any, key: object) -> bool:
    """Return whether a row can have this primary key."""
    try:
        value = pk.to_python(key)
    except ValidationError:
        return False
    return not isinstance(pk, models.IntegerField) or value is None or 0 <= value <= LARGEST_ID
