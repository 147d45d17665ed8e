"""Administrators manage staff without being superusers, and give no right that they lack, on any path."""

import re

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from tenants import second_factor, staff_accounts
from tenants.models import AuditLogEntry, TotpDevice, User
from tests import html_text
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

USERS, GROUPS = "/admin/tenants/user/", "/admin/auth/group/"
PASSWORD = "ladder moon 17"
Action = AuditLogEntry.Action


@pytest.fixture
def eva(client, db):
    """An administrator, who is signed in."""
    user = create_user("eva", "Administrator")
    client.force_login(user)
    return user


@pytest.fixture
def anna(eva):
    return create_user("anna", "Operator")


def granted(*codenames, name, **flags):
    user = User.objects.create_user(name, password="x", is_staff=True, **flags)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return user


def superuser():
    return User.objects.create_superuser("root", password="x", first_name="Root")


def deactivated_superuser():
    user = superuser()
    User.objects.filter(pk=user.pk).update(is_active=False)
    return user


def with_other_right():
    return granted("change_group", name="boris")


def deactivated_with_other_right():
    return granted("change_group", name="boris", is_active=False)


def with_group_of_other_right():
    group = Group.objects.create(name="Keys")
    group.permissions.set(Permission.objects.filter(codename="delete_user"))
    user = User.objects.create_user("boris", password="x", is_staff=True)
    user.groups.add(group)
    return user


ABOVE = (
    superuser,
    deactivated_superuser,
    with_other_right,
    deactivated_with_other_right,
    with_group_of_other_right,
)


def page_of(user):
    return reverse("admin:tenants_user_change", args=[user.pk])


def save(client, user, **typed):
    form = html_text.fields(client.get(page_of(user)).content.decode())
    form = {name: value for name, value in form.items() if name not in {"is_active", "is_staff"}}
    kept = {"is_active": user.is_active, "is_staff": user.is_staff}
    form |= {name: "on" for name, is_set in (kept | typed).items() if is_set is True}
    return client.post(
        page_of(user), form | {name: value for name, value in typed.items() if value not in (True, False)}
    )


def state(user):
    row = User.objects.filter(pk=user.pk).values().get()
    return row | {
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
        "devices": TotpDevice.objects.filter(user=user).count(),
    }


def entries(*actions):
    rows = AuditLogEntry.objects.filter(action__in=actions).order_by("pk")
    return [(row.action, row.object_repr, row.field, row.old, row.new, row.user.username) for row in rows]


def is_signed_in(client):
    return client.get("/admin/").status_code == 200


# --- what an administrator does


@pytest.mark.slow
def test_administrator_makes_an_account_of_each_group(client, eva):
    new = {"username": "anna", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post(f"{USERS}add/", new).status_code == 302
    anna = User.objects.get(username="anna")
    for name in ("Support", "Operator", "Administrator"):
        answer = save(client, anna, groups=[Group.objects.get(name=name).pk])
        assert answer.status_code == 302, html_text.errors(answer)
        assert state(anna)["groups"] == [name]
    assert Client().post("/admin/login/", {"username": "anna", "password": PASSWORD}).status_code == 302
    assert (Action.ADDED, "user anna", "", "", "", "eva") in entries(Action.ADDED)
    assert entries(Action.CHANGED)[:2] == [
        (Action.CHANGED, "user anna", "groups", "", "Support", "eva"),
        (Action.CHANGED, "user anna", "groups", "Support", "Operator", "eva"),
    ]
    assert not AuditLogEntry.objects.filter(new__contains=PASSWORD).exists()


def test_accounts_are_offered_in_order(client, eva, anna):
    asked = {"app_label": "tenants", "model_name": "apikey", "field_name": "created_by"}
    answer = client.get(reverse("admin:autocomplete"), asked)
    assert [row["text"] for row in answer.json()["results"]] == ["anna", "eva"]


def test_administrator_is_no_superuser_and_edits_no_groups(client, eva):
    assert not eva.is_superuser
    assert client.get(GROUPS).status_code == 200
    assert client.get(f"{GROUPS}add/").status_code == 403
    group = Group.objects.get(name="Administrator")
    assert client.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "x"}).status_code == 403


