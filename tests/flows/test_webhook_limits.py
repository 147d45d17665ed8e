"""The limit of notifications per tenant, the cap on unreadable ones, and the expected source addresses."""

import json
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connector_project.operations import tasks as operations_tasks
from connector_project.operations.alerts import evaluate, incident_texts
from connector_project.operations.models import Incident, TrafficProfile
from telephony import tasks
from telephony.models import Call, Notification
from telephony.webhooks import limits, receive, text_cap
from tenants.models import AuditLogEntry, UisConnection
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = pytest.mark.sampled(1)


@pytest.fixture
def flood(tenant):
    """Store notifications of a tenant, all at one moment; return their HTTP statuses."""

    def store(count, *, hook=tenant.uis.hook, body="junk {}", now=None):
        now = now or timezone.now()
        return {receive.store(hook, event="", query="", body=body.format(n), now=now) for n in range(count)}

    return store


@pytest.fixture
def low_floor(monkeypatch):
    monkeypatch.setattr(limits, "FLOOR", 5)


def intake(tenant):
    return UisConnection.objects.get(tenant=tenant)


def limit(now=None):
    limits.apply(now=now or timezone.now())


def test_floor_is_fifty_a_second_for_ten_seconds():
    assert not limits.is_excess(500, 10**6, busiest_minute=0)
    assert limits.is_excess(501, 501, busiest_minute=0)
    assert not limits.is_excess(10_000, 20 * 40, busiest_minute=40)
    assert limits.is_excess(10_000, 20 * 40 + 1, busiest_minute=40)


def test_flood_is_refused_and_counted_until_it_ends(client, tenant, hook, flood, low_floor):
    now = timezone.now()
    assert flood(5, now=now) == {200}
    limit(now)
    assert flood(6, body="more {}", now=now) == {200}
    limit(now)
    answer = client.post(hook, "one more", content_type="text/plain")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
    assert (Notification.objects.count(), intake(tenant).refused_webhooks) == (11, 1)
    flood(20, now=now)
    limit(now + timedelta(seconds=2))  # goes on
    assert intake(tenant).limited_until == now + timedelta(seconds=12)
    limit(now + timedelta(seconds=4))  # nothing was refused since
    assert intake(tenant).limited_until == now + timedelta(seconds=12)
    assert flood(1, body="later", now=now + timedelta(seconds=13)) == {200}
    limit(now + timedelta(seconds=13))
    assert not intake(tenant).is_limited(now=now + timedelta(seconds=13))


@pytest.mark.parametrize("body", ["same", '{{"event": "waiting", "call_session_id": 5}}'])
def test_repeats_count(tenant, flood, low_floor, body):
    now = timezone.now()
    flood(7, body=body, now=now)
    limit(now)
    assert flood(1, body=body, now=now) == {429}
    assert Notification.objects.get().repeats == 6


def test_repeats_of_earlier_seconds_do_not_count(tenant, flood, low_floor):
    now = timezone.now().replace(second=5, microsecond=0)
    flood(5, body="same", now=now)
    flood(5, body="same", now=now + timedelta(seconds=10))
    limit(now + timedelta(seconds=10))
    assert not intake(tenant).is_limited(now=now + timedelta(seconds=10))
    stored = Notification.objects.get()
    assert (stored.repeats, stored.window_repeats, stored.minute_repeats) == (9, 5, 9)


def test_unknown_hook_stays_not_found_and_another_tenant_is_not_limited(client, tenant, stranger, flood, low_floor):
    flood(20)
    limit()
    assert client.post("/hooks/uis/unknown/", "x", content_type="text/plain").status_code == 404
    other = f"/hooks/uis/{stranger.uis.hook}/"
    assert client.post(other, "x", content_type="text/plain").status_code == 200
    assert flood(1) == {429}
    assert intake(stranger).refused_webhooks == 0


def test_limited_tenant_costs_the_others_no_statement(client, tenant, stranger, flood, low_floor):
    flood(20)
    limit()
    body = {"event": "call_end", "call_session_id": 1}
    with CaptureQueriesContext(connection) as queries:
        client.post(f"/hooks/uis/{stranger.uis.hook}/", body, content_type="application/json")
    assert len(queries) == 2  # as without any limit: the row, and the entry in the queue's table


def test_busy_client_is_limited_by_their_busiest_minute(tenant, flood, low_floor):
    UisConnection.objects.filter(tenant=tenant).update(busiest_minute=1)
    now = timezone.now()
    flood(20, now=now)
    limit(now)
    assert not intake(tenant).is_limited(now=now)
    flood(1, body="x", now=now)
    limit(now)
    assert intake(tenant).is_limited(now=now)


