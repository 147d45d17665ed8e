"""What staff who may see one client find of another: nothing, on any page of the admin and at any address of the API.

The pages come from the admin's registry and the URLconf, the rows from the models: what is added later is walked too.
"""

import itertools
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.db import models
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from connector_project.operations.admin import bulk_actions, call_recording, export, tenant_actions
from connector_project.operations.alerts import actions as incident_actions
from connector_project.operations.api.urls import router
from connector_project.operations.models import RulePreview
from telephony import bulk_action_rows
from telephony.models import BulkAction, Call
from tenants import api_keys
from tenants.models import RuleVersion, Tenant, User
from tenants.rules import Rules, dumps
from tenants.visibility import SHARED

OURS = {"tenants", "telephony", "crm", "operations"}
# Fields whose value means something, so that a row is usable.
VALUES: dict[str, dict[str, Any]] = {
    "telephony.call": {
        "uis_snapshot": "",
        "command_external_id": "",
        "failed_at": timezone.now(),
        "state": "READY",
        "direction": "in",
        "result": "NO_ANSWER",
        "is_lost": True,
    },
    "telephony.notification": {"outcome": "UNREADABLE", "reason": "NOT_JSON"},
    "telephony.bulkaction": {"kind": "RETRY", "tenant": None, "filters": {}},
    "tenants.tenant": {
        "activated_at": timezone.now(),
        "time_zone": "Europe/Moscow",
        "language": "ru",
        "rule_version": None,
    },
    "tenants.ruleversion": {"rules": dumps(Rules()), "number": 1},
    "tenants.user": {"is_staff": True, "sees_all_tenants": False},
    "operations.rulepreview": {"rules": dumps(Rules()), "state": "DONE", "position": {}, "result": {}},
    "operations.incident": {"kind": "NO_EVENTS"},
    "django_q.success": {"success": True, "func": "tasks", "args": (), "kwargs": {}},
    "django_q.failure": {"success": False, "func": "tasks", "args": (), "kwargs": {}},
}
# The values of each further parameter of a page. A new page has to be added here.
NAMES: dict[tuple[str, str], Any] = {
    ("tenants_tenant_action", "name"): tenant_actions.TENANT_ACTIONS,
    ("operations_incident_action", "name"): incident_actions.ACTIONS,
    ("telephony_call_recording", "name"): call_recording.ACTIONS,
    ("telephony_call_play", "number"): [0],
    ("tenants_tenant_rules_roll_back", "number"): [1],
    ("telephony_call_export", "kind"): export.MOST,
    ("telephony_bulkaction_step", "name"): bulk_actions.STEPS,
    ("telephony_bulkaction_preview", "kind"): bulk_action_rows.ROW_ACTIONS,
}
PRIMARY_KEYS = {"pk", "object_id", "id"}
OF_LIBRARIES = {"autocomplete", "jsi18n", "view_on_site", "login", "logout", "password_change", "password_change_done"}
OF_SIGNING_IN = {"security", "second_factor", "second_factor_setup", "recovery_codes", "sign_out_everywhere"}


class Rows:
    """A row of every model of ours for one tenant, each text with a mark."""

    def __init__(self, mark: str, number: str) -> None:
        self.mark, self.number = mark, number
        self.made: dict[type[models.Model], models.Model] = {}
        self.serials = itertools.count(int(number[-9:]))
        ours = (model for model in apps.get_models() if model._meta.app_label in OURS)
        for model in {*ours, *admin.site._registry}:
            if model._meta.label_lower not in SHARED:
                self.row(model)
        self.tenant: Any = self.made[Tenant]
        Tenant.objects.filter(pk=self.tenant.pk).update(rule_version=self.made[RuleVersion])
        self.made[User].visible_tenants.add(self.tenant)
        self.made[BulkAction].tenants.add(self.tenant)

    def row(self, model: type[models.Model]) -> models.Model:
        if model not in self.made:
            given = VALUES.get(model._meta.label_lower, {})
            fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
            values = {field.name: given[field.name] if field.name in given else self._value(field) for field in fields}
            self.made[model] = model._default_manager.create(**values)
        return self.made[model]

    def _value(self, field: Any) -> Any:
        if field.related_model is not None:
            return None if field.null and field.related_model is User else self.row(field.related_model)
        if field.has_default() and not isinstance(field, models.CharField | models.TextField):
            return field.get_default()
        if field.null and not isinstance(field, models.BigIntegerField | models.CharField | models.TextField):
            return None
        return self._text(field) if isinstance(field, models.CharField | models.TextField) else self._other(field)

    def _text(self, field: Any) -> str:
        if field.choices:
            return next(str(value) for value, _label in field.flatchoices if value or field.blank)
        if field.name == "time_zone":
            return "Europe/Moscow"
        if field.name in {"contact", "number"}:
            return self.number
        if field.primary_key:  # It is in the address, which a page may repeat.
            return f"{self.number[:5]}-{len(self.made)}"
        return f"{self.mark}{next(self.serials) if field.unique else ''}"[: field.max_length]

    def _other(self, field: Any) -> Any:
        if isinstance(field, models.DateTimeField):
            return timezone.now()
        if not isinstance(field, models.DateField):
            return next(self.serials)
        return date(2026, 3, 10) + (timedelta(days=next(self.serials) % 1000) if field.unique else timedelta())

    def marks(self) -> list[str]:
        return [self.mark, self.number, self.number[-9:-1]]

    def snapshot(self) -> dict[str, Any]:
        """Return every row as it is now, and how many rows the tenant has of each model."""
        made = self.made.values()
        rows: dict[Any, Any] = {row: list(type(row)._default_manager.filter(pk=row.pk).values()) for row in made}
        rows["clients of the user"] = list(self.made[User].visible_tenants.values_list("pk", flat=True))
        for model in self.made:
            if any(field.name == "tenant" for field in model._meta.concrete_fields):
                rows[model] = model._default_manager.filter(tenant=self.tenant).count()
        return rows


