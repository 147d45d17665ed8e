"""Two people edit the same page, or a worker changes its rows meanwhile: nobody's change is undone unseen."""

import json
import re
import threading
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import Group, Permission
from django.contrib.messages import get_messages
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.admin.edit_forms import EditForm
from connector_project.core.admin.edit_formsets import EditFormSet
from connector_project.core.admin.editing import EditAdmin
from connector_project.operations.onboarding import offboarding
from crm.employee_mapping import actions as mapping
from telephony import client_factory
from telephony.staff import sync
from tenants.models import (
    AuditLogEntry,
    CrmConnection,
    CrmUser,
    Employee,
    RuleDraft,
    Tenant,
    UisConnection,
    User,
    VirtualNumber,
)
from tests import html_text, needs
from tests.conftest import ANNA, IVAN, PETR
from tests.rules import publish_rules
from tests.users import create_user

pytestmark = [pytest.mark.sampled(1)]

# For each page that can be saved: a field for one person and its new value, and one for another person.
PAGES = {
    Tenant: ({"name": "Rose"}, {"works_weekends": True}),
    User: ({"first_name": "Anna"}, {"is_active": False}),
    Group: ({"name": "New name"}, {}),
}
ENGLISH = {"accept-language": "en"}


@pytest.fixture
def open_page(admin_client, tenant):
    """Open a page; return its form, and a function that sends it with changes."""

    def open_(url):
        form = html_text.fields(admin_client.get(url, headers=ENGLISH).content.decode())

        def send(**typed):
            return admin_client.post(url, form | typed, headers=ENGLISH)

        return form, send

    return open_


@pytest.fixture
def page(open_page, tenant):
    """The client's page, opened; send it with changes."""
    return open_page(reverse("admin:tenants_tenant_change", args=[tenant.pk]))[1]


@pytest.fixture
def objects(tenant, admin_client):
    return {Tenant: tenant, User: create_user("sveta", "Support"), Group: Group.objects.get(name="Support")}


