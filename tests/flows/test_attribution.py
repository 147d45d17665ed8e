"""Where a call came from: told by notifications, by UIS's report, and by the campaigns of virtual numbers."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from telephony import client_factory, tasks
from telephony.models import Call
from telephony.staff import sync
from tenants.models import UisConnection, VirtualNumber
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes import uis_attribution

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))
SECOND = "74950000002"
UTM = {"utm_source": "yandex", "utm_medium": "cpc", "utm_campaign": "spring", "utm_term": "doors"}
COLUMNS = {
    **UTM,
    "campaign_name": "Весна",
    "source_name": "Яндекс.Директ",
    "channel": "paid",
    "ym_client_id": "1526470000123",
    "cpn_region_name": "Москва",
    "last_answered_employee_rating": 5,
}
KNOWN = {
    **UTM,
    "traffic_source": "Яндекс.Директ",
    "channel": "paid",
    "ym_client_id": "1526470000123",
    "region": "Москва",
    "rating": 5,
}
ORIGIN = {"scenario_name": "Отдел продаж", "tags": ["VIP", "новый"], "columns": COLUMNS}


def add_call(pbx, **values):
    began = timezone.now() - timedelta(minutes=9)
    return pbx.call(**({"contact": CONTACT, "number": NUMBER, "started_at": began, "rings": [IVAN]} | values))


def columns():
    return Call.objects.values_list("source", "scenario", "campaign", "tags").get()


def facts():
    """Return what is known but is no column, and where everything comes from."""
    entries = Call.objects.get().attribution
    values = {code: entry["value"] for code, entry in entries.items() if "value" in entry}
    return values, {code: entry["from"] for code, entry in entries.items()}


@pytest.fixture
def reconcile(clock, run_queue):
    def run():
        tasks.reconcile_all()
        run_queue()

    return run


@pytest.fixture
def read_numbers(clock, tenant, run_queue):
    """Let the hourly sync read the numbers and their campaigns."""

    def run():
        clock.shift(timedelta(hours=1))
        tasks.sync_all()
        run_queue()

    return run


@pytest.fixture
def campaign(pbx):
    marks = {"source": "yandex", "medium": "cpc", "campaign": "spring"}
    return uis_attribution.add_campaign(pbx, 7, "Весна", number=NUMBER, **marks)


STATIC = {"utm_source": "yandex", "utm_medium": "cpc", "utm_campaign": "spring"}


# --- notifications


def test_end_of_a_call_tells_where_it_came_from(clock, notify, pbx, crm, tenant, stranger):
    call = add_call(pbx, **ORIGIN)
    notify(call.notification("call_end") | {"campaign_name": "Весна", "cpn_region_name": "Москва"})
    task_queue.sweep()
    assert columns() == ("va", "Отдел продаж", "Весна", ["VIP", "новый"])
    values, origins = facts()
    assert (values, set(origins.values())) == ({"region": "Москва"}, {"NOTIFICATION"})
    assert len(crm.calls) == 1


def test_earlier_events_tell_it_too(clock, notify, pbx, crm, tenant):
    call = add_call(pbx, **ORIGIN)
    notify(call.notification("incoming"), call.notification("lost_call") | {"scenario_name": None})
    assert columns() == ("", "Отдел продаж", "", [])


@pytest.mark.parametrize("order", [1, -1])
def test_order_and_repeats_of_notifications_make_no_difference(clock, notify, pbx, crm, tenant, order):
    call, now = add_call(pbx, talks=[(IVAN, 30)], **ORIGIN), timezone.now()
    first = call.notification("talk_finished", at=now - timedelta(minutes=2)) | {"scenario_name": "Меню"}
    bodies = [first, call.notification("call_end", at=now - timedelta(minutes=1)), call.notification("recorded")]
    notify(*bodies[::order], *bodies)
    task_queue.sweep()
    assert columns() == ("va", "Отдел продаж", "", ["VIP", "новый"])


@pytest.mark.parametrize("told", ["{{scenario_name}}", None, "", "null", {"a": 1}, True])
def test_what_cannot_be_read_is_not_told(clock, notify, pbx, crm, tenant, told):
    call = add_call(pbx, **ORIGIN)
    unread = {"scenario_name": told, "tag_names": told, "utm_source": "from a template", "call_source": told}
    notify(call.notification("call_end") | unread)
    assert columns()[:2] == ("", "")
    assert facts()[0] == {}


def test_tag_that_comes_after_the_upload_is_stored(clock, notify, pbx, crm, tenant, minutes, stranger):
    call = add_call(pbx, talks=[(IVAN, 30)])
    notify(call.notification("call_end"))
    minutes(60)
    before, sent = Call.objects.values("state", "uploaded_at", "next_attempt_at").get(), list(crm.calls)
    assert before["state"] == "UPLOADED"
    notify(call.notification("recorded", at=timezone.now()) | {"tag_names": ["VIP"]})
    assert columns()[3] == ["VIP"]
    assert (Call.objects.values("state", "uploaded_at", "next_attempt_at").get(), crm.calls) == (before, sent)


# --- the report


def test_report_alone_tells_it(clock, pbx, crm, tenant, reconcile, stranger):
    add_call(pbx, **ORIGIN)
    reconcile()
    assert columns() == ("va", "Отдел продаж", "Весна", ["VIP", "новый"])
    values, origins = facts()
    assert (values, set(origins.values())) == (KNOWN, {"REPORT"})


def test_row_that_comes_late_corrects_and_completes(clock, notify, pbx, crm, tenant, reconcile, stranger):
    call = add_call(pbx, **ORIGIN)
    notify(call.notification("call_end") | {"scenario_name": "Меню", "tag_names": ["старый"]})
    task_queue.sweep()
    uploaded, sent = Call.objects.get(), list(crm.calls)
    assert (uploaded.state, uploaded.scenario) == ("UPLOADED", "Меню")
    clock.shift(timedelta(minutes=10))
    reconcile()
    assert columns() == ("va", "Отдел продаж", "Весна", ["VIP", "новый"])
    row = Call.objects.get()
    assert facts()[0] == KNOWN
    assert row.attribution["scenario"] == {"from": "REPORT", "at": timezone.now().isoformat()}
    assert (row.state, row.uploaded_at, row.attempts, crm.calls) == ("UPLOADED", uploaded.uploaded_at, 0, sent)


def test_row_read_again_changes_only_what_changed(clock, pbx, crm, tenant, reconcile):
    call = add_call(pbx, **ORIGIN)
    reconcile()
    stored = Call.objects.get().attribution
    clock.shift(timedelta(minutes=10))
    reconcile()
    assert Call.objects.get().attribution == stored
    call.tags = []
    clock.shift(timedelta(minutes=10))
    reconcile()
    assert columns()[3] == []


def test_notification_after_the_row_changes_nothing(clock, notify, pbx, crm, tenant, reconcile):
    call = add_call(pbx, **ORIGIN)
    reconcile()
    notify(call.notification("call_end", at=timezone.now()) | {"scenario_name": "Меню", "tag_names": ["старый"]})
    assert columns()[1:] == ("Отдел продаж", "Весна", ["VIP", "новый"])


def test_account_without_the_component_is_compared_all_the_same(clock, pbx, crm, tenant, reconcile):
    pbx.refused_columns = {"utm_source"}
    add_call(pbx, **ORIGIN)
    reconcile()
    assert (columns(), facts()[0]) == (("va", "", "", []), {})
    assert UisConnection.objects.get(tenant=tenant).denials == {}
    pbx.refused_columns = set()
    clock.shift(timedelta(minutes=10))
    reconcile()
    assert facts()[0] == KNOWN


def test_columns_cost_no_points(clock, pbx, crm, tenant, reconcile, uis_world):
    add_call(pbx, **ORIGIN)
    before = pbx.points_used("data", "day")
    reconcile()
    asked = [request for request in uis_world.requests if request.method == "get.calls_report"]
    assert (len(asked), "utm_source" in asked[0].params["fields"]) == (1, True)
    assert pbx.points_used("data", "day") - before == len(uis_world.requests)


def test_erased_call_learns_nothing(clock, notify, pbx, crm, tenant, reconcile):
    call = add_call(pbx)
    notify(call.notification("call_end"))
    Call.objects.update(is_erased=True, state="SKIPPED", next_attempt_at=None)
    call.tags, call.columns = ["VIP"], COLUMNS
    clock.shift(timedelta(minutes=10))
    reconcile()
    notify(call.notification("lost_call") | {"tag_names": ["VIP"]})
    assert (columns()[3], facts()[0]) == ([], {})


# --- virtual numbers


def test_number_of_a_campaign_tells_it(clock, notify, pbx, crm, tenant, campaign, read_numbers, twin):
    read_numbers()
    notify(add_call(pbx).notification("call_end"))
    task_queue.sweep()
    values, origins = facts()
    assert (columns()[2], values, origins["campaign"], origins["utm_source"]) == ("Весна", STATIC, "STATIC", "STATIC")
    assert not VirtualNumber.objects.filter(tenant=twin).exclude(attribution={}).exists()


def test_row_outranks_the_number(clock, notify, pbx, crm, tenant, campaign, read_numbers, reconcile):
    read_numbers()
    columns_of_call = {"campaign_name": "Лето", "utm_source": "google"}
    notify(add_call(pbx, columns=columns_of_call).notification("call_end"))
    task_queue.sweep()
    reconcile()
    assert (columns()[2], facts()[0]) == ("Лето", STATIC | {"utm_source": "google"})


def test_call_keeps_the_campaign_of_its_time(clock, notify, pbx, crm, tenant, campaign, read_numbers):
    read_numbers()
    call = add_call(pbx)
    notify(call.notification("call_end"))
    task_queue.sweep()
    pbx.numbers[800001]["campaigns"] = []
    campaign["static_utm_source"] = "google"
    uis_attribution.add_campaign(pbx, 8, "Осень", number=NUMBER, source="vk")
    read_numbers()
    notify(call.notification("lost_call"))
    assert (columns()[2], facts()[0]) == ("Весна", STATIC)


def test_old_call_is_not_of_a_new_campaign(clock, pbx, crm, tenant, campaign, read_numbers, reconcile):
    began = timezone.now() - timedelta(hours=2)
    read_numbers()
    tenant.activated_at = began
    tenant.save()
    add_call(pbx, started_at=began)
    reconcile()
    assert (columns()[2], facts()[0]) == ("", {})


def test_dynamic_number_tells_nothing(clock, pbx, tenant, campaign, read_numbers):
    pbx.numbers[800001]["type"] = "dynamic_call_tracking"
    read_numbers()
    assert VirtualNumber.objects.get(number=NUMBER).attribution == {}


def test_number_of_two_campaigns_tells_what_they_share(clock, pbx, tenant, campaign, read_numbers):
    uis_attribution.add_campaign(pbx, 8, "Осень", number=NUMBER, source="yandex", medium="cpc", campaign="autumn")
    read_numbers()
    shared = {"utm_source": "yandex", "utm_medium": "cpc"}
    assert VirtualNumber.objects.get(number=NUMBER).attribution == shared


def test_campaigns_are_not_asked_for_without_need(clock, pbx, tenant, read_numbers, uis_world):
    read_numbers()
    assert "get.campaigns" not in [request.method for request in uis_world.requests]


def test_campaigns_are_read_page_by_page(clock, pbx, tenant, monkeypatch, read_numbers, uis_world):
    monkeypatch.setattr("telephony.uis.data_api.PAGE", 2)
    for number in range(3):
        uis_attribution.add_campaign(pbx, number + 1, f"Кампания {number}")
    uis_attribution.add_campaign(pbx, 9, "Весна", number=SECOND, source="vk")
    read_numbers()
    assert [request.method for request in uis_world.requests].count("get.campaigns") == 2
    assert VirtualNumber.objects.get(number=SECOND).attribution == {"campaign": "Весна", "utm_source": "vk"}


@pytest.mark.parametrize("kind", ["500", "timeout", "html"])
def test_outage_of_campaigns_stops_no_sync(clock, pbx, tenant, campaign, read_numbers, uis_world, kind):
    read_numbers()
    uis_world.break_down(kind, method="get.campaigns")
    pbx.employees[IVAN]["full_name"] = "Иванов Пётр"
    pbx.add_number("74950000003", name="Новый")
    read_numbers()
    number = VirtualNumber.objects.get(number=NUMBER)
    assert number.attribution == {"campaign": "Весна"} | STATIC
    assert tenant.employees.get(uis_id=IVAN).full_name == "Иванов Пётр"
    assert VirtualNumber.objects.filter(number="74950000003").exists()


def test_denied_campaigns_are_recorded_and_stop_no_sync(clock, pbx, tenant, campaign, read_numbers):
    pbx.unavailable_methods = {"get.campaigns"}
    read_numbers()
    assert VirtualNumber.objects.get(number=NUMBER).attribution == {"campaign": "Весна"}
    assert list(UisConnection.objects.get(tenant=tenant).denied) == ["get.campaigns"]
    pbx.unavailable_methods = set()
    read_numbers()
    assert VirtualNumber.objects.get(number=NUMBER).attribution == {"campaign": "Весна"} | STATIC
    assert UisConnection.objects.get(tenant=tenant).denied == {}


def test_refused_column_of_numbers_keeps_what_is_known(clock, pbx, tenant, campaign, read_numbers):
    read_numbers()
    pbx.refused_columns = {"campaigns"}
    pbx.add_number("74950000003", name="Новый")
    read_numbers()
    assert VirtualNumber.objects.get(number=NUMBER).attribution == {"campaign": "Весна"} | STATIC
    assert VirtualNumber.objects.filter(number="74950000003").exists()


def test_older_answer_does_not_replace_a_newer_one(clock, pbx, tenant, campaign, read_numbers):
    older = sync.fetch(client_factory.uis_client(tenant.uis))
    at = timezone.now()
    campaign["static_utm_source"] = "google"
    read_numbers()
    sync.save(tenant, older, now=at)
    assert VirtualNumber.objects.get(number=NUMBER).attribution["utm_source"] == "google"