@pytest.mark.parametrize(
    "typed",
    [{"is_active": False}, {"is_staff": False}, {"groups": []}, {"user_permissions": ["view_user"]}],
    ids=lambda typed: next(iter(typed)),
)
def test_changed_rights_end_the_sessions_of_that_account_only(client, eva, anna, typed):
    boris, others, hers = create_user("boris", "Operator"), Client(), Client()
    others.force_login(boris)
    hers.force_login(anna)
    if "user_permissions" in typed:
        typed = {"user_permissions": [Permission.objects.get(codename="view_user").pk]}
    answer = save(client, anna, **typed)
    assert answer.status_code == 302, html_text.errors(answer)
    User.objects.filter(pk=anna.pk).update(is_active=True, is_staff=True)
    assert [is_signed_in(one) for one in (hers, others, client)] == [False, True, True]


def test_change_of_a_name_ends_no_session(client, eva, anna):
    hers = Client()
    hers.force_login(anna)
    assert save(client, anna, first_name="Anna").status_code == 302
    assert is_signed_in(hers)


def test_administrator_sets_a_password_which_ends_sessions(client, eva, anna):
    hers = Client()
    hers.force_login(anna)
    url = reverse("admin:auth_user_password_change", args=[anna.pk])
    assert client.post(url, {"password1": "x", "password2": "x", "usable_password": "true"}).status_code == 200
    assert entries(Action.PASSWORD_CHANGED) == []
    typed = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert client.post(url, typed).status_code == 302
    assert entries(Action.PASSWORD_CHANGED) == [
        (Action.PASSWORD_CHANGED, "user anna", "address", "", "127.0.0.1", "eva")
    ]
    assert not is_signed_in(hers)


@pytest.mark.parametrize("name", ["reset_second_factor", "sign_out"])
def test_administrator_ends_the_sessions_of_a_colleague(client, eva, anna, name):
    hers = Client()
    hers.force_login(anna)
    TotpDevice.objects.create(user=anna)
    second_factor.renew_recovery_codes(anna)
    url = reverse(f"admin:tenants_user_{name}", args=[anna.pk])
    assert url in client.get(page_of(anna)).content.decode()
    assert client.get(url).status_code == 200
    assert is_signed_in(hers) is True
    assert client.post(url).status_code == 302
    assert (is_signed_in(hers), is_signed_in(client)) == (False, True)
    is_reset = name == "reset_second_factor"
    assert (second_factor.find_device(anna) is None, anna.recovery_codes.count()) == (is_reset, 0 if is_reset else 10)
    [(action, target, *_rest, by)] = entries(Action.SECOND_FACTOR_RESET, Action.SESSIONS_ENDED)
    assert (action == Action.SECOND_FACTOR_RESET, target, by) == (is_reset, "user anna", "eva")


def test_nobody_resets_their_own_second_factor_or_sets_a_password_without_the_old_one(client, eva):
    TotpDevice.objects.create(user=eva)
    url = reverse("admin:tenants_user_reset_second_factor", args=[eva.pk])
    assert url not in client.get(page_of(eva)).content.decode()
    assert (client.get(url).status_code, client.post(url).status_code) == (403, 403)
    assert second_factor.find_device(eva)
    typed = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    answer = client.post(reverse("admin:auth_user_password_change", args=[eva.pk]), typed)
    assert answer["Location"] == reverse("admin:password_change")
    eva.refresh_from_db()
    assert eva.check_password("x")


# --- what an administrator must not do