def url_of(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def updates(queries, *, of=("tenants_", "auth_")):
    """Return table and columns of each UPDATE and DELETE."""
    found = []
    for query in queries:
        if match := re.match(r'(UPDATE|DELETE FROM) "(\w+)"(?: SET (.*?) WHERE)?', query["sql"], re.DOTALL):
            columns = re.findall(r'(?:^|, )"(\w+)" = ', match[3] or "")
            found += [(match[2], *sorted(columns))] if match[2].startswith(of) else []
    return found


def test_every_page_that_can_be_saved_is_here():
    saved = {
        model: model_admin
        for model, model_admin in admin.site._registry.items()
        if not isinstance(model_admin, ReadOnlyAdmin)
    }
    # An employee's only field refers to another row: it has tests of its own, below.
    assert set(saved) == {*PAGES, Employee}
    assert all(isinstance(model_admin, EditAdmin) for model_admin in saved.values())


def test_every_form_and_formset_writes_changed_columns_only(rf, admin_user):
    request = rf.get("/")
    request.user = admin_user
    for model, model_admin in admin.site._registry.items():
        if isinstance(model_admin, EditAdmin):
            assert issubclass(model_admin.get_form(request, model(pk=1), change=True), EditForm)
        for inline in model_admin.get_inline_instances(request, model(pk=1)):
            formset = inline.get_formset(request, model(pk=1))
            assert (issubclass(formset, EditFormSet), issubclass(formset.form, EditForm)) == (True, True)


def test_every_unique_field_of_a_formset_can_be_exchanged(rf, admin_user):
    request = rf.get("/")
    request.user = admin_user
    for inline in admin.site._registry[Tenant].get_inline_instances(request, Tenant(pk=1)):
        formset = inline.get_formset(request, Tenant(pk=1))
        constrained = {field.name for field in inline.model._meta.fields if field.unique}
        for constraint in inline.model._meta.constraints:
            if isinstance(constraint, models.UniqueConstraint):
                condition = constraint.condition or models.Q()
                constrained |= {*constraint.fields, *(name.partition("__")[0] for name, _v in condition.children)}
        assert constrained.intersection(formset.form.base_fields) - {"tenant", "id"} == set(formset.unique)


@pytest.mark.parametrize("model", PAGES)
def test_unchanged_page_updates_nothing(open_page, objects, model):
    _form, send = open_page(url_of(objects[model]))
    with CaptureQueriesContext(connection) as queries:
        answer = send()
    assert answer.status_code == 302, html_text.errors(answer)
    assert updates(queries) == []


@pytest.mark.parametrize("model", PAGES)
def test_only_the_changed_column_is_updated(open_page, objects, model):
    _form, send = open_page(url_of(objects[model]))
    mine, _others = PAGES[model]
    with CaptureQueriesContext(connection) as queries:
        assert send(**mine).status_code == 302
    assert updates(queries) == [(model._meta.db_table, *mine)]


@pytest.mark.parametrize("model", PAGES)
def test_change_of_another_field_is_kept(open_page, objects, model):
    _form, send = open_page(url_of(objects[model]))
    mine, others = PAGES[model]
    rows = model._default_manager.filter(pk=objects[model].pk)
    rows.update(**others) if others else rows.get().permissions.clear()
    assert send(**mine).status_code == 302
    for name, value in (mine | others).items():
        assert getattr(rows.get(), name) == value
    assert others or not rows.get().permissions.exists()


@pytest.mark.parametrize("model", PAGES)
def test_change_of_the_same_field_is_reported_once(open_page, objects, model):
    _form, send = open_page(url_of(objects[model]))
    mine, _others = PAGES[model]
    [(name, typed)] = mine.items()
    rows = model._default_manager.filter(pk=objects[model].pk)
    rows.update(**{name: "x.y"})
    answer = send(**mine)
    assert (answer.status_code, getattr(rows.get(), name)) == (200, "x.y")
    form = answer.context["adminform"].form
    assert (list(form.errors), "x.y" in form.errors[name][0]) == ([name], True)
    shown = html_text.fields(answer.content.decode())
    assert shown[name] == typed
    assert send(**shown).status_code == 302  # They know now what they replace.
    assert getattr(rows.get(), name) == typed


@pytest.mark.exhaustive
def test_rejected_page_follows_what_others_changed(page, tenant):
    """A page shown again after an error must not undo, when it is saved again, what it never showed."""
    Tenant.objects.update(name="x.y", works_weekends=True)
    shown = html_text.fields(page(name="Rose").content.decode())
    assert (shown["name"], shown["works_weekends"]) == ("Rose", "on")
    assert page(**shown).status_code == 302
    changed = Tenant.objects.get(pk=tenant.pk)
    assert (changed.name, changed.works_weekends) == ("Rose", True)


# --- what a page showed is not known: it was forged, or its hidden input was lost

UNKNOWN = ("", "{", "[]", "{}", '{"tenants.tenant.1": [], "tenants.user.1": 5}', '{"tenants.tenant.1": {"name": ""}}')


@pytest.mark.parametrize("opened", UNKNOWN)
@pytest.mark.parametrize("model", PAGES)
def test_page_that_does_not_say_what_it_showed_is_refused_once(open_page, objects, model, opened):
    _form, send = open_page(url_of(objects[model]))
    mine, _others = PAGES[model]
    rows = model._default_manager.filter(pk=objects[model].pk)
    before = rows.values().get()
    answer = send(_opened=opened, **mine)
    assert (answer.status_code, rows.values().get()) == (200, before)
    assert answer.context["adminform"].form.non_field_errors()
    assert send(**html_text.fields(answer.content.decode())).status_code == 302
    [(name, typed)] = mine.items()
    assert getattr(rows.get(), name) == typed


@pytest.mark.parametrize("row", ["tenants.crmconnection", "tenants.ruledraft", "tenants.virtualnumber"])
def test_part_that_does_not_say_what_it_showed_is_refused(open_page, tenant, row):
    form, send = open_page(url_of(tenant))
    opened = {name: prints for name, prints in json.loads(form["_opened"]).items() if not name.startswith(f"{row}.")}
    before = state(tenant)
    answer = send(**{"_opened": json.dumps(opened), **EDITED, "virtual_numbers-1-name": "Lily"})
    assert (answer.status_code, state(tenant)) == (200, before)


def test_clients_page_that_does_not_say_what_it_showed_is_refused_once(client, tenant):
    url = f"/activate/{tenant.activation_token}/"
    typed = {"do": "keys", "brand": "uis", "access_token": "mine", "address": tenant.crm.address}
    before = state(tenant)
    for opened in ({}, {"_opened": "{"}, {"_opened": '{"keys.1": {"brand": ""}}'}):
        answer = client.post(url, typed | opened, headers=ENGLISH)
        assert (answer.status_code, state(tenant)) == (422, before)
    assert "does not say which values it showed" in html_text.text(answer)
    again = html_text.fields(answer.content.decode()) | {"do": "keys", "access_token": "mine"}
    assert client.post(url, again).status_code == 303
    assert UisConnection.objects.get(tenant=tenant).access_token == "mine"


# --- what happens to the client's rows while their page is open


def disconnect(tenant, _pbx):
    offboarding.offboard(tenant, now=timezone.now())


def rotate(tenant, _pbx):
    tenant.uis.rotate_hook(now=timezone.now())


def pause(tenant, _pbx):
    tenant.pause()


def break_circuit(tenant, _pbx):
    tenant.uis.record_failure(wait=None, is_live=True, now=timezone.now())
    tenant.crm.record_failure(wait=900, is_live=True, now=timezone.now())


def register(tenant, _pbx):
    CrmConnection.objects.filter(tenant=tenant).update(registered_module={"codes": [[28, "102"]]}, stores=["x"])


def sync_people(tenant, pbx):
    """Ivan gets another extension, Petr another CRM user, and somebody new sorts before all others."""
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "201"
    pbx.add_employee(300009, "Абрамов", extension="109", email="a@example.com", numbers=[])
    sync.save(tenant, sync.fetch(client_factory.uis_client(tenant.uis)), now=timezone.now())
    Employee.objects.filter(tenant=tenant, uis_id=PETR).update(
        crm_user_id=None, last_sent_crm_status="busy", uis_status="3"
    )


def relink(tenant, _pbx):
    mapping.unlink(Employee.objects.get(tenant=tenant, uis_id=IVAN))


def change_rules(tenant, _pbx):
    publish_rules(tenant, upload_internal=True, contacts="+7 999\n+7 998")
    publish_rules(tenant, numbers=VirtualNumber.objects.filter(tenant=tenant))


MEANWHILE = (disconnect, rotate, pause, break_circuit, register, sync_people, relink, change_rules)
EDITED = {"crm-0-site": "shop-two", "uis-0-agent_user_id": "5", "draft-0-upload_missed": "", "name": "Rose"}


def state(tenant):
    """Return all columns of the client's rows."""
    kept = {"tenants_tenant": Tenant.objects.filter(pk=tenant.pk)}
    for model in (UisConnection, CrmConnection, RuleDraft, Employee, VirtualNumber):
        kept[model._meta.db_table] = model.objects.filter(tenant=tenant)
    rows = {(table, row["id"]): row for table, rows in kept.items() for row in rows.values()}
    return rows | {"numbers": sorted(tenant.draft.numbers.values_list("pk", flat=True))}


def without(row, names):
    return {name: value for name, value in row.items() if name not in names} if isinstance(row, dict) else row


@pytest.mark.parametrize("happens", MEANWHILE, ids=lambda happens: happens.__name__)
def test_nothing_that_happens_while_the_page_is_open_is_undone(page, tenant, pbx, crm, happens, stranger):
    before = state(stranger)
    happens(Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk), pbx)
    happened = state(tenant)
    answer = page(**EDITED)
    is_refused = happens is disconnect
    assert answer.status_code == (200 if is_refused else 302), html_text.errors(answer)
    for key, row in state(tenant).items():
        edits = set() if is_refused else {name.rpartition("-")[2] for name in EDITED}
        assert without(row, edits) == without(happened[key], edits)
    assert state(stranger) == before
    assert is_refused or CrmConnection.objects.get(tenant=tenant).site == "shop-two"


