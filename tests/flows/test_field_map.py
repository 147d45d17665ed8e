"""What goes with a call into the CRM, by the published field map of the client."""

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.models import Popup
from telephony.models import Call, CallLogEntry
from tenants.models import VirtualNumber
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import publish_rules


def row(target, *facts, **more):
    return {"target": target, "facts": list(facts), **more}


@pytest.fixture
def missed(pbx):
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])


def test_fields_are_filled_by_the_rows(notify, crm, missed, tenant, twin, twin_crm, twin_pbx):
    rows = [
        row("upload.source.source", "constant", constant="phone"),
        row("upload.source.campaign", "number", form="dictionary", entries={f"+{NUMBER}": "Spring"}),
        row("upload.source.content", "contact", form="last_four"),
        row("upload.source.keyword", "contact", form="hash"),
        row("upload.external_phone", "number", form="leave_out", subject="outcome", values=["missed"]),
    ]
    publish_rules(tenant, field_map=rows)
    notify(missed.notification("call_end"))
    (sent,) = crm.calls
    keyword = sent["source"].pop("keyword")
    assert sent["source"] == {"source": "phone", "campaign": "Spring", "content": CONTACT[-4:]}
    assert len(keyword) == 32
    assert CONTACT not in keyword
    assert "externalPhone" not in sent
    assert sent["phone"] == f"+{CONTACT}"


def test_another_clients_records_stay_as_they_were(notify, client, run_queue, crm, twin_crm, twin_pbx, tenant, twin):
    publish_rules(tenant, field_map=[row("upload.source.source", "constant", constant="phone")])
    call = twin_pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    client.post(f"/hooks/uis/{twin.uis.hook}/", call.notification("call_end"), content_type="application/json")
    run_queue()
    (sent,) = twin_crm.calls
    assert "source" not in sent
    assert crm.calls == []


def test_record_that_the_map_leaves_out_is_skipped_with_its_reason(notify, crm, missed, tenant):
    rows = [row("upload.phone", "contact", form="leave_the_record_out", subject="number", values=[NUMBER])]
    publish_rules(tenant, field_map=rows)
    notify(missed.notification("call_end"))
    call = Call.objects.get()
    assert (call.state, call.skip_reason, call.rule_version.number) == (Call.State.SKIPPED, "FIELD_MAP", 2)
    assert crm.calls == []


def test_map_published_while_a_call_waits_for_its_upload_decides(notify, crm, missed, tenant, later):
    notify(missed.notification("call_end"), works=False)
    rows = [row("upload.phone", "contact", form="leave_the_record_out")]
    publish_rules(tenant, field_map=rows)
    later(timedelta(minutes=2))
    assert crm.calls == []
    assert Call.objects.get().rule_version.number == 2


def test_popup_is_opened_and_closed_with_what_the_map_fills(notify, crm, missed, tenant):
    rows = [
        row("popup.campaign", "constant", constant="Spring", subject="number", values=[NUMBER]),
        row("popup.external_phone", "number", form="leave_out"),
    ]
    publish_rules(tenant, field_map=rows)
    notify(missed.notification("waiting", employee_id=IVAN, at=timezone.now()))
    publish_rules(tenant, field_map=[])
    notify(missed.notification("call_end"))
    opened, closed = crm.events
    assert opened["webAnalyticsData"] == {"campaign": {"name": "Spring"}}
    assert ("externalPhone" in opened, "externalPhone" in closed, "webAnalyticsData" in closed) == (False, False, False)
    assert opened.get("site") == closed.get("site")


def test_popups_that_the_map_leaves_out_are_not_shown(notify, crm, missed, tenant):
    rows = [row("popup.phone", "contact", form="leave_the_record_out", subject="direction", values=["in"])]
    publish_rules(tenant, field_map=rows)
    notify(missed.notification("waiting", employee_id=IVAN, at=timezone.now()))
    assert crm.events == []
    assert not Popup.objects.exists()
    (stored,) = tenant.notifications.all()
    assert (stored.outcome, stored.reason, stored.detail.split(":")[0]) == ("DROPPED", "RULE", "FIELD_MAP")


