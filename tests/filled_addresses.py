"""Finds the address of every page in the URLconf and the admin's registry, filled with rows that exist.

A new page is found by itself. If one of its parameters has no value here, `find` raises CannotFill, and the tests that
visit every page fail.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from django.contrib import admin
from django.db import models
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from connector_project.operations.admin import call_recording, tenant_actions
from connector_project.operations.alerts import actions as incident_actions
from telephony.models import BulkAction, Call, RecordingLink
from tenants.models import CrmConnection, ReconnectLink, Tenant, UisConnection

_PARAMETERS = re.compile(r"\(\?P<(?P<group>\w+)>[^()]*\)|<(?:\w+:)?(?P<name>\w+)>")
_ROW = {"pk", "object_id", "id"}
# What no row can fill, and what is not found with any value.
NOT_FOUND = {"admin:view_on_site", "admin:-catch-all"}


class CannotFill(LookupError):
    """A parameter of an address has no value here."""


@dataclass(frozen=True)
class Address:
    """One address to visit."""

    name: str  # of the URL, with its namespace; for one without a name, its route
    path: str

    @property
    def is_found(self) -> bool:
        return self.name not in NOT_FOUND


@dataclass(frozen=True)
class _Route:
    name: str
    text: str

    @property
    def parameters(self) -> list[str]:
        return [match["group"] or match["name"] for match in _PARAMETERS.finditer(self.text)]

    @property
    def model(self) -> type[models.Model] | None:
        """The model of a page of the admin."""
        place = re.match(r"admin/(\w+)/(\w+)/", self.text)
        return next((one for one in admin.site._registry if place and _place(one) == place.groups()), None)

    def fill(self, values: dict[str, object]) -> str:
        path = _PARAMETERS.sub(lambda match: str(values[match["group"] or match["name"]]), self.text)
        path = path.replace("^", "").replace("$", "")
        if set(path) & set("()<>?*[]\\"):
            raise CannotFill(f"{self.name}: {self.text}")
        return f"/{path}"


def find(patterns: Iterable[Any] | None = None) -> list[Address]:
    """Return every address of the URLconf; with a choice of values, one for each. Raises CannotFill."""
    found: list[Address] = []
    for route in _routes(get_resolver().url_patterns if patterns is None else patterns):
        choices = [_values(route, parameter) for parameter in route.parameters]
        found += [
            Address(route.name, route.fill(dict(zip(route.parameters, values, strict=True))))
            for values in product(*choices)
        ]
    return found


def _routes(patterns: Iterable[Any], namespaces: tuple[str, ...] = (), prefix: str = "") -> Iterator[_Route]:
    for pattern in patterns:
        text = str(pattern.pattern)
        if isinstance(pattern.pattern, RegexPattern):
            text = text.removeprefix("^")
        if isinstance(pattern, URLResolver):
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from _routes(pattern.url_patterns, inner, prefix + text)
        elif isinstance(pattern, URLPattern):
            name = pattern.name or ("-catch-all" if text == "(?P<url>.*)$" else prefix + text)
            yield _Route(":".join((*namespaces, name)), prefix + text)


def _place(model: type[models.Model]) -> tuple[str, str]:
    return model._meta.app_label, str(model._meta.model_name)


def _values(route: _Route, parameter: str) -> list[object]:
    """Return the values of a parameter to visit a page with."""
    if known := _BY_NAME.get((route.name, parameter)) or _BY_PARAMETER.get(parameter):
        values = list(known())
    elif parameter in _ROW and route.model is not None:
        values = list(route.model._default_manager.order_by("pk").values_list("pk", flat=True)[:1])
    elif parameter == "hook":
        values = list(_first(CrmConnection if "retailcrm" in route.text else UisConnection, "hook")())
    elif parameter in _ROW and route.text.startswith("api/"):
        values = [1]  # They ask for a key first.
    else:
        raise CannotFill(f"{route.text}: {parameter} needs a value in {__name__}.")
    if not values:
        raise CannotFill(f"{route.text}: there is no row for {parameter}; add one to tests/populated.py.")
    return values


def _first(model: type[models.Model], field: str = "pk") -> Callable[[], Iterable[object]]:
    return lambda: [getattr(row, field) for row in model._default_manager.order_by("pk")[:1]]


_BY_NAME: dict[tuple[str, str], Callable[[], Iterable[object]]] = {
    ("activate", "token"): _first(Tenant, "activation_token"),
    ("reconnect", "token"): _first(ReconnectLink, "token"),
    ("record", "token"): _first(RecordingLink, "token"),
    ("admin:app_list", "app_label"): lambda: sorted({one._meta.app_label for one in admin.site._registry}),
    ("admin:-catch-all", "url"): lambda: ["no/such/page/"],
    ("admin:view_on_site", "content_type_id"): lambda: [1],
    ("admin:view_on_site", "object_id"): lambda: [1],
    ("admin:tenants_tenant_action", "name"): lambda: [
        name for name, action in tenant_actions.TENANT_ACTIONS.items() if not action.page
    ],
    ("admin:telephony_call_recording", "name"): lambda: call_recording.ACTIONS,
    ("admin:operations_incident_action", "name"): lambda: incident_actions.ACTIONS,
    ("admin:telephony_bulkaction_preview", "kind"): lambda: ["RETRY", "SKIP", "REPROCESS"],
    ("admin:telephony_bulkaction_step", "name"): lambda: ["start", "cancel"],
    ("admin:telephony_call_export", "kind"): lambda: ["csv", "xlsx"],
    # Every call's page and every bulk action's page is another one.
    ("admin:telephony_call_change", "object_id"): lambda: Call.objects.values_list("pk", flat=True),
    ("admin:telephony_bulkaction_change", "object_id"): lambda: BulkAction.objects.values_list("pk", flat=True),
}
_BY_PARAMETER: dict[str, Callable[[], Iterable[object]]] = {
    "tenant_id": _first(Tenant),
    "event": lambda: ["call_end"],
    "number": lambda: [0],
}