@pytest.mark.exhaustive
def test_disconnected_client_gets_no_key_until_the_page_is_opened_again(page, open_page, tenant):
    offboarding.offboard(tenant, now=timezone.now())
    typed = {"crm-0-key": "new", "uis-0-access_token": "new", "crm-0-site": "x"}
    answer = page(**typed)
    assert (answer.status_code, bool(answer.context["adminform"].form.non_field_errors())) == (200, True)
    shown = html_text.fields(page(**typed).content.decode())
    assert page(**shown | typed).status_code == 200  # Saving once more does not help.
    connections = UisConnection.objects.get(tenant=tenant), CrmConnection.objects.get(tenant=tenant)
    assert (connections[0].access_token, connections[1].key, connections[1].site) == ("", "", "")
    _form, send = open_page(url_of(tenant))  # A client returns by new keys.
    assert send(**typed).status_code == 302
    assert UisConnection.objects.get(tenant=tenant).access_token == "new"


def test_new_key_of_two_people_is_reported_without_showing_it(page, tenant):
    UisConnection.objects.filter(tenant=tenant).get().change(access_token="key-of-theirs")
    answer = page(**{"uis-0-access_token": "key-of-mine"})
    assert (answer.status_code, UisConnection.objects.get(tenant=tenant).access_token) == (200, "key-of-theirs")
    assert "key-of-" not in answer.content.decode()


