"""Finds the address of every page in the URLconf and the admin's registry, filled with rows that exist.

A new page is found by itself. If one of its parameters has no value here, `find` raises CannotFill, and the tests that
visit every page fail.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

from django.contrib import admin
from django.db import models
from django.urls import URLPattern, URLResolver

from connector_project.operations.admin import call_recording, tenant_actions
from connector_project.operations.alerts import actions as incident_actions
from connector_project.operations.models import RulePreview
from telephony.models import BulkAction, Call, RecordingLink
from tenants.models import CrmConnection, ReconnectLink, Tenant, UisConnection
from tests.addresses import Route, routes

_ROW = {"pk", "object_id", "id"}
# What no row can fill, and what is not found with any value.
NOT_FOUND = {"admin:view_on_site", "admin:/admin/{url}"}


class CannotFill(LookupError):
    """A parameter of an address has no value here."""


@dataclass(frozen=True)
class Address:
    """One address to visit."""

    name: str  # of its route
    path: str

    @property
    def is_found(self) -> bool:
        return self.name not in NOT_FOUND


def find(patterns: Iterable[URLPattern | URLResolver] | None = None) -> list[Address]:
    """Return every address of the URLconf; with a choice of values, one for each. Raises CannotFill."""
    found: list[Address] = []
    for route in routes(patterns):
        choices = [_values(route, part) for part in route.parts]
        found += [
            Address(route.name, _fill(route, dict(zip(route.parts, values, strict=True))))
            for values in product(*choices)
        ]
    return found


def _fill(route: Route, values: dict[str, object]) -> str:
    path = route.template.format(**values)
    if set(path) & set("()<>?*[]\\^$"):
        raise CannotFill(f"{route.name}: {route.template}")
    return path


def _model(route: Route) -> type[models.Model] | None:
    """Return the model of a page of the admin."""
    place = re.match(r"/admin/(\w+)/(\w+)/", route.template)
    return next((one for one in admin.site._registry if place and _place(one) == place.groups()), None)


def _place(model: type[models.Model]) -> tuple[str, str]:
    return model._meta.app_label, str(model._meta.model_name)


def _values(route: Route, part: str) -> list[object]:
    """Return the values of a part of the path to visit a page with."""
    model = _model(route) if part in _ROW else None
    if known := _BY_NAME.get((route.name, part)) or _BY_PART.get(part):
        values = list(known())
    elif model is not None:
        values = list(model._default_manager.order_by("pk").values_list("pk", flat=True)[:1])
    elif part == "hook":
        values = list(_first(CrmConnection if "retailcrm" in route.template else UisConnection, "hook")())
    elif part in _ROW and route.template.startswith("/api/"):
        values = [1]  # They ask for a key first.
    else:
        raise CannotFill(f"{route.template}: {part} needs a value in {__name__}.")
    if not values:
        raise CannotFill(f"{route.template}: there is no row for {part}; add one to tests/populated.py.")
    return values


def _first(model: type[models.Model], field: str = "pk") -> Callable[[], Iterable[object]]:
    return lambda: [getattr(row, field) for row in model._default_manager.order_by("pk")[:1]]


_BY_NAME: dict[tuple[str, str], Callable[[], Iterable[object]]] = {
    ("activate", "token"): _first(Tenant, "activation_token"),
    ("reconnect", "token"): _first(ReconnectLink, "token"),
    ("record", "token"): _first(RecordingLink, "token"),
    ("admin:app_list", "app_label"): lambda: sorted({one._meta.app_label for one in admin.site._registry}),
    ("admin:/admin/{url}", "url"): lambda: ["no/such/page/"],
    ("admin:view_on_site", "content_type_id"): lambda: [1],
    ("admin:view_on_site", "object_id"): lambda: [1],
    ("admin:tenants_tenant_action", "name"): lambda: [
        name for name, action in tenant_actions.TENANT_ACTIONS.items() if not action.page
    ],
    ("admin:tenants_tenant_rules_roll_back", "number"): lambda: [1],
    ("admin:telephony_call_recording", "name"): lambda: call_recording.ACTIONS,
    ("admin:operations_incident_action", "name"): lambda: incident_actions.ACTIONS,
    ("admin:telephony_bulkaction_preview", "kind"): lambda: ["RETRY", "SKIP", "REPROCESS"],
    ("admin:telephony_bulkaction_step", "name"): lambda: ["start", "cancel"],
    ("admin:telephony_call_export", "kind"): lambda: ["csv", "xlsx"],
    # Every call's page and every bulk action's page is another one.
    ("admin:telephony_call_change", "object_id"): lambda: Call.objects.values_list("pk", flat=True),
    ("admin:telephony_bulkaction_change", "object_id"): lambda: BulkAction.objects.values_list("pk", flat=True),
}
_BY_PART: dict[str, Callable[[], Iterable[object]]] = {
    "tenant_id": _first(Tenant),
    "preview_id": lambda: RulePreview.objects.order_by("pk").values_list("pk", flat=True),
    "event": lambda: ["call_end"],
    "number": lambda: [0],
}
