"""What destroys or concerns much asks first: bulk actions, unlinking, disconnecting; and nothing happens by GET."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.core import local_dates
from connector_project.core.admin.base import BaseAdmin
from connector_project.operations.admin import bulk_action_pages, employee_mapping
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.onboarding import offboarding
from telephony import bulk_action_rows, bulk_actions
from telephony.models import BulkAction, Call, RecordingLink
from tenants import api_keys
from tenants.models import ApiKey, Employee, Tenant
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

ENGLISH = {"accept-language": "en"}
CALLS = reverse("admin:telephony_call_changelist")
KINDS = list(bulk_action_rows.ROW_ACTIONS)
# Actions of a client's page that act at once: they repair, ask or start, and what they do can be undone.
AT_ONCE = {"check", "activate", "resume", "sync", "reconnect"}
# Actions on the selected rows of a list: incidents can be reopened and unmuted, the rest only sends again.
SELECTED_AT_ONCE = {"retry", "acknowledge", "resolve", "mute", "reopen"}
# Who looked at what, and the session, are written by reading.
PLAYS = "telephony_call_play"  # asks UIS for the recording, and so stores how many points are left
MAY_BE_WRITTEN = {"django_session", "telephony_accesslogentry"}
# Those of the employee mapping: another one on the page undoes them, or they only send calls again.
MAPPING_AT_ONCE = {"link", "not_needed", "unmark_not_needed", "set_store", "resend_calls"}


@pytest.fixture
def failed(tenant, twin):
    """Failed calls of two clients: three of the first, one of the second."""
    now = timezone.now()
    times = {"started_at": now, "ended_at": now, "retry_window_started_at": now, "failed_at": now}
    for session, owner in enumerate([tenant, tenant, tenant, twin], start=1):
        Call.objects.create(tenant=owner, session_id=session, state="READY", reason="CRM_REFUSED", **times)


@pytest.fixture
def support(client, db):
    user = create_user("sveta", "Support")
    client.force_login(user)
    return user


def preview(kind):
    return reverse("admin:telephony_bulkaction_preview", args=[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_action_without_filter_or_selection_is_not_offered_and_refused(client, operator, failed, kind):
    page = client.get(preview(kind), headers=ENGLISH).content.decode()
    assert ('type="submit"' in page.partition("admin-confirm")[2], "Select rows or set a filter" in page) == (
        False,
        True,
    )
    typed = {"reason": "no", "event": "lost_call", "previewed_at": timezone.now().isoformat(), "newest": "99"}
    answer = client.post(preview(kind), typed, follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["warning"]
    assert bulk_actions.start(kind, {"event": "lost_call"}, by=operator, now=timezone.now()) is None
    assert not BulkAction.objects.exists()


def test_list_offers_the_actions_with_a_filter_only(client, support, failed):
    assert "bulkaction/preview" not in client.get(CALLS).content.decode()
    assert client.get(CALLS, {"status": "failed"}).content.decode().count("bulkaction/preview") == 2


def test_rows_on_other_pages_cannot_be_selected_unseen(client, support, failed):
    data = {"action": "retry", "select_across": "1", "_selected_action": [Call.objects.first().pk]}
    assert client.post(CALLS, data).status_code == 400
    assert Call.objects.filter(failed_at=None).count() == 0


@pytest.mark.parametrize("kind", ["RETRY", "SKIP"])
def test_preview_names_the_clients_with_their_counts(client, support, failed, tenant, twin, kind):
    text = html_text.text(client.get(preview(kind), {"status": "failed"}, headers=ENGLISH))
    assert f"{tenant.name}: 3 {twin.name}: 1" in text
    assert "All clients" in text
    text = html_text.text(client.get(preview(kind), {"tenant__id__exact": twin.pk}, headers=ENGLISH))
    assert f"{twin.name}: 1" in text
    assert ("All clients" in text, f"{tenant.name}:" in text) == (False, False)


def test_long_list_of_clients_ends_in_their_number_and_rows(client, support, failed, monkeypatch):
    monkeypatch.setattr(bulk_action_pages, "MOST_CLIENTS", 1)
    text = html_text.text(client.get(preview("RETRY"), {"status": "failed"}, headers=ENGLISH))
    assert "and 1 more client: 1" in text


@pytest.mark.parametrize(("group", "is_started"), [("Support", False), ("Operator", True)])
def test_support_changes_fewer_rows_at_once(client, failed, settings, group, is_started):
    settings.BULK_ACTION_ROWS_SUPPORT, settings.BULK_ACTION_ROWS = 3, 4
    client.force_login(create_user("anna", group))
    page = client.get(preview("RETRY"), {"status": "failed"})
    assert (page.context["max_rows"] is None, bool(page.context["submit"])) == (is_started, is_started)
    html_text.submit(client, preview("RETRY"), query_params={"status": "failed"})
    assert BulkAction.objects.exists() == is_started


def test_limits_of_an_order_are_those_of_the_settings(settings):
    assert (settings.BULK_ACTION_ROWS_SUPPORT, settings.BULK_ACTION_ROWS) == (1_000, 100_000)


def test_unlinking_asks_first_and_says_what_happens_to_calls(client, operator, tenant, notify, pbx):
    url = reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk])
    ivan = Employee.objects.get(uis_id=IVAN)
    page = client.post(url, {"act": "unlink", "employee": ivan.pk, "seen": ivan.link_state}, headers=ENGLISH)
    assert page.status_code == 200
    assert Employee.objects.get(pk=ivan.pk).crm_user_id == 27
    text = html_text.text(page)
    assert "0 calls are waiting" in text
    assert ivan.full_name in text
    client.post(url, html_text.fields(page.content.decode()))
    assert Employee.objects.get(pk=ivan.pk).crm_user_id is None


def test_unlinking_of_a_link_that_changed_meanwhile_is_refused(client, operator, tenant):
    url = reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk])
    ivan = Employee.objects.get(uis_id=IVAN)
    page = client.post(url, {"act": "unlink", "employee": ivan.pk, "seen": ivan.link_state})
    Employee.objects.filter(pk=ivan.pk).update(crm_user_id=99)
    answer = client.post(url, html_text.fields(page.content.decode()), follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert Employee.objects.get(pk=ivan.pk).crm_user_id == 99


@pytest.mark.parametrize("seen", [None, "", "27:"])
def test_mapping_action_that_does_not_say_what_it_saw_is_refused(client, operator, tenant, seen):
    url = reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk])
    typed = {"act": "unlink", "employee": Employee.objects.get(uis_id=IVAN).pk, "confirmed": "yes"}
    answer = client.post(url, typed | ({} if seen is None else {"seen": seen}), follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert Employee.objects.get(uis_id=IVAN).crm_user_id == 27


@pytest.mark.parametrize("name", ["rotate", "revoke_hooks"])
@pytest.mark.parametrize("version", [{}, {"version": ""}, {"version": "x"}])
def test_action_on_secrets_that_does_not_say_what_it_saw_is_refused(client, operator, tenant, name, version):
    before = tenant.uis.hook
    answer = client.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, name]), version, follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["warning"]
    assert Tenant.objects.get().uis.hook == before


@pytest.mark.parametrize("kind", KINDS)
def test_bulk_action_starts_from_its_preview_only(client, operator, failed, kind):
    typed = {"reason": "no", "event": "lost_call"}
    for sent in (typed, typed | {"newest": "99"}, typed | {"previewed_at": timezone.now().isoformat()}):
        answer = client.post(
            preview(kind), sent, query_params={"tenant__id__exact": "1"} if kind != "REPROCESS" else {}
        )
        assert answer.status_code == 200
    assert not BulkAction.objects.exists()


@pytest.mark.parametrize("typed", ["", "Ромашка", "romashk", "ROMASHKA"])
def test_disconnecting_needs_the_short_name(client, operator, tenant, typed):
    url = reverse("admin:tenants_tenant_action", args=[tenant.pk, "disconnect"])
    answer = client.post(url, {"slug": typed})
    assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (200, True)
    assert Tenant.objects.get().offboarded_at is None
    client.post(url, {"slug": f" {tenant.slug} "})
    assert Tenant.objects.get().offboarded_at is not None


def test_page_says_what_is_deleted_and_when(client, operator, failed, tenant):
    url = reverse("admin:tenants_tenant_action", args=[tenant.pk, "disconnect"])
    text = html_text.text(client.get(url, headers=ENGLISH))
    assert ("3 calls" in text, tenant.slug in text) == (True, True)
    with translation.override("en"):
        assert offboarding.consequences(tenant, timezone.now())[0] in text
    last_day = local_dates.day_of(timezone.now(), zone=tenant.zone) + timedelta(days=tenant.upload_window_days)
    assert f"On {last_day.day} " in text


def test_every_destructive_action_asks_first():
    """A new action asks with a page of its own, or is listed above as one that can be undone."""
    assert {action.name for action in TENANT_ACTIONS.values() if not action.warnings and not action.page} == AT_ONCE
    assert set(employee_mapping.ACTIONS) - {"unlink"} == MAPPING_AT_ONCE


def test_every_action_on_selected_rows_asks_first_or_can_be_undone(rf, operator):
    """An action whose label ends in three dots shows a page first, as Django's own deletion does."""
    request, at_once = rf.get("/"), set()
    request.user = operator
    for model_admin in admin.site._registry.values():
        for _function, name, label in model_admin.get_actions(request).values():
            if isinstance(model_admin, BaseAdmin) and name != "delete_selected" and not str(label).endswith("…"):
                at_once.add(name)
    assert at_once == SELECTED_AT_ONCE


