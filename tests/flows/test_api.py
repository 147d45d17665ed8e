"""The API: a tenant's key reads its own rows only, an operator's key those of all tenants."""

import base64
import re
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.operations.alerts import incident_texts
from connector_project.operations.api.authentication import KeyThrottle
from connector_project.operations.models import Incident
from connector_project.operations.onboarding import offboarding
from telephony.models import Call, DailyReconciliation, Direction
from tenants import api_keys
from tenants.models import ApiKey, AuditLogEntry, Employee, Tenant, User
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import begin_rules
from tests.users import create_user

NOON = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
LISTS = ("calls", "employees", "reconciliation", "incidents")
ENGLISH = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def _no_requests_yet():
    cache.clear()


@pytest.fixture
def staff(db):
    return create_user("olga", "Operator")


@pytest.fixture
def shop(db):
    return create_tenant("Ромашка", "romashka", "Europe/Moscow")


@pytest.fixture
def other(db):
    """A second tenant, whose rows no other tenant's key may return."""
    return create_tenant("Чужой", "other", "America/New_York")


@pytest.fixture
def read(client, staff):
    """Send a request with the key of a tenant, or of an operator without `owner`."""
    keys = {}

    def send(path, owner=None, /, *, status=200, **query):
        if owner not in keys:
            _row, keys[owner] = api_keys.create(owner, "a program", by=staff, now=timezone.now())
        answer = client.get(_url(path), query, headers={"authorization": f"Bearer {keys[owner]}", **ENGLISH})
        assert answer.status_code == status, answer.content
        assert answer["content-type"] == "application/json"
        return answer.json()

    return send


def _url(path):
    return path if path.startswith("/") else f"/api/v1/{path}/"


def create_tenant(name, slug, zone):
    tenant = begin_rules(Tenant.objects.create(name=name, slug=slug, time_zone=zone, activated_at=NOON))
    person = Employee.objects.create(tenant=tenant, uis_id=IVAN, full_name=f"Иван {slug}", extension="101")
    DailyReconciliation.objects.create(
        tenant=tenant, day=date(2026, 3, 10), uis_calls=3, uploaded=2, waiting=1, counted_at=NOON
    )
    create_call(
        tenant,
        1,
        employee=person,
        recording_url="https://app.uiscom.ru/system/media/1",
        state="UPLOADED",
        uploaded_at=NOON,
    )
    create_incident(tenant)
    return tenant


def create_incident(tenant, **values):
    defaults = {"kind": "ACCESS_DENIED", "reason": "uis", "context": {"code": "access_token_expired"}}
    return Incident.objects.create(tenant=tenant, opened_at=NOON, last_seen_at=NOON, **defaults | values)


def create_call(tenant, session, *, minutes=0, **values):
    at = NOON - timedelta(minutes=minutes)
    defaults = {
        "direction": "in",
        "contact": CONTACT,
        "number": NUMBER,
        "result": "ANSWERED",
        "is_lost": False,
        "talk_seconds": 30,
    }
    return Call.objects.create(
        tenant=tenant, session_id=session, started_at=at, ended_at=at, retry_window_started_at=at, **defaults | values
    )


MISSED = {"result": "NO_ANSWER", "is_lost": True, "talk_seconds": 0}


def sessions(answer):
    return [row["session_id"] for row in answer["results"]]


def test_call_has_codes_and_times_in_the_tenants_time_zone(read, shop):
    [row] = read("calls", shop)["results"]
    call = Call.objects.get()
    assert row == {
        "id": call.pk,
        "tenant": "romashka",
        "session_id": 1,
        "external_id": "uis-1",
        "origin": "WEBHOOK",
        "started_at": "2026-03-10T12:00:00+03:00",
        "ended_at": "2026-03-10T12:00:00+03:00",
        "direction": "in",
        "is_internal": False,
        "contact": f"+{CONTACT}",
        "number": f"+{NUMBER}",
        "outcome": "answered",
        "result": "ANSWERED",
        "talk_seconds": 30,
        "wait_seconds": 0,
        "employee": {"uis_id": IVAN, "full_name": "Иван romashka", "extension": "101"},
        "crm_user_id": None,
        "state": "UPLOADED",
        "rule": "",
        "rule_version": 1,
        "reason": "",
        "failed_at": None,
        "next_attempt_at": None,
        "uploaded_at": "2026-03-10T12:00:00+03:00",
        "has_recording": True,
        "source": "",
        "scenario": "",
        "campaign": "",
        "tags": [],
        "attribution": {},
    }
    assert read(f"calls/{call.pk}", shop) == row