@dataclass
class Walk:
    """Requests of a user, none of which may show a mark."""

    client: Any
    marks: list[str]

    def __call__(self, method: str, url: str, data: Any = None) -> tuple[int, str]:
        answer = getattr(self.client, method)(url, data or {}, headers={"accept-language": "en"})
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        shown = content.decode(errors="replace") + answer.headers.get("Location", "")
        shown += " ".join(map(str, get_messages(answer.wsgi_request)))  # The next page shows them.
        found = [mark for mark in self.marks if mark in shown.replace(url, "")]
        assert not found, f"{method} {url} shows {found}"
        assert answer.status_code in {200, 302, 400, 403, 404, 405, 503}
        return answer.status_code, answer.headers.get("Location", "").partition("?")[0].replace(url, "")


@pytest.fixture
def hidden(db):
    return Rows("zqhidden", "74447778642")


@pytest.fixture
def visible(db, hidden):
    return Rows("zqvisible", "75556669753")


@pytest.fixture
def limited(visible, hidden):
    """Somebody with every permission, but one client."""
    user = User.objects.create_user("limited", password="x", is_staff=True, sees_all_tenants=False)
    user.user_permissions.set(Permission.objects.all())
    user.visible_tenants.add(visible.tenant)
    # What they, and a colleague, did when they saw the other client.
    kind = ContentType.objects.get_for_model(Tenant)
    for actor in (user, visible.made[User]):
        values = {"object_id": hidden.tenant.pk, "object_repr": hidden.mark, "action_flag": 2}
        LogEntry.objects.create(user=actor, content_type=kind, **values)
    return user


@pytest.fixture
def walk(client, limited, hidden, uis_world, crm_world):
    client.force_login(limited)
    return Walk(client, hidden.marks())


def patterns(resolver, path=""):
    """Yield each pattern below a resolver with its path."""
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            yield from patterns(one, path + str(one.pattern))
        else:
            yield path + str(one.pattern), one


def addresses(model_admin, pattern: URLPattern, rows: Rows | None):
    """Return the addresses of a pattern that name a row or client; with unknown ones without `rows`."""
    parameters = pattern.pattern.converters
    choices = []
    for name in parameters:
        if name in PRIMARY_KEYS:
            is_known = rows and model_admin.model._meta.label_lower not in SHARED
            choices.append([rows.made[model_admin.model].pk if is_known else 10**9])
        elif name == "tenant_id":
            choices.append([rows.tenant.pk if rows else 10**9])
        elif name == "preview_id":
            choices.append([rows.made[RulePreview].pk if rows else 10**9])
        else:
            choices.append(NAMES[pattern.name, name])
    name = f"admin:{pattern.name}"
    return [reverse(name, kwargs=dict(zip(parameters, values, strict=True))) for values in itertools.product(*choices)]


def registered():
    """Return the admins with a pattern of each page."""
    return [
        (model_admin, pattern)
        for model_admin in admin.site._registry.values()
        for pattern in model_admin.urls
        if pattern.name
    ]


def form(rows: Rows, action: str = "") -> dict[str, Any]:
    """Return whatever a form may ask for, about the rows of a tenant."""
    employee, number, user = (
        rows.made[apps.get_model("tenants", name)].pk for name in ("employee", "virtualnumber", "crmuser")
    )
    return {
        "action": action,
        "_selected_action": [row.pk for row in rows.made.values()],
        "clients": str(rows.tenant.pk),
        "rule": "owner",
        "value": "LONGEST_TALKER",
        "confirm": "1",
        "post": "yes",
        "act": "link",
        "employee": employee,
        "number": number,
        "user": user,
        "tenant": rows.tenant.pk,
        "name": "changed",
        "reason": "changed",
        "note": "changed",
        "previewed_at": "2099-01-01T00:00:00+00:00",
        "newest": 10**9,
        "first": "2026-03-10",
        "last": "2026-03-10",
    }


