"""The groups have what the pages use, and nothing else."""

import re
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.operations import roles
from tenants.models import Tenant

ROOT = Path(__file__).parents[2]
CODE = [
    file.read_text()
    for folder in ("connector_project", "tenants", "telephony", "crm")
    for file in (ROOT / folder).rglob("*.py")
    if "migrations" not in file.parts and file.name != "roles.py"
]

# The permissions that the code asks for by name.
ASKED = set(re.findall(r'"((?:tenants|telephony|crm|operations)\.[a-z]+_[a-z_]+)"', "\n".join(CODE)))


@pytest.fixture
def permissions(db):
    """The permissions of each group, as `app.codename`."""

    def of(name):
        found = Permission.objects.filter(group__name=name).select_related("content_type")
        return {f"{one.content_type.app_label}.{one.codename}" for one in found}

    return of


def used_by_pages(request):
    """Yield what the pages of the admin and their inlines add, change or delete."""
    for model, model_admin in admin.site._registry.items():
        tenant = Tenant(pk=1)
        inlines = model_admin.get_inline_instances(request, tenant) if model is Tenant else []
        for shown in (model_admin, *inlines):
            obj = () if shown is model_admin else (tenant,)
            allowed = {name: getattr(shown, f"has_{name}_permission")(request, *obj) for name in ("add", "change")}
            # Whether a row may be deleted depends on the row.
            allowed["delete"] = not isinstance(shown, ReadOnlyAdmin) and getattr(shown, "can_delete", True)
            opts = shown.model._meta
            yield from (f"{opts.app_label}.{name}_{opts.model_name}" for name in allowed if allowed[name])


def test_groups_hold_nothing_that_no_page_uses(rf, admin_user, permissions):
    request = rf.get("/")
    request.user = admin_user
    used = {*used_by_pages(request), *ASKED}
    for name in ("Administrator", "Operator", "Support"):
        assert {one for one in permissions(name) if not one.split(".")[1].startswith("view_")} - used == set()


def test_operators_may_do_what_the_code_asks_for_by_name(permissions):
    asked = {one for one in ASKED if re.match(r"\w+\.(add|change)_", one)}
    assert len(asked) > 5
    assert asked - permissions("Operator") == {"tenants.change_user"}
    assert asked - permissions("Administrator") == set()


def test_logs_are_only_viewed(permissions):
    for name in ("Administrator", "Operator"):
        of_logs = {one for one in permissions(name) if re.search("entry$|notification|popup|command", one)}
        assert {one.split(".")[1].split("_")[0] for one in of_logs} == {"view"}


def test_accounts_are_the_administrators(permissions):
    accounts = {one for one in permissions("Administrator") if one.startswith("auth.") or one.endswith("_user")}
    assert accounts == {"auth.view_group", "tenants.view_user", "tenants.add_user", "tenants.change_user"}
    assert permissions("Administrator") - accounts == permissions("Operator")
    for name in ("Operator", "Support"):
        assert not [one for one in permissions(name) if re.search("_(user|totpdevice|recoverycode)$|^auth", one)]


def test_support_views_and_retries(permissions):
    changing = {one for one in permissions("Support") if not one.split(".")[1].startswith("view_")}
    assert changing == {"telephony.change_call", "telephony.play_recording", "operations.acknowledge_incident"}
    assert "tenants.view_full_numbers" not in permissions("Support")


def test_migrate_takes_away_what_is_surplus_and_keeps_what_is_not_ours(permissions):
    group = Group.objects.get(name="Operator")
    group.permissions.add(*Permission.objects.filter(codename__in=("delete_auditlogentry", "view_session")))
    roles.apply()
    assert "tenants.delete_auditlogentry" not in permissions("Operator")
    assert "sessions.view_session" in permissions("Operator")