def test_employees_and_days_are_listed(read, shop):
    [person] = read("employees", shop)["results"]
    assert (person["uis_id"], person["extension"], person["tenant"]) == (IVAN, "101", "romashka")
    [day] = read("reconciliation", shop)["results"]
    assert (day["day"], day["uis_calls"], day["delivered_share"]) == ("2026-03-10", 3, pytest.approx(2 / 3))
    assert day["counted_at"] == "2026-03-10T12:00:00+03:00"


def test_incidents_have_a_message_and_system_wide_ones_are_for_operators(read, shop):
    create_incident(None, kind="WORKER", reason="fast", state="ACKNOWLEDGED", note="Петя смотрит")
    [row] = read("incidents", shop)["results"]
    with translation.override("en"):
        message = incident_texts.message(Incident.objects.get(tenant=shop))
    incident = Incident.objects.get(tenant=shop)
    assert row == {
        "id": incident.pk,
        "tenant": "romashka",
        "kind": "ACCESS_DENIED",
        "reason": "uis",
        "message": message,
        "responsible": "client",
        "state": "OPEN",
        "opened_at": "2026-03-10T12:00:00+03:00",
        "last_seen_at": "2026-03-10T12:00:00+03:00",
        "seen_count": 1,
        "resolved_at": None,
    }
    system_wide = read("incidents", state="ACKNOWLEDGED")["results"]
    assert [(row["tenant"], row["kind"], row["opened_at"]) for row in system_wide] == [
        (None, "WORKER", "2026-03-10T09:00:00+00:00")
    ]
    assert "note" not in system_wide[0]


def test_call_from_a_webhook_is_listed(read, notify, pbx, crm, tenant, stranger):
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    [row] = read("calls", tenant)["results"]
    assert (row["outcome"], row["state"], row["external_id"]) == ("missed", "UPLOADED", crm.calls[0]["externalId"])
    assert read("calls", stranger)["results"] == []


@pytest.mark.parametrize("name", LISTS)
def test_key_shows_its_own_tenant_only(read, shop, other, name):
    [own] = read(name, shop)["results"]
    [foreign] = read(name, other)["results"]
    assert (own["tenant"], foreign["tenant"]) == ("romashka", "other")
    assert read(name, shop, tenant="other")["results"] == []
    assert read(f"{name}/{foreign['id']}", shop, status=404)["detail"]
    assert read(f"{name}/{foreign['id']}", other) == foreign
    # An operator's key shows all tenants, or one.
    assert sorted(row["tenant"] for row in read(name)["results"]) == ["other", "romashka"]
    assert read(name, tenant="other")["results"] == [foreign]
    assert read(f"{name}/{foreign['id']}") == foreign


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"started_from": "2026-03-10T11:58:00+03:00"}, [1, 2, 3]),
        ({"started_till": "2026-03-10T11:58:00+03:00"}, [4, 5]),
        ({"started_from": "2026-03-10T08:58:00Z", "started_till": "2026-03-10T09:00:00Z"}, [2, 3]),
        ({"started_from": "2026-03-10T11:58:00 03:00"}, [1, 2, 3]),
        ({"started_from": "0001-01-01T00:00:00+14:00", "started_till": "9999-12-31T23:59:59-12:00"}, [1, 2, 3, 4, 5]),
        ({"started_from": "2026-03-11T04:42:00+19:44"}, [1, 2, 3]),  # an offset that PostgreSQL does not know
        ({"direction": "out"}, [4]),
        ({"outcome": "answered"}, [1]),
        ({"outcome": "missed"}, [2, 3]),
        ({"outcome": "not_reached"}, [4]),
        ({"result": "BUSY"}, [4]),
        ({"state": "READY"}, [3]),
        ({"reason": "CRM_REFUSED"}, [3]),
        ({"rule": "OUTGOING_OFF"}, [4]),
        ({"employee": IVAN}, [1]),
        ({"session_id": 5}, [5]),
        ({"contact": "8 (999) 000-00-02"}, [2]),
        ({"contact": "+79990000002"}, [2]),
        ({"contact": " 79990000002"}, [2]),
        ({"number": "74950000002"}, [3]),
        ({"outcome": "missed", "contact": CONTACT}, [3]),
        ({"page_size": 2}, [1, 2]),
    ],
)
def test_calls_are_filtered(read, shop, query, expected):
    create_call(shop, 2, minutes=1, contact="79990000002", state="UPLOADED", **MISSED)
    create_call(shop, 3, minutes=2, number="74950000002", state="READY", reason="CRM_REFUSED", **MISSED)
    out = {"direction": "out", "talk_seconds": 0, "result": "BUSY", "is_lost": None}
    create_call(shop, 4, minutes=3, state="SKIPPED", skip_reason="OUTGOING_OFF", **out)
    create_call(shop, 5, minutes=4, state="FETCHING_LEGS", result="", is_lost=None, talk_seconds=0)
    assert sessions(read("calls", shop, **query)) == expected