@pytest.mark.parametrize("create", ABOVE)
def test_accounts_with_more_rights_are_closed(client, eva, create):
    user = create()
    TotpDevice.objects.create(user=user)
    before = state(user)
    form = {"username": user.username, "first_name": "Changed", "_save": "Save"}
    typed = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    posts = [
        (page_of(user), form),
        (reverse("admin:auth_user_password_change", args=[user.pk]), typed),
        (reverse("admin:tenants_user_reset_second_factor", args=[user.pk]), {}),
        (reverse("admin:tenants_user_sign_out", args=[user.pk]), {}),
        (reverse("admin:tenants_user_delete", args=[user.pk]), {"post": "yes"}),
    ]
    assert [client.post(url, data).status_code for url, data in posts] == [403] * len(posts)
    client.post(USERS, {"form-0-id": user.pk, "form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "_save": "Save"})
    client.post(USERS, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"})
    assert state(user) == before
    assert "Changed" not in client.get(page_of(user)).content.decode()


@pytest.mark.slow
def test_posted_flags_groups_and_permissions_that_the_editor_lacks_are_not_given(client, eva, anna):
    above = with_group_of_other_right().groups.get()
    lacking = Permission.objects.exclude(pk__in=staff_accounts.permissions_of(eva).values("pk"))
    before = state(anna)
    assert save(client, anna, is_superuser=True).status_code == 302
    assert save(client, anna, groups=[above.pk]).status_code == 200
    assert save(client, anna, user_permissions=[lacking[0].pk]).status_code == 200
    assert state(anna) == before
    html = client.get(page_of(anna)).content.decode()
    offered = re.search(r'<select name="groups".*?</select>', html, re.DOTALL)[0]
    assert ("Operator" in offered, above.name in offered) == (True, False)
    assert 'name="is_superuser"' not in html


def test_new_account_gets_no_posted_flag(client, eva):
    new = {"username": "anna", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    client.post(f"{USERS}add/", new | {"is_superuser": "on", "groups": [1, 2, 3]})
    anna = User.objects.get(username="anna")
    assert (anna.is_superuser, anna.is_staff, state(anna)["groups"]) == (False, True, [])


def test_own_rights_cannot_be_raised(client, eva):
    permission = Permission.objects.get(codename="change_group")
    assert save(client, eva, is_superuser=True, user_permissions=[permission.pk]).status_code == 200
    eva.refresh_from_db()
    assert (eva.is_superuser, state(eva)["permissions"]) == (False, [])


def test_bulk_deletion_stops_at_the_first_account_above(client, db):
    editor, low, root = granted("view_user", "delete_user", "change_user", name="eva"), granted(name="low"), superuser()
    client.force_login(editor)
    action = {"action": "delete_selected", "post": "yes"}
    assert client.post(USERS, action | {"_selected_action": [low.pk, root.pk]}).status_code == 403
    assert User.objects.count() == 3
    assert client.post(USERS, action | {"_selected_action": [low.pk]}).status_code == 302
    assert entries(Action.REMOVED) == [(Action.REMOVED, "user low", "", "", "", "eva")]


@pytest.mark.parametrize("group", ["Operator", "Support"])
def test_other_groups_see_no_accounts(client, db, group):
    client.force_login(create_user("anna", group))
    assert [client.get(url).status_code for url in (USERS, f"{USERS}add/", GROUPS)] == [403] * 3


# --- groups


def test_editor_of_groups_gives_only_their_own_permissions(client, db):
    editor = granted("view_group", "change_group", "add_group", "delete_group", "view_call", name="eva")
    client.force_login(editor)
    call, tenant = (Permission.objects.get(codename=f"view_{name}") for name in ("call", "tenant"))
    assert client.post(f"{GROUPS}add/", {"name": "Mine", "permissions": [call.pk]}).status_code == 302
    assert client.post(f"{GROUPS}add/", {"name": "Theirs", "permissions": [tenant.pk]}).status_code == 200
    support, mine = Group.objects.get(name="Support"), Group.objects.get(name="Mine")
    for url in (reverse(f"admin:auth_group_{name}", args=[support.pk]) for name in ("change", "delete")):
        assert client.post(url, {"name": "x", "post": "yes"}).status_code == 403
    assert client.post(reverse("admin:auth_group_delete", args=[mine.pk]), {"post": "yes"}).status_code == 302
    assert [row[:5] for row in entries(Action.ADDED, Action.REMOVED)][-1] == (Action.REMOVED, "group Mine", "", "", "")
    assert (Action.ADDED, "group Mine", "permissions", "", str(call), "eva") in entries(Action.ADDED)


@pytest.mark.parametrize("does", ["change", "delete"])
def test_lost_permissions_of_a_group_end_the_sessions_of_its_members(admin_client, anna, does):
    hers, group = Client(), Group.objects.get(name="Operator")
    hers.force_login(anna)
    url = reverse(f"admin:auth_group_{does}", args=[group.pk])
    assert (
        html_text.submit(admin_client, url, {"name": "Operator", "permissions": [], "post": "yes"}).status_code == 302
    )
    anna.groups.add(Group.objects.get(name="Support"))
    assert (is_signed_in(hers), is_signed_in(admin_client)) == (False, True)