@pytest.mark.slow
def test_no_page_shows_a_hidden_client(walk, hidden, visible):
    request = _request(walk)
    terms = [hidden.mark, hidden.number, hidden.number[-4:], str(hidden.made[Call].session_id)]
    for model_admin, pattern in registered():
        pages = (
            addresses(model_admin, pattern, visible)
            if pattern.pattern.converters
            else addresses(model_admin, pattern, None)
        )
        for url in pages[: 1 if "pk" in pattern.pattern.converters else None]:
            walk("get", url)
        if pattern.name.endswith("_changelist"):
            relations = [one[0] for one in model_admin.get_list_filter(request) if isinstance(one, tuple)]
            for name in relations:
                walk("get", pages[0], {f"{name}__id__exact": hidden.tenant.pk})
            for term in terms:
                found = walk.client.get(pages[0], {"q": term}).context["cl"].result_list
                assert hidden.made.get(model_admin.model) not in list(found)
    walk("get", reverse("admin:index"))
    for label in {model._meta.app_label for model in admin.site._registry}:
        walk("get", reverse("admin:app_list", args=[label]))


def _request(walk):
    return walk.client.get(reverse("admin:index")).wsgi_request


@pytest.mark.slow
def test_hidden_row_answers_as_one_that_does_not_exist(walk, hidden):
    before = hidden.snapshot()
    for model_admin, pattern in registered():
        if model_admin.model._meta.label_lower in SHARED or not pattern.pattern.converters.keys() & {
            *PRIMARY_KEYS,
            "tenant_id",
        }:
            continue
        unknown = addresses(model_admin, pattern, None)[0]
        for method in ("get", "post"):
            expected = walk(method, unknown, form(hidden))
            for url in addresses(model_admin, pattern, hidden):
                assert walk(method, url, form(hidden)) == expected, (method, url)
    assert hidden.snapshot() == before


@pytest.mark.slow
def test_no_form_changes_a_hidden_client(walk, hidden, visible):
    """Pages without a row in the address, and those of a visible one, with everything hidden in the form."""
    before, request = hidden.snapshot(), _request(walk)
    for model_admin, pattern in registered():
        if pattern.pattern.converters.keys() & {"pk", "id"}:
            continue
        for url in addresses(model_admin, pattern, visible):
            walk("post", url, form(hidden))
            walk("post", url, {name: value for name, value in form(hidden).items() if name != "confirm"})
        if pattern.name.endswith("_changelist"):
            for action in model_admin.get_actions(request):
                walk("post", url, form(hidden, action))
    for kind in bulk_action_rows.ROW_ACTIONS:
        name = "tenant" if kind == BulkAction.Kind.REPROCESS else "tenant__id__exact"
        url = reverse("admin:telephony_bulkaction_preview", args=[kind], query={name: hidden.tenant.pk})
        walk("post", url, form(hidden))
    assert hidden.snapshot() == before


@pytest.mark.slow
def test_api_shows_a_limited_users_key_only_visible_clients(walk, limited, hidden, visible):
    _row, key = api_keys.create(None, "x", by=limited, now=timezone.now())
    send = partial(walk.client.get, headers={"authorization": f"Bearer {key}"})
    for prefix, view, _basename in router.registry:
        model = view.queryset.model
        url = f"/api/v1/{prefix}/"
        rows = send(url).json()["results"]
        assert [row["id"] for row in rows] == [visible.made[model].pk], prefix
        assert send(url, {"tenant": hidden.tenant.slug}).json()["results"] == []
        assert send(f"{url}{hidden.made[model].pk}/").status_code == 404
        assert not [mark for mark in hidden.marks() if mark in str(rows)]


def test_every_address_for_staff_is_walked():
    """A page of staff outside the admin and the API has to be walked too."""
    known = ("admin/", "api/v1/", "hooks/", "records/", "activate/", "reconnect/", "connect/", "health/", "language/")
    others = [path for path, _pattern in patterns(get_resolver()) if path and not path.startswith(known)]
    assert others == []
    own = {pattern.name for _admin, pattern in registered()}
    site = {pattern.name for path, pattern in patterns(get_resolver()) if path.startswith("admin/") and pattern.name}
    assert site - own == OF_LIBRARIES | OF_SIGNING_IN | {"index", "app_list"}
    api = {path for path, _pattern in patterns(get_resolver()) if path.startswith("api/v1/")}
    of_router = {f"api/v1/{path}" for path, _pattern in patterns(router)} if hasattr(router, "url_patterns") else set()
    assert of_router <= api