def test_revoking_api_keys_asks_first(client, operator, tenant):
    row, _key = api_keys.create(tenant, "Отчёты", by=operator, now=timezone.now())
    url = reverse("admin:tenants_apikey_changelist")
    page = client.post(url, {"action": "revoke", "_selected_action": [row.pk]})
    assert (page.status_code, row.name in html_text.text(page)) == (200, True)
    assert ApiKey.objects.get().revoked_at is None
    client.post(url, html_text.fields(page.content.decode()))
    assert ApiKey.objects.get().revoked_at is not None


@pytest.mark.exhaustive
@pytest.mark.slow
def test_nothing_is_changed_by_reading_any_page_of_the_admin(admin_client, tenant, failed, notify, pbx):
    """Each address of the admin, its own pages included, is opened by GET."""
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    call = Call.objects.get(tenant=tenant, contact=CONTACT)
    RecordingLink.for_call(call, now=timezone.now()).save()
    bulk_actions.start("RETRY", {"status": "failed"}, by=None, now=timezone.now())
    urls = sorted(set(addresses(tenant, call)))
    assert len(urls) > 80
    for url in urls:
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get(url).status_code < 500, url
        written = [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
        assert [sql for sql in written if not any(f'"{table}"' in sql for table in MAY_BE_WRITTEN)] == [], url


def addresses(tenant, call):
    """Yield every address of the admin, with the primary keys and names that there are."""
    names = {"revoke", "restore", "cancel", "start", "resolve", "acknowledge"}
    for model, model_admin in admin.site._registry.items():
        row = model._default_manager.first()
        keys = {
            "pk": getattr(row, "pk", 1),
            "object_id": getattr(row, "pk", 1),
            "id": getattr(row, "pk", 1),
            "tenant_id": tenant.pk,
            "number": 0,
        }
        if model is Tenant:
            keys["pk"] = keys["object_id"] = tenant.pk
        if model is Call:
            keys["pk"] = keys["object_id"] = call.pk
        for pattern in model_admin.urls:
            wanted = pattern.pattern.converters
            actions = TENANT_ACTIONS if model is Tenant else names
            for name in actions if "name" in wanted else [""]:
                for kind in (*KINDS, "csv") if "kind" in wanted else [""]:
                    given = {
                        key: (keys | {"name": name, "kind": kind})[key]
                        for key in wanted
                        if key in {*keys, "name", "kind"}
                    }
                    if pattern.name and pattern.name != PLAYS:
                        yield reverse(f"admin:{pattern.name}", kwargs=given)