def test_facts_of_the_virtual_number_go_with_the_popup_and_the_call(notify, crm, missed, tenant):
    static = {"campaign": "Spring", "utm_source": "yandex", "utm_medium": "cpc"}
    since = timezone.now() - timedelta(days=1)
    VirtualNumber.objects.filter(tenant=tenant, number=NUMBER).update(attribution=static, attribution_at=since)
    rows = [
        row("popup.campaign", "campaign"),
        row("upload.source.source", "utm_source"),
        row("upload.source.campaign", "utm_campaign", "campaign"),
        row("upload.source.content", "scenario"),
    ]
    publish_rules(tenant, field_map=rows)
    notify(missed.notification("waiting", employee_id=IVAN, at=timezone.now()))
    notify(dict(missed.notification("call_end"), scenario_name="Shop"))
    assert crm.events[0]["webAnalyticsData"] == {"campaign": {"name": "Spring"}}
    assert crm.calls[0]["source"] == {"source": "yandex", "campaign": "Spring", "content": "Shop"}
    entry = CallLogEntry.objects.get(step="UPLOAD")
    assert entry.details["facts"] == {"utm_source": "yandex", "campaign": "Spring", "scenario": "Shop"}


# --- facts that cost something

TOLD = {"channel": "paid", "ym_client_id": "1234.5"}
REPORT_ROWS = [row("upload.source.medium", "channel"), row("upload.client_id", "ym_client_id", "ua_client_id")]


def test_upload_waits_for_the_row_that_tells_what_the_map_needs(notify, later, crm, missed, tenant):
    publish_rules(tenant, field_map=REPORT_ROWS)
    missed.visible_at, missed.columns = timezone.now() + timedelta(minutes=1), TOLD
    notify(missed.notification("call_end"))
    later(timedelta(seconds=30))
    call = Call.objects.get()
    assert (call.state, call.reason, crm.calls) == (Call.State.FETCHING_LEGS, "REPORT_NOT_READY", [])
    later(timedelta(minutes=2))
    (sent,) = crm.calls
    assert (sent["source"], sent["clientId"]) == ({"medium": "paid"}, "1234.5")


def test_call_goes_without_what_the_report_does_not_tell_in_time(notify, later, crm, missed, tenant):
    publish_rules(tenant, field_map=REPORT_ROWS, report_wait_minutes=3)
    missed.visible_at = timezone.now() + timedelta(hours=1)
    notify(missed.notification("call_end"))
    later(timedelta(minutes=2))
    assert crm.calls == []
    later(timedelta(minutes=4))
    (sent,) = crm.calls
    assert not {"source", "clientId"} & {*sent}
    entry = CallLogEntry.objects.filter(step="UPLOAD").get()
    assert entry.details["missing"] == ["channel", "ua_client_id", "ym_client_id"]


def test_map_that_needs_no_report_asks_none(notify, uis_world, crm, missed, tenant):
    publish_rules(tenant, field_map=[row("upload.source.source", "constant", constant="phone")])
    uis_world.requests.clear()
    notify(missed.notification("call_end"))
    assert len(crm.calls) == 1
    assert uis_world.requests == []


@pytest.mark.parametrize(("responsible", "expected"), [({}, "new"), ({f"+{CONTACT}": 28}, "known")])
def test_crm_is_asked_once_whether_it_knows_the_customer(notify, crm, missed, tenant, responsible, expected):
    crm.responsible.update(responsible)
    rows = [
        row("upload.source.source", "constant", constant=value, subject="customer", values=[value])
        for value in ("known", "new")
    ]
    publish_rules(tenant, field_map=rows)
    notify(missed.notification("call_end"))
    (sent,) = crm.calls
    assert sent["source"] == {"source": expected}
    assert Call.objects.get().crm_customer == expected
    assert sent["_manager"] is None  # the rules do not ask for the customer's manager


# --- a record that the CRM may have


def test_record_that_may_be_in_the_crm_stays_as_it_was_sent(notify, later, crm, crm_world, missed, tenant):
    """The CRM takes the call, its answer is lost, and then other rules would skip it, or fill it otherwise."""
    crm_world.break_down("cut", times=1, path_part="calls/upload")
    publish_rules(tenant, field_map=[row("upload.source.source", "constant", constant="first")])
    notify(missed.notification("call_end"))
    later(timedelta(seconds=30))
    assert [sent["source"] for sent in crm.calls] == [{"source": "first"}]
    publish_rules(tenant, upload_missed=False, field_map=[row("upload.source.source", "constant", constant="second")])
    later(timedelta(minutes=10))
    call = Call.objects.get()
    assert (call.state, call.rule_version.number) == (Call.State.UPLOADED, 2)
    assert [sent["source"] for sent in crm.calls] == [{"source": "first"}]
    assert CallLogEntry.objects.filter(step="UPLOAD").latest("pk").details["version"] == 2


def test_call_that_was_not_tried_is_decided_by_the_rules_of_its_upload(notify, later, crm, missed, tenant):
    notify(missed.notification("call_end"), works=False)
    publish_rules(tenant, upload_missed=False)
    later(timedelta(minutes=2))
    assert crm.calls == []
    assert (Call.objects.get().state, Call.objects.get().rule_version.number) == (Call.State.SKIPPED, 2)