@pytest.mark.parametrize(
    ("name", "query", "count"),
    [
        ("employees", {"uis_id": IVAN}, 1),
        ("employees", {"extension": "102"}, 0),
        ("employees", {"is_dismissed": "true"}, 0),
        ("employees", {"crm_user_id": 27}, 0),
        ("reconciliation", {"day_from": "2026-03-10", "day_till": "2026-03-10"}, 1),
        ("reconciliation", {"day_from": "2026-03-11"}, 0),
        ("reconciliation", {"day_till": "2026-03-09"}, 0),
        ("incidents", {"kind": "ACCESS_DENIED", "state": "OPEN"}, 1),
        ("incidents", {"state": "RESOLVED"}, 0),
        ("incidents", {"opened_from": "2026-03-10T12:00:00+03:00", "opened_till": "2026-03-11T00:00:00Z"}, 1),
        ("incidents", {"opened_till": "2026-03-10T12:00:00+03:00"}, 0),
    ],
)
def test_employees_and_days_are_filtered(read, shop, name, query, count):
    assert len(read(name, shop, **query)["results"]) == count


@pytest.mark.parametrize(
    "query",
    [
        {"sate": "READY"},
        {"state": "ready"},
        {"state": ["READY", "UPLOADED"]},
        {"started_from": "2026-03-10T09:00:00"},
        {"started_from": "yesterday"},
        {"contact": "anonymous"},
        {"page_size": 0},
        {"page_size": 501},
        {"session_id": 2**63},
        {"employee": "Иван"},
        {"tenant": "no such thing"},
        *({"tenant": ""}, {"direction": ""}, {"session_id": ""}, {"contact": " "}),
        *({"q": "001"}, {"pks": "1"}, {"tenant__id__exact": "1"}),  # parameters of the call list in the admin
    ],
)
def test_invalid_parameter_is_rejected_with_its_name(read, shop, query):
    assert list(read("calls", shop, status=400, **query)) == list(query)


@pytest.mark.parametrize("value", ["x", "2", "no", ""])
def test_flag_is_true_or_false(read, shop, value):
    read("employees", shop, status=400, is_dismissed=value)
    for false, true in (("false", "true"), ("False", "True"), ("0", "1")):
        counts = [len(read("employees", shop, is_dismissed=flag)["results"]) for flag in (false, true)]
        assert counts == [1, 0]


def test_pages_list_every_row_once(read, shop):
    for session in range(2, 12):
        create_call(shop, session, minutes=session // 4)  # four calls share each time
    received, page = [], read("calls", shop, page_size=3)
    while page["next"]:
        received += sessions(page)
        create_call(shop, 100 + len(received), minutes=-1)  # A new call must not move rows to another page.
        assert urlsplit(page["next"]).netloc == "testserver"
        page = read(page["next"].removeprefix("http://testserver"), shop)
    received += sessions(page)
    in_order = Call.objects.filter(session_id__lt=100).order_by("-started_at", "-pk")
    assert received == list(in_order.values_list("session_id", flat=True))


@pytest.mark.slow
def test_reconciliation_of_one_day_spans_several_pages(read):
    tenants = Tenant.objects.bulk_create(
        Tenant(name=str(n), slug=f"c{n}", activation_token=str(n)) for n in range(1203)
    )
    DailyReconciliation.objects.bulk_create(
        DailyReconciliation(tenant=tenant, day=date(2026, 3, 10), counted_at=NOON) for tenant in tenants
    )
    received, page = [], read("reconciliation", page_size=500)
    while page["next"]:
        received += page["results"]
        page = read(page["next"].removeprefix("http://testserver"))
    received += page["results"]
    assert len({row["tenant"] for row in received}) == len(received) == 1203


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "nonsense 1", "2026-03-10T09:00:00+00:00", "2026-03-10T09:00:00+00:00 1 1"),
        *("2026-03-10T09:00:00 1", "2026-99-99T09:00:00+00:00 1", "2026-03-10T09:00:00+00:00 x", "\0 \0"),
    ],
)
def test_invalid_cursor_is_not_found(read, shop, cursor):
    encoded = base64.urlsafe_b64encode(cursor.encode()).decode() or "/"
    for name in LISTS:
        assert set(read(name, shop, cursor=encoded, status=404)) == {"detail"}
    read("calls", shop, cursor="ключ", status=404)
    huge = base64.urlsafe_b64encode(f"2026-03-10T09:00:00+00:00 {10**30}".encode()).decode()
    assert len(read("calls", shop, cursor=huge)["results"]) == 1
    beyond = base64.urlsafe_b64encode(f"2026-01-01 {10**30}".encode()).decode()
    assert read("reconciliation", shop, cursor=beyond)["results"] == []
    far_east = base64.urlsafe_b64encode(b"9000-01-01T00:00:00+19:44 1").decode()
    assert len(read("calls", shop, cursor=far_east)["results"]) == 1


