"""The pages that the admin has beside Django's own: who may open them, and how."""

import pytest
from django.contrib import admin
from django.urls import reverse

from connector_project.core.admin.base import BaseAdmin
from telephony.models import Call
from tenants.models import User
from tests.conftest import CONTACT, NUMBER

ROUTES = sorted(
    name
    for model_admin in admin.site._registry.values()
    if isinstance(model_admin, BaseAdmin)
    for attribute in dir(type(model_admin))
    for _route, name in getattr(getattr(type(model_admin), attribute), "routes", ())
)
ARGS = {"pk": 1, "tenant_id": 1, "kind": "RETRY", "name": "check", "number": 0, "preview_id": 1}


def address(name):
    found = next(pattern for one in admin.site._registry.values() for pattern in one.urls if pattern.name == name)
    return reverse(f"admin:{name}", kwargs={key: ARGS[key] for key in found.pattern.converters})


@pytest.mark.parametrize("name", ROUTES)
def test_pages_are_closed_to_users_without_permissions(client, db, name):
    client.force_login(User.objects.create_user("guest", password="x", is_staff=True))
    assert client.get(address(name)).status_code == client.post(address(name)).status_code == 403


@pytest.mark.parametrize("name", ["call_retry", "call_number", "call_export", "bulkaction_step"])
def test_changes_need_post(admin_client, name):
    assert admin_client.get(address(f"telephony_{name}")).status_code == 405


def test_numbers_lead_to_the_player_and_names_to_an_action(admin_client, pbx, notify):
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    page = reverse("admin:telephony_call_change", args=[Call.objects.get().pk]).removesuffix("change/")
    assert admin_client.get(f"{page}recording/0/").headers["Content-Type"] == "text/plain"
    assert admin_client.get(f"{page}recording/nothing/").status_code == 404
