"""Which columns of which tables may hold a phone number: every text of every table, read from the models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.apps import apps
from django.db import connection, models

from connector_project.core import number_forms
from connector_project.core.encrypted_fields import EncryptedTextField
from tenants.models import Tenant

# Written by packages as text in the database, though no text to Python.
_PICKLED = "PickledObjectField"
_ENCODED = {"sessions.Session"}


@dataclass(frozen=True)
class Table:
    """A table with its columns of text."""

    model: type[models.Model]
    fields: Sequence[models.Field[Any, Any]]

    @property
    def name(self) -> str:
        return self.model._meta.db_table

    @cached_property
    def has_ciphertext(self) -> bool:
        """Whether the database does not see the texts: they are encrypted or encoded."""
        is_encoded = self.model._meta.label in _ENCODED
        return is_encoded or any(isinstance(field, EncryptedTextField) or is_pickled(field) for field in self.fields)

    def rows(self, tenant: Tenant) -> models.QuerySet[Any]:
        """Return the rows of the client, and those of no client: which client they are about is unknown."""
        rows = self.model._base_manager.order_by("pk")
        path = _path_to_tenant(self.model)
        if not path:
            return rows
        of_none = models.Q((f"{path}__isnull", True))
        for field in self.model._meta.many_to_many:
            if field.related_model is Tenant:  # of several clients, named there
                of_none &= models.Q((field.name, tenant.pk)) | models.Q((f"{field.name}__isnull", True))
        return rows.filter(models.Q((path, tenant.pk)) | of_none)

    def may_contain(self, rows: models.QuerySet[Any], number: str) -> models.QuerySet[Any]:
        """Return the rows in which the digits follow each other, with anything between them, or encoded ones may do.

        Only PostgreSQL is asked: SQLite is not faster than the search itself. Encrypted rows are all searched.
        """
        if connection.vendor != "postgresql" or self.has_ciphertext:
            return rows
        names = [f"{self.name}.{field.column}" for field in self.fields]
        texts = [f"{'.'.join(map(connection.ops.quote_name, name.split('.')))}::text" for name in names]
        where = " OR ".join(f"{text} LIKE %s OR {text} ~ %s" for text in texts)
        values = [*number_forms.may_contain_sql(number)] * len(texts)
        return rows.extra(where=[f"({where})"], params=values)  # noqa: S610 -- only names of our columns are in it


def is_pickled(field: models.Field[Any, Any]) -> bool:
    return type(field).__name__ == _PICKLED


def tables() -> Iterator[Table]:
    """Yield every table that has a column of text."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy or not model._meta.managed:
            continue
        kinds = (models.CharField, models.TextField, models.JSONField)
        fields = [field for field in model._meta.concrete_fields if isinstance(field, kinds) or is_pickled(field)]
        if fields:
            yield Table(model, fields)


def _path_to_tenant(model: type[models.Model]) -> str:
    """Return the lookup of a row's client; "": the table has none."""
    if model is Tenant:
        return "pk"
    if _foreign_key(model, "tenant") is Tenant:
        return "tenant"
    for field in model._meta.fields:
        if isinstance(field, models.ForeignKey) and _foreign_key(field.related_model, "tenant") is Tenant:
            return f"{field.name}__tenant"
    return ""


def _foreign_key(model: Any, name: str) -> Any:
    return next((field.related_model for field in model._meta.fields if field.name == name), None)