@pytest.mark.parametrize("path", [*(f"/api/v1/{name}/" for name in LISTS), *(f"/api/v1/{name}/1/" for name in LISTS)])
def test_invalid_key_reads_nothing(client, admin_client, shop, staff, path):
    row, key = api_keys.create(shop, "x", by=staff, now=NOON)
    api_keys.revoke(row, now=NOON)
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Bearer x"}, {"authorization": f"Token {key}"}):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer["www-authenticate"]) == (401, "Bearer")
    assert client.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 401
    assert client.get(path, headers={"authorization": "Bearer ключ".encode().decode("latin-1")}).status_code == 401
    assert admin_client.get(path).status_code == 401  # A session cookie gives no access.


def test_api_is_read_only(client, shop, staff):
    _row, key = api_keys.create(shop, "x", by=staff, now=NOON)
    for name in LISTS:
        for method in ("post", "put", "patch", "delete"):
            answer = getattr(client, method)(f"/api/v1/{name}/", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 405


def test_key_is_stored_as_a_hash_with_its_last_use(read, shop, staff):
    row, key = api_keys.create(shop, "x", by=staff, now=NOON)
    assert key not in str(ApiKey.objects.filter(pk=row.pk).values())
    assert row.last_used_at is None
    for moment, expected in ((NOON, NOON), (NOON + timedelta(seconds=59), NOON), (NOON + timedelta(seconds=61),) * 2):
        with time_machine.travel(moment, tick=False):
            found = api_keys.find(key, now=moment)
            api_keys.touch(found, now=moment)
        assert ApiKey.objects.get(pk=row.pk).last_used_at == expected


def test_operators_key_stops_working_without_the_permission(read, shop, staff):
    assert len(read("calls")["results"]) == 1
    staff.groups.clear()
    read("calls", status=401)
    staff.groups.add(Group.objects.get(name="Support"))
    assert len(read("calls")["results"]) == 1
    staff.is_active = False
    staff.save()
    read("calls", status=401)
    read("calls", shop)  # A tenant's key does not depend on a user.
    staff.delete()
    read("calls", status=401)


def test_keys_of_a_disconnected_tenant_are_revoked(read, tenant):
    read("calls", tenant)
    offboarding.offboard(tenant, now=timezone.now())
    read("calls", tenant, status=401)
    Tenant.objects.update(offboarded_at=None)  # The keys stay revoked after the tenant returns.
    read("calls", tenant, status=401)


def test_rate_limit_answers_429(read, shop, monkeypatch):
    monkeypatch.setattr(KeyThrottle, "rate", "2/min")
    for status in (200, 200, 429):
        answer = read("calls", shop, status=status)
    assert "detail" in answer
    read("calls")  # Each key has its own limit.


@pytest.mark.parametrize("count", [1, 40])
def test_page_has_a_fixed_query_count(read, shop, django_assert_num_queries, count):
    create_call(shop, 2)
    for number in range(count):
        person = Employee.objects.create(tenant=shop, uis_id=number, full_name=str(number))
        create_call(shop, 10 + number, employee=person)
        DailyReconciliation.objects.create(tenant=shop, day=date(2026, 1, 1) + timedelta(days=number), counted_at=NOON)
        create_incident(shop, reason=f"uis {number}")
    for name in LISTS:
        read(name, shop), read(name)
        with django_assert_num_queries(3):  # the key, the page, the count of rows read
            read(name, shop)
        with django_assert_num_queries(5):  # and the permissions of the key's owner
            read(name)


def test_recording_links_and_keys_are_never_returned(client, shop, staff, django_assert_num_queries):
    _row, key = api_keys.create(None, "x", by=staff, now=NOON)
    for name in LISTS:
        text = client.get(f"/api/v1/{name}/", headers={"authorization": f"Bearer {key}"}).content.decode()
        for secret in ("media", "recording_url", "token", "digest", "hook", "client_id"):
            assert secret not in text


def test_key_is_created_in_the_admin_shown_once_and_revoked(client, staff, shop):
    client.force_login(staff)
    url = reverse("admin:tenants_apikey_changelist")
    form = {"name": "Отчёты", "tenant": shop.pk}
    answer = client.post(reverse("admin:tenants_apikey_add"), form, follow=True, headers=ENGLISH)
    key = re.search(r'<code class="admin-link">([\w-]{43})</code>', answer.content.decode())[1]
    api = {"authorization": f"Bearer {key}"}
    assert client.get("/api/v1/calls/", headers=api).status_code == 200
    row = ApiKey.objects.get()
    page = client.get(reverse("admin:tenants_apikey_change", args=[row.pk]), headers=ENGLISH)
    for html in (page.content.decode(), client.get(url).content.decode()):
        assert key not in html
        assert row.digest not in html
    client.post(url, {"action": "revoke", "confirmed": "yes", "_selected_action": [row.pk]})
    assert client.get("/api/v1/calls/", headers=api).status_code == 401
    entries = AuditLogEntry.objects.order_by("pk").values_list("action", "object_repr", "tenant", "user__username")
    assert list(entries) == [
        ("API_KEY_CREATED", "Отчёты", shop.pk, "olga"),
        ("API_KEY_REVOKED", "Отчёты", shop.pk, "olga"),
    ]
    assert key not in str(list(AuditLogEntry.objects.values()))
    # Submitting the page of a key changes nothing.
    client.post(reverse("admin:tenants_apikey_change", args=[row.pk]), {"name": "other"})
    assert ApiKey.objects.get().name == "Отчёты"


def test_operators_key_has_no_tenant(client, staff):
    client.force_login(staff)
    client.post(reverse("admin:tenants_apikey_add"), {"name": "BI", "tenant": ""})
    assert ApiKey.objects.get().tenant is None
    assert "BI" in html_text.text(client.get(reverse("admin:tenants_auditlogentry_changelist"), headers=ENGLISH))
    support = create_user("support", "Support")
    client.force_login(support)
    assert client.get(reverse("admin:tenants_apikey_changelist")).status_code == 200
    assert client.get(reverse("admin:tenants_apikey_add")).status_code == 403
    client.post(
        reverse("admin:tenants_apikey_changelist"),
        {"action": "revoke", "confirmed": "yes", "_selected_action": [ApiKey.objects.get().pk]},
    )
    assert ApiKey.objects.get().revoked_at is None


@pytest.mark.parametrize("language", ["ru", "en"])
def test_schema_and_its_page_use_no_external_host(admin_client, language):
    client, headers = admin_client, {"accept-language": language}
    schema = client.get("/api/v1/schema/", headers=headers).content.decode()
    with translation.override(language):
        assert str(Direction.IN.label) in schema
    assert "/hooks/" not in schema
    page = client.get("/api/v1/docs/", headers=headers).content.decode()
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []


@pytest.mark.parametrize("path", ["/api/v1/schema/", "/api/v1/docs/"])
def test_schema_and_its_page_are_for_keys_and_staff(client, tenant, path):
    cases = {"nobody": 401 if "schema" in path else 302, "visitor": 401 if "schema" in path else 302, "staff": 200}
    found = {"nobody": client.get(path).status_code}
    client.force_login(User.objects.create_user("visitor", password="x"))
    found["visitor"] = client.get(path).status_code
    client.force_login(create_user("olga", "Support"))
    found["staff"] = client.get(path).status_code
    client.logout()
    assert found == cases
    _row, key = api_keys.create(tenant, "x", by=create_user("anna", "Operator"), now=timezone.now())
    statuses = [client.get(path, headers={"Authorization": f"Bearer {one}"}).status_code for one in (key, "wrong")]
    assert statuses == [200, 401]