def test_busiest_minute_is_learned_after_four_weeks(tenant, flood, later):
    now = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    parsed = {"outcome": "DONE"}
    for ago, count in ((29, 1), (20, 7), (3, 4)):
        flood(count, body=f"{ago} {{}}", now=now - ago * day)
    Notification.objects.update(**parsed)
    flood(50, body="unreadable {}", now=now - 2 * day)
    Notification.objects.exclude(**parsed).update(outcome="UNREADABLE")
    Incident.objects.create(
        tenant=tenant, kind="FLOOD", opened_at=now - 5 * day, last_seen_at=now, resolved_at=now - 5 * day + day / 24
    )
    flood(60, body="flood {}", now=now - 5 * day)
    operations_tasks.update_traffic_profile(tenant.pk)
    assert intake(tenant).busiest_minute == 7
    Notification.objects.filter(received_at__lt=now - 22 * day).delete()
    TrafficProfile.objects.all().delete()
    operations_tasks.update_traffic_profile(tenant.pk)
    assert intake(tenant).busiest_minute == 0  # Only three weeks are known.
    assert TrafficProfile.objects.get().first_day == (now - 20 * day).astimezone(UTC).date()


@pytest.mark.slow
def test_one_incident_per_flood(tenant, flood, low_floor, later):
    flood(20)
    limit()
    flood(3, body="refused {}")
    evaluate.evaluate(now=timezone.now())
    incident = Incident.objects.get(kind="FLOOD")
    assert incident.context["refused"] == 3
    assert "3" in incident_texts.message(incident)
    now = later(timedelta(minutes=2))
    flood(20, body="again {}", now=now)
    limit(now)
    evaluate.evaluate(now=now)
    assert Incident.objects.filter(kind="FLOOD").count() == 1
    now = later(timedelta(minutes=2))
    evaluate.evaluate(now=now)
    evaluate.evaluate(now=later(timedelta(minutes=4)))
    assert Incident.objects.get(kind="FLOOD").state == "RESOLVED"


def test_ticker_limits_floods(tenant, flood, low_floor):
    flood(20)
    tasks.limit_notifications()
    assert flood(1) == {429}


def test_unreadable_bodies_are_cut_and_counted(tenant, flood, run_queue, stranger, monkeypatch):
    monkeypatch.setattr(text_cap, "KEPT_WHOLE", 2)
    monkeypatch.setattr(text_cap, "MAX_PER_DAY", 5)
    monkeypatch.setattr(text_cap, "LONGEST_BODY", 100)
    large = "junk {} " + "x" * 200
    flood(7, body=large)
    flood(3, body=large, hook=stranger.uis.hook)
    run_queue()
    for _time in range(2):
        text_cap.apply(now=timezone.now())
        rows = Notification.objects.filter(tenant=tenant).order_by("pk")
        assert [len(body) for body in rows.values_list("body", flat=True)] == [207, 207, 101, 101, 101]
    assert (intake(tenant).dropped_unreadable, intake(stranger).dropped_unreadable) == (2, 0)
    assert [len(one.body) for one in Notification.objects.filter(tenant=stranger).order_by("pk")] == [207, 207, 101]


def test_large_readable_bodies_of_a_flood_are_deleted(tenant, flood, run_queue, stranger, monkeypatch):
    monkeypatch.setattr(text_cap, "LARGE_KEPT", 2)
    monkeypatch.setattr(text_cap, "LONGEST_BODY", 100)
    large = '{{"event": "outgoing", "call_session_id": 1{}, "notes": "' + "x" * 100 + '"}}'
    flood(4, body=large)
    flood(2, body=large, hook=stranger.uis.hook)
    flood(4, body='{{"event": "outgoing", "call_session_id": 9{}}}')
    run_queue()
    for _time in range(2):
        text_cap.apply(now=timezone.now())
        kept = Notification.objects.filter(parsed_event__isnull=False).exclude(body="").order_by("pk")
        assert list(kept.filter(tenant=tenant).values_list("session_id", flat=True)) == [10, 11, 90, 91, 92, 93]
        assert kept.filter(tenant=stranger).count() == 2


OURS, OTHER = "195.211.120.7", "203.0.113.9"


@pytest.fixture
def from_address(client, hook, run_queue):
    def send(address, body):
        answer = client.post(hook, json.dumps(body), content_type="application/json", REMOTE_ADDR=address)
        assert answer.status_code == 200
        run_queue()
        return Notification.objects.latest("pk")

    return send


@pytest.fixture
def pinned(tenant):
    def pin(*networks):
        UisConnection.objects.filter(tenant=tenant).update(expected_sources=list(networks))

    return pin