def test_suspension_that_nobody_saw_is_kept_by_an_unrelated_change(page, tenant):
    tenant.uis.suspend("access_token_expired", "expired", now=timezone.now())
    assert page(**{"crm-0-site": "shop-two"}).status_code == 302
    assert UisConnection.objects.get(tenant=tenant).denied_at is not None


def test_deleted_row_is_reported(page, tenant):
    VirtualNumber.objects.filter(tenant=tenant, is_default=False).delete()
    answer = page(**{"virtual_numbers-1-name": "new"})
    assert answer.status_code == 200
    assert [inline.formset.non_form_errors() for inline in answer.context["inline_admin_formsets"]][-1]


def test_row_that_somebody_else_has_changed_is_not_deleted_unseen(open_page, tenant):
    form, send = open_page(url_of(tenant))
    rows = VirtualNumber.objects.filter(tenant=tenant, is_default=False)
    rows.update(name="Lily")
    unknown = json.loads(form["_opened"])
    del unknown[f"tenants.virtualnumber.{rows.get().pk}"]
    for opened in (json.dumps(unknown), form["_opened"]):
        answer = send(**{"virtual_numbers-1-DELETE": "on", "_opened": opened})
        assert (answer.status_code, rows.exists()) == (200, True)
        assert [inline.formset.non_form_errors() for inline in answer.context["inline_admin_formsets"]][-1]
    again = html_text.fields(answer.content.decode())
    assert (again["virtual_numbers-1-name"], again["virtual_numbers-1-DELETE"]) == ("Lily", "on")
    assert send(**again).status_code == 302
    assert not rows.exists()


def test_page_shown_again_keeps_names_and_values_together(page, tenant):
    """A row that sorts before the others was added meanwhile."""
    VirtualNumber.objects.create(tenant=tenant, number="70000000000")
    answer = page(**{"virtual_numbers-0-number": "74950000002"})
    rows = [row for row in answer.context["inline_admin_formsets"][3] if row.original]
    assert (answer.status_code, [row.original.pk == row.form.instance.pk for row in rows]) == (200, [True, True])


