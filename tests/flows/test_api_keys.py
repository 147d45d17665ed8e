"""Keys of staff follow the rights that their maker has today; what a key reads is in the access log."""

from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from telephony.models import AccessLogEntry, Call
from tenants import api_keys
from tenants.models import ApiKey, Employee, User
from tests.conftest import CONTACT, NUMBER
from tests.users import create_user

ENGLISH = {"accept-language": "en"}
KEYS = reverse("admin:tenants_apikey_changelist")
ADD = reverse("admin:tenants_apikey_add")


@pytest.fixture
def olga(db):
    return create_user("olga", "Operator")


@pytest.fixture(autouse=True)
def calls(tenant, twin):
    cache.clear()
    now = timezone.now()
    times = {"started_at": now, "ended_at": now, "retry_window_started_at": now}
    for one in (tenant, twin):
        Call.objects.create(tenant=one, session_id=1, contact=CONTACT, number=NUMBER, state="UPLOADED", **times)


@pytest.fixture
def reader(client):
    """Return a function that reads with a new key."""

    def create(owner, by, **values):
        _row, key = api_keys.create(owner, "a program", by=by, now=timezone.now(), **values)
        return partial(client.get, headers={"authorization": f"Bearer {key}", **ENGLISH})

    return create


def contacts(answer):
    assert answer.status_code == 200
    return {row["contact"] for row in answer.json()["results"]}


def test_staff_key_masks_numbers_when_its_maker_sees_masks(reader, olga, tenant):
    of_staff, of_client = reader(None, olga), reader(tenant, olga)
    assert contacts(of_staff("/api/v1/calls/")) == {f"+{CONTACT}"}
    employees = [row["numbers"] for row in of_staff("/api/v1/employees/").json()["results"]]
    olga.groups.set([Group.objects.get(name="Support")])
    assert contacts(of_staff("/api/v1/calls/")) == {"7999***0001"}
    call = Call.objects.first()
    assert of_staff(f"/api/v1/calls/{call.pk}/").json()["contact"] == "7999***0001"
    masked = [row["numbers"] for row in of_staff("/api/v1/employees/").json()["results"]]
    assert masked == [[f"{number[:4]}***{number[-4:]}" for number in numbers] for numbers in employees] != employees
    # A client's key shows the client's own data.
    assert contacts(of_client("/api/v1/calls/")) == {f"+{CONTACT}"}


def test_staff_key_reads_the_clients_that_its_maker_sees_today(reader, olga, tenant, twin):
    read = reader(None, olga)
    assert len(read("/api/v1/calls/").json()["results"]) == 2
    olga.sees_all_tenants = False
    olga.save()
    assert read("/api/v1/calls/").json()["results"] == []
    olga.visible_tenants.add(twin)
    assert [row["tenant"] for row in read("/api/v1/calls/").json()["results"]] == ["stranger"]
    assert read(f"/api/v1/calls/{Call.objects.get(tenant=tenant).pk}/").status_code == 404


def test_staff_key_ends_with_its_maker_a_clients_key_does_not(client, reader, olga, tenant):
    of_staff, of_client = reader(None, olga), reader(tenant, olga)
    olga.is_active = False
    olga.save()
    assert (of_staff("/api/v1/calls/").status_code, of_client("/api/v1/calls/").status_code) == (401, 200)
    client.force_login(create_user("anna", "Operator"))
    html = client.get(KEYS, headers=ENGLISH).content.decode()
    assert html.count("olga (no longer here)") == 2
    shown = {row.tenant_id: row.is_valid(today=timezone.now().date()) for row in ApiKey.objects.all()}
    assert shown == {None: False, tenant.pk: True}
    olga.delete()
    assert client.get(KEYS, headers=ENGLISH).content.decode().count("– (no longer here)") == 2


def test_staff_key_reads_only_what_its_maker_may_view(reader, db):
    maker = User.objects.create_user("maker", password="x", is_staff=True)
    maker.user_permissions.add(Permission.objects.get(codename="view_call"))
    read = reader(None, maker)
    resources = ("calls", "employees", "reconciliation", "incidents")
    assert [read(f"/api/v1/{name}/").status_code for name in resources] == [200, 403, 403, 403]
    answer = read(f"/api/v1/employees/{Employee.objects.first().pk}/")
    assert (answer.status_code, "may not view" in answer.json()["detail"]) == (403, True)
    maker.user_permissions.add(Permission.objects.get(codename="view_incident"))
    assert read("/api/v1/incidents/").status_code == 200


def test_key_ends_after_its_last_day(reader, olga, tenant):
    today = timezone.now().date()
    read = reader(tenant, olga, valid_until=today)
    assert read("/api/v1/calls/").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        answer = read("/api/v1/calls/")
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)


def test_end_date_is_set_when_the_key_is_created(client, olga):
    client.force_login(olga)
    today = timezone.now().date()
    answer = client.post(ADD, {"name": "x", "valid_until": today - timedelta(days=1)}, headers=ENGLISH)
    assert "in the past" in answer.content.decode()
    assert not ApiKey.objects.exists()
    client.post(ADD, {"name": "x", "valid_until": today})
    assert ApiKey.objects.get().valid_until == today


def test_whoever_sees_masks_creates_no_clients_key(client, tenant):
    support = create_user("sveta", "Support")
    support.user_permissions.add(Permission.objects.get(codename="add_apikey"))
    client.force_login(support)
    answer = client.post(ADD, {"name": "x", "tenant": tenant.pk}, headers=ENGLISH)
    assert "Ask an operator" in answer.content.decode()
    client.post(ADD, {"name": "of staff"})
    assert list(ApiKey.objects.values_list("name", "tenant")) == [("of staff", None)]


def test_reads_are_one_entry_per_key_day_and_resource(reader, olga, tenant, client):
    of_staff, of_client = reader(None, olga), reader(tenant, olga)
    for read in (of_staff, of_client):
        for _time in range(2):
            read("/api/v1/calls/"), read(f"/api/v1/calls/{Call.objects.get(tenant=tenant).pk}/")
        read("/api/v1/employees/"), read("/api/v1/calls/10000/"), read("/api/v1/calls/?x=1")
    entries = AccessLogEntry.objects.order_by("pk").values_list("kind", "detail", "count", "username", "tenant", "call")
    people = Employee.objects.filter(tenant=tenant).count()
    assert list(entries) == [
        ("API", "calls", 6, "olga", None, None),
        ("API", "employees", 2 * people, "olga", None, None),
        ("API", "calls", 4, "", tenant.pk, None),
        ("API", "employees", people, "", tenant.pk, None),
    ]
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        of_client("/api/v1/calls/")
    assert AccessLogEntry.objects.count() == 5
    client.force_login(olga)
    html = client.get(reverse("admin:telephony_accesslogentry_changelist"), headers=ENGLISH).content.decode()
    assert html.count("API key “a program” olga") == 2


@pytest.mark.parametrize("is_limited", [False, True])
def test_reading_has_a_fixed_query_count(reader, olga, twin, django_assert_num_queries, is_limited):
    olga.sees_all_tenants = not is_limited
    olga.save()
    olga.visible_tenants.add(twin)
    read = reader(None, olga)
    for resource in ("calls", "employees", "reconciliation", "incidents"):
        read(f"/api/v1/{resource}/")
        # The key, two for the maker's permissions, the page, the count of rows; for a set of clients, the set.
        with django_assert_num_queries(5 + is_limited):
            read(f"/api/v1/{resource}/")