@pytest.mark.parametrize(
    ("networks", "address", "is_expected"),
    [
        ([], OTHER, True),
        ([OURS], OURS, True),
        ([OURS], f"::ffff:{OURS}", True),
        (["195.211.120.0/22"], OURS, True),
        ([f"::ffff:{OURS}"], OURS, True),
        (["::ffff:195.211.120.0/118"], OURS, True),
        (["2001:db8::/32"], "2001:db8::7", True),
        (["2001:db8::/32", OURS], "2001:db9::7", False),
        ([OURS], OTHER, False),
        ([OURS], "", True),  # a Unix socket: not known is not another
        ([OURS], "unix:", True),
    ],
)
def test_notification_from_an_unexpected_address_opens_no_popup(
    tenant, pbx, crm, from_address, pinned, networks, address, is_expected
):
    pinned(*networks)
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    stored = from_address(address, ringing.notification("waiting", employee_id=IVAN, at=timezone.now()))
    assert stored.source == address
    assert bool(crm.events) is is_expected
    assert (stored.reason == "UNKNOWN_SOURCE") is not is_expected
    assert intake(tenant).unexpected_webhooks == (not is_expected)


def test_unexpected_notification_decides_nothing_but_the_report_does(tenant, pbx, crm, from_address, pinned, run_queue):
    pinned(OURS)
    real = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=timezone.now() - timedelta(minutes=30))
    lost = real.notification("lost_call")
    from_address(OTHER, lost | {"contact_phone_number": "79990006666"})
    assert not Call.objects.exists()
    tasks.reconcile_all()
    run_queue()
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACT}"]


def test_forged_notification_does_not_make_the_real_one_a_repeat(tenant, pbx, crm, from_address, pinned):
    pinned(OURS)
    lost = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    from_address(OTHER, lost | {"contact_full_name": "forged"})
    assert from_address(OURS, lost).outcome == "QUEUED" or len(crm.calls) == 1
    assert len(crm.calls) == 1


def test_unexpected_address_makes_an_incident_that_ends(tenant, pbx, from_address, pinned, later):
    pinned(OURS)
    from_address(OTHER, pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    evaluate.evaluate(now=timezone.now())
    assert OTHER in incident_texts.message(Incident.objects.get(kind="UNKNOWN_SOURCE"))
    for passed in (61, 6):
        evaluate.evaluate(now=later(timedelta(minutes=passed)))
    assert Incident.objects.get(kind="UNKNOWN_SOURCE").state == "RESOLVED"


def test_reason_and_address_are_on_the_page_of_the_notification(admin_client, tenant, pbx, from_address, pinned):
    pinned(OURS)
    stored = from_address(OTHER, pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    page = admin_client.get(reverse("admin:telephony_notification_change", args=[stored.pk])).content.decode()
    assert OTHER in page
    assert str(Notification.Reason.UNKNOWN_SOURCE.label)[:20] in page.replace("&#x27;", "'")


@pytest.mark.slow
def test_addresses_are_offered_and_pinned_with_one_click(admin_client, client, tenant, pbx, from_address, stranger):
    for number, address in enumerate((OURS, OURS, OTHER)):
        from_address(address, pbx.call(contact=f"7999000010{number}", number=NUMBER).notification("lost_call"))
    page = admin_client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert page.index(OURS) < page.index(OTHER)
    pin = reverse("admin:tenants_tenant_pin_sources", args=[tenant.pk])
    assert admin_client.get(pin).status_code == 405
    admin_client.post(pin, {"address": [OURS, "nonsense", "²"]})
    assert intake(tenant).expected_sources == [OURS]
    admin_client.post(pin, {"address": [OTHER, OURS]})
    assert (intake(tenant).expected_sources, intake(stranger).expected_sources) == ([OURS, OTHER], [])
    assert AuditLogEntry.objects.filter(tenant=tenant, field="expected_sources").count() == 2
    client.force_login(create_user("support", "Support"))
    assert client.post(pin, {"address": ["192.0.2.1"]}).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (f"{OURS}\r\n192.0.2.0/24, 2001:DB8::/32", [OURS, "192.0.2.0/24", "2001:db8::/32"]),
        ("", []),
        ("192.0.2.1/24", None),
        ("anything", None),
    ],
)
def test_list_of_addresses_is_edited_on_the_page_of_the_client(admin_client, tenant, pinned, typed, stored):
    pinned("198.51.100.1")
    address = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    fields = html_text.fields(admin_client.get(address).content.decode())
    answer = admin_client.post(address, fields | {"uis-0-expected_sources": typed})
    assert answer.status_code == (200 if stored is None else 302)
    assert intake(tenant).expected_sources == (["198.51.100.1"] if stored is None else stored)