# --- what is said about it


@pytest.fixture
def colleague(tenant):
    """Save a page as somebody else, opened just now."""
    other = Client()
    other.force_login(create_user("sveta", "Operator"))

    def save(url, **typed):
        form = html_text.fields(other.get(url).content.decode())
        assert other.post(url, form | typed).status_code == 302

    return save


# A field of each form of the client's page: what a colleague sets, and what the person sets.
FIELDS = {
    "name": ("Lily", "Rose"),
    "opens_at": ("10:30:00", "11:00:00"),
    "uis-0-brand": ("comagic", "novofon"),
    "uis-0-access_token": ("key-of-theirs", "key-of-mine"),
    "crm-0-site": ("shop-two", "shop-three"),
    "draft-0-owner": ("FIRST_TALKER", "LONGEST_TALKER"),
    "draft-0-contacts": ("79990000001", "79990000002"),
    "virtual_numbers-1-name": ("Lily", "Rose"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_two_values_of_one_field_are_reported_with_the_name_of_the_colleague(page, tenant, colleague, field):
    theirs, mine = FIELDS[field]
    colleague(url_of(tenant), **{field: theirs})
    before = state(tenant)
    answer = page(**{field: mine})
    assert (answer.status_code, state(tenant)) == (200, before)
    [error] = html_text.errors(answer)
    assert "sveta, " in error
    assert "key-of-" not in answer.content.decode()
    assert page(**html_text.fields(answer.content.decode()) | {field: mine}).status_code == 302


@pytest.mark.parametrize("field", FIELDS)
def test_change_of_a_colleague_that_is_kept_is_told(page, tenant, colleague, field):
    colleague(url_of(tenant), **{field: FIELDS[field][0]})
    answer = page(**{"name" if field != "name" else "crm-0-site": "shop-two"})
    [message] = [str(message) for message in get_messages(answer.wsgi_request) if "Others have" in str(message)]
    assert ("sveta, " in message, "key-of-" in message) == (True, False)


def test_change_that_nobody_logged_has_no_name(page, tenant, colleague):
    """A colleague's earlier change of the field does not make them its author."""
    colleague(url_of(tenant), name="Lily")
    Tenant.objects.filter(pk=tenant.pk).update(name="Oak")
    answer = page(name="Rose")
    assert ["Somebody else" in error for error in html_text.errors(answer)] == [True]
    assert "sveta" not in html_text.errors(answer)[0]


def test_page_that_nobody_else_changed_says_nothing(page):
    answer = page(name="Rose")
    assert not [message for message in get_messages(answer.wsgi_request) if "Others have" in str(message)]


# --- an employee's page


@pytest.fixture
def ivan(tenant):
    return Employee.objects.get(tenant=tenant, uis_id=IVAN)


def test_employee_page_edits_the_caller_id_and_the_popup_only(open_page, ivan, stranger):
    number = VirtualNumber.objects.get(tenant=ivan.tenant, number="74950000002")
    form, send = open_page(url_of(ivan))
    assert {name for name in form if not name.startswith(("_", "csrf"))} == {"caller_id_number", "popup"}
    with CaptureQueriesContext(connection) as queries:
        assert send(caller_id_number=number.pk, crm_user_id="99", tenant=stranger.pk).status_code == 302
    assert updates(queries) == [("tenants_employee", "caller_id_number_id")]
    entry = AuditLogEntry.objects.get()
    assert (entry.tenant, entry.field, entry.new) == (ivan.tenant, "caller_id_number", "+74950000002")
    foreign = VirtualNumber.objects.filter(tenant=stranger).first()
    assert send(caller_id_number=foreign.pk).status_code == 200


def test_link_that_changes_while_the_employee_page_is_open_is_kept(open_page, ivan, colleague, pbx):
    _form, send = open_page(url_of(ivan))
    relink(ivan.tenant, pbx)
    numbers = VirtualNumber.objects.filter(tenant=ivan.tenant).order_by("pk")
    colleague(url_of(ivan), caller_id_number=numbers[0].pk)
    answer = send(caller_id_number=numbers[1].pk)
    assert (answer.status_code, "sveta, " in html_text.errors(answer)[0]) == (200, True)
    ivan.refresh_from_db()
    assert (ivan.crm_user_id, ivan.linked_by, ivan.caller_id_number) == (None, "MANUAL", numbers[0])


def test_no_page_changes_links_but_the_mapping(admin_client, rf, admin_user, tenant):
    """Whoever opened a page before a link changed could undo it."""
    request = rf.get("/")
    request.user = admin_user
    for model, model_admin in admin.site._registry.items():
        forms = [formset.form for formset, _inline in model_admin.get_formsets_with_inlines(request, model(pk=1))]
        if not isinstance(model_admin, ReadOnlyAdmin):
            forms.append(model_admin.get_form(request, model(pk=1), change=True))
        assert not any({"crm_user_id", "linked_by"} & form.base_fields.keys() for form in forms)


# --- values that are unique among the rows of a page


def links(tenant):
    return [Employee.objects.get(tenant=tenant, uis_id=uis_id).crm_user_id for uis_id in (IVAN, PETR, ANNA)]


def numbers(tenant):
    rows = VirtualNumber.objects.filter(tenant=tenant).order_by("pk")
    return list(rows.values_list("number", "is_default"))


def test_numbers_and_their_default_are_exchanged(page, tenant, twin):
    before = numbers(twin)
    assert numbers(tenant) == [("74950000001", True), ("74950000002", False)]
    names = [f"virtual_numbers-{row}-{name}" for row in (0, 1) for name in ("number", "is_default")]
    values = ("74950000002", "", "74950000001", "on")
    answer = page(**dict(zip(names, values, strict=True)))
    assert answer.status_code == 302, html_text.errors(answer)
    assert numbers(tenant) == [("74950000002", False), ("74950000001", True)]
    assert numbers(twin) == before


def test_number_of_a_deleted_row_goes_to_a_row_before_it(page, tenant):
    answer = page(**{"virtual_numbers-0-number": "74950000002", "virtual_numbers-1-DELETE": "on"})
    assert answer.status_code == 302, html_text.errors(answer)
    assert numbers(tenant) == [("74950000002", True)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("typed", [{"0-number": "74950000002"}, {"1-is_default": "on"}], ids=str)
def test_two_rows_with_one_number_or_two_defaults_are_a_field_error(page, tenant, typed):
    before = numbers(tenant)
    answer = page(**{f"virtual_numbers-{name}": value for name, value in typed.items()})
    assert (answer.status_code, numbers(tenant)) == (200, before)


def test_rows_that_a_user_may_only_view_keep_their_values(client, tenant):
    user = User.objects.create_user("boss", password="x", is_staff=True)
    names = ("view_tenant", "change_tenant", "view_employee", "view_virtualnumber")
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    client.force_login(user)
    before = (links(tenant), numbers(tenant))
    form = html_text.fields(client.get(url_of(tenant), headers=ENGLISH).content.decode())
    answer = client.post(url_of(tenant), form | {"name": "Rose"}, headers=ENGLISH)
    assert answer.status_code == 302, html_text.errors(answer)
    assert (links(tenant), numbers(tenant), Tenant.objects.get(pk=tenant.pk).name) == (*before, "Rose")


def test_fieldsets_of_the_page_are_tested():
    """A field that no fieldset shows would have no fingerprint."""
    shown = set(flatten_fieldsets(admin.site._registry[Tenant].fieldsets))
    assert {"name", "slug", "language"} <= shown


@pytest.mark.parametrize("name", ["password_change", "auth_user_password_change"])
def test_new_password_updates_its_column_only(client, objects, name):
    user, password = objects[User], "gh7-klm-q-new"
    editor = user if name == "password_change" else User.objects.create_superuser("root")
    client.force_login(editor)
    url = reverse(f"admin:{name}", args=[user.pk] if "auth" in name else [])
    typed = {"old_password": "x", "usable_password": "true"}
    typed |= dict.fromkeys(("password1", "password2", "new_password1", "new_password2"), password)
    with CaptureQueriesContext(connection) as queries:
        assert client.post(url, typed).status_code == 302
    assert updates(queries) == [("tenants_user", "password")]
    user.refresh_from_db()
    assert user.check_password(password)


def test_time_of_opening_does_not_matter(page, tenant):
    CrmUser.objects.create(tenant=tenant, crm_id=99)
    Tenant.objects.update(activation_expires_at=timezone.now() + timedelta(days=1))
    assert page(name="Rose").status_code == 302


# --- at the very moment of saving


@pytest.fixture
def meanwhile(monkeypatch):
    """Do something on another connection between the reading and the writing of a page."""
    threads = []

    def arrange(act, *, before="save_related"):
        def run():
            act()
            connection.close()

        save = getattr(EditAdmin, before)

        def save_later(*args, **kwargs):
            if not threads:
                threads.append(threading.Thread(target=run))
                threads[-1].start()
                threads[-1].join(0.3)  # It is finished by now, or waits for us.
            save(*args, **kwargs)

        monkeypatch.setattr(EditAdmin, before, save_later, raising=False)
        return threads

    return arrange


@needs.two_connections
@pytest.mark.parametrize("happens", [disconnect, rotate, break_circuit], ids=lambda happens: happens.__name__)
def test_nothing_that_happens_while_the_page_is_saved_is_undone(
    transactional_db, page, tenant, pbx, crm, meanwhile, happens
):
    loaded, done = Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk), []
    old = Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)
    threads = meanwhile(lambda: done.append(happens(loaded, pbx)))
    page(**{"crm-0-site": "shop-two", "uis-0-agent_user_id": "5", "draft-0-upload_missed": ""})
    threads[0].join()
    assert len(done) == 1
    now = Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)
    expected = {
        disconnect: (now.uis.access_token, now.crm.key, now.uis.hook != old.uis.hook) == ("", "", True),
        rotate: (now.uis.old_hook_digest, now.uis.hook != old.uis.hook) == (old.uis.hook_digest, True),
        break_circuit: (now.uis.consecutive_failures, now.crm.consecutive_failures) == (1, 1),
    }
    assert expected[happens]
    assert now.crm.site == "shop-two"


@needs.two_connections
def test_link_that_is_removed_while_the_employee_is_saved_stays_removed(
    transactional_db, open_page, tenant, pbx, crm, meanwhile
):
    ivan, number = Employee.objects.get(tenant=tenant, uis_id=IVAN), VirtualNumber.objects.get(number="74950000002")
    _form, send = open_page(url_of(ivan))
    threads = meanwhile(lambda: relink(tenant, pbx))
    assert send(caller_id_number=number.pk).status_code == 302
    threads[0].join()
    ivan.refresh_from_db()
    assert (ivan.crm_user_id, ivan.linked_by, ivan.caller_id_number) == (None, "MANUAL", number)


@needs.two_connections
def test_unique_value_that_somebody_else_takes_first_is_a_field_error(transactional_db, page, tenant, twin, meanwhile):
    meanwhile(lambda: Tenant.objects.filter(pk=twin.pk).update(slug="taken"), before="save_model")
    answer = page(slug="taken")
    assert (answer.status_code, list(answer.context["adminform"].form.errors)) == (200, ["slug"])
    assert Tenant.objects.get(pk=tenant.pk).slug == "romashka"
