"""Who gives staff which clients, and what a user with a set of clients does: adds clients, acts on many rows."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from telephony import bulk_actions
from telephony.models import BulkAction, Call
from tenants.models import Tenant, User
from tenants.visibility import visible_to
from tests import html_text
from tests.users import create_user

ENGLISH = {"accept-language": "en"}


@pytest.fixture
def limited(db, twin):
    """Somebody with every permission, but one client."""
    user = User.objects.create_user("limited", password="x", is_staff=True, sees_all_tenants=False)
    user.user_permissions.set(Permission.objects.all())
    user.visible_tenants.add(twin)
    return user


@pytest.fixture
def calls(tenant, twin):
    """A failed call of each client, with the same session."""
    now = timezone.now()
    times = {"started_at": now, "ended_at": now, "retry_window_started_at": now, "failed_at": now}
    return [Call.objects.create(tenant=one, session_id=1, state="READY", **times) for one in (tenant, twin)]


def save(client, user, **changes):
    """Save the page of a user as the browser would."""
    url = reverse("admin:tenants_user_change", args=[user.pk])
    answer = client.get(url, headers=ENGLISH)
    form = answer.context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: value for name, value in data.items() if value not in (None, False) and name != "password"}
    data |= {f"{name}_0": f"{value:%Y-%m-%d}" for name, value in data.items() if hasattr(value, "year")}
    data |= {f"{name}_1": f"{value:%H:%M:%S}" for name, value in data.items() if hasattr(value, "hour")}
    data = {name: [one.pk for one in value] if isinstance(value, list) else value for name, value in data.items()}
    data = {name: value for name, value in (data | changes).items() if value is not None}
    return client.post(url, data | {"_opened": answer.context.get("opened", "")}, headers=ENGLISH)


def test_new_staff_see_all_unless_somebody_with_a_set_adds_them(client, limited, admin_user):
    password = {"password1": "correct-horse-battery", "password2": "correct-horse-battery"}
    for name, by in (("one", admin_user), ("two", limited)):
        client.force_login(by)
        client.post(reverse("admin:tenants_user_add"), {"username": name, "usable_password": "true", **password})
    assert list(User.objects.filter(username__in=["one", "two"]).order_by("pk").values_list("sees_all_tenants")) == [
        (True,),
        (False,),
    ]
    assert not User.objects.get(username="two").visible_tenants.exists()


def test_set_is_chosen_on_the_users_page(client, admin_user, tenant, twin):
    user = User.objects.create_user("new", password="x", is_staff=True)
    client.force_login(admin_user)
    assert save(client, user, sees_all_tenants=None, visible_tenants=[twin.pk]).status_code == 302
    user = User.objects.get(pk=user.pk)
    assert not user.sees_all_tenants
    assert list(visible_to(Tenant.objects.all(), user)) == [twin]


def test_administrator_of_the_group_chooses_among_all_clients(client, db):
    client.force_login(create_user("eva", "Administrator"))
    user = User.objects.create_user("new", password="x", is_staff=True)
    # A key that no permission has.
    clients = [Tenant.objects.create(pk=pk, name=f"Client {pk}", slug=f"client-{pk}") for pk in (1, 10**6)]
    assert save(client, user, sees_all_tenants=None, visible_tenants=[one.pk for one in clients]).status_code == 302
    assert list(user.visible_tenants.order_by("pk")) == clients


def test_user_with_a_set_gives_only_clients_of_the_set(client, limited, tenant, twin):
    user = User.objects.create_user("new", password="x", is_staff=True, sees_all_tenants=False)
    client.force_login(limited)
    assert save(client, user, visible_tenants=[tenant.pk]).status_code == 200  # An invalid choice.
    assert save(client, user, visible_tenants=[twin.pk], sees_all_tenants="on", is_superuser="on").status_code == 302
    user = User.objects.get(pk=user.pk)
    assert list(user.visible_tenants.all()) == [twin]
    assert (user.sees_all_tenants, user.is_superuser) == (False, False)


def test_user_with_a_set_manages_nobody_who_sees_more(client, limited, admin_user, tenant, twin):
    more = User.objects.create_user("more", password="x", is_staff=True, sees_all_tenants=False)
    more.visible_tenants.set([tenant, twin])
    everything = User.objects.create_user("everything", password="x", is_staff=True)
    client.force_login(limited)
    shown = client.get(reverse("admin:tenants_user_changelist")).context["cl"].result_list
    assert list(shown) == [limited]
    for other in (more, everything, admin_user):
        password = {"password1": "correct-horse-battery", "password2": "correct-horse-battery"}
        answer = client.post(reverse("admin:auth_user_password_change", args=[other.pk]), password)
        assert answer.status_code == 404
        before = other.password
        other.refresh_from_db()
        assert other.password == before


def test_client_added_by_a_user_with_a_set_is_visible_to_them(client, limited, twin):
    client.force_login(limited)
    page = client.get(reverse("admin:tenants_tenant_add"))
    data = {
        f"{one.formset.prefix}-{name}": value
        for one in page.context["inline_admin_formsets"]
        for name, value in (("TOTAL_FORMS", 1), ("INITIAL_FORMS", 0), ("0-brand", "uis"), ("0-address", ""))
    }
    data |= {"name": "Новый", "language": "ru", "time_zone": "Europe/Moscow"}
    answer = client.post(reverse("admin:tenants_tenant_add"), data)
    new = Tenant.objects.get(name="Новый")
    assert answer.url == reverse("admin:tenants_tenant_change", args=[new.pk])
    assert client.get(answer.url).status_code == 200
    assert set(visible_to(Tenant.objects.all(), User.objects.get(pk=limited.pk))) == {twin, new}


def test_bulk_action_takes_visible_rows_only(client, limited, calls, run_queue, twin):
    client.force_login(limited)
    url = reverse("admin:telephony_bulkaction_preview", args=["SKIP"])
    both = ",".join(str(call.pk) for call in calls)
    for query in ({}, {"q": "1"}, {"pks": both}):
        assert client.get(url, query).context["total"] == (0 if query.get("q") else 1)
    html_text.submit(client, url, {"reason": "no"}, query_params={"pks": both})
    run_queue()
    assert sorted(Call.objects.values_list("tenant__slug", "state")) == [("romashka", "READY"), ("stranger", "SKIPPED")]
    action = BulkAction.objects.get()
    assert (action.total, list(action.tenants.all())) == (1, [twin])


def test_worker_leaves_rows_that_the_requester_may_no_longer_see(limited, calls, run_queue, tenant, twin):
    limited.visible_tenants.set([tenant, twin])
    user = User.objects.get(pk=limited.pk)
    bulk_actions.start("SKIP", {"state": "READY"}, by=user, now=timezone.now())
    user.visible_tenants.remove(tenant)
    run_queue()
    assert sorted(Call.objects.values_list("tenant__slug", "state")) == [("romashka", "READY"), ("stranger", "SKIPPED")]


def test_bulk_action_on_several_clients_is_hidden_from_who_sees_only_some(client, limited, calls, tenant, twin):
    several = bulk_actions.start("RETRY", {"state": "READY"}, by=None, now=timezone.now())
    own = bulk_actions.start("RETRY", {"tenant__id__exact": str(twin.pk)}, by=None, now=timezone.now())
    client.force_login(limited)
    shown = client.get(reverse("admin:telephony_bulkaction_changelist")).context["cl"].result_list
    assert list(shown) == [own]
    for action, status in ((several, 404), (own, 200)):
        assert client.get(reverse("admin:telephony_bulkaction_change", args=[action.pk])).status_code == status
        step = reverse("admin:telephony_bulkaction_step", args=[action.pk, "cancel"])
        assert client.post(step).status_code == (404 if status == 404 else 302)
    assert {row.pk: row.state for row in BulkAction.objects.all()} == {several.pk: "RUNNING", own.pk: "CANCELLED"}


@pytest.mark.parametrize("name", ["tenants_tenant", "telephony_call", "telephony_bulkaction", "tenants_auditlogentry"])
def test_set_of_clients_costs_one_query_per_page(client, limited, name, twin):
    costs = []
    for sees_all in (True, False):
        User.objects.filter(pk=limited.pk).update(sees_all_tenants=sees_all)
        client.force_login(User.objects.get(pk=limited.pk))
        url = reverse(f"admin:{name}_changelist")
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        costs.append(len(queries))
        joined = [query["sql"] for query in queries if "visible_tenants" in query["sql"]]
        assert len(joined) == (0 if sees_all else 1)
    assert costs[1] == costs[0] + 1
