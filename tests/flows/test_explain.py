"""For each provoked fault, the call's page and `explain_call` give the reason code and the responsible party."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.text import capfirst

from connector_project.core.check_results import Responsible
from connector_project.operations.explain import labels
from crm import integration_module
from crm.models import Command, Popup
from telephony import tasks
from telephony.calls import recording_selection
from telephony.models import AccessLogEntry, Call, CallLogEntry, FailureReason, Notification, RecordingLink
from telephony.uis import webhook_templates
from telephony.webhooks import process, status
from tenants import datetime_display, rule_labels
from tenants.access_errors import AccessError
from tenants.models import Employee, RuleDraft, Tenant, UisConnection, User, VirtualNumber
from tenants.transfer_rules import Filter, SkipReason
from tests import html_text, task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.flows.upload_hooks import while_uploading
from tests.rules import current_rules, publish_rules, publish_rules_for_all
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH = {"accept-language": "en"}
RUSSIAN = {"accept-language": "ru"}


def staff(client, group):
    user = create_user(group.lower(), group)
    client.force_login(user)
    return user


@pytest.fixture
def support(client, tenant):
    Tenant.objects.update(language="en")
    return staff(client, "Support")


@pytest.fixture
def operator(client, tenant):
    return staff(client, "Operator")


def open_page(client, session_id, headers=ENGLISH):
    return client.get(url_of(session_id), headers=headers)


def url_of(session_id):
    return reverse("admin:telephony_call_change", args=[Call.objects.get(session_id=session_id).pk])


def explain(session_id):
    out = StringIO()
    call_command("explain_call", "--tenant", "romashka", str(session_id), stdout=out)
    return json.loads(out.getvalue())


def in_english(text):
    with translation.override("en"):
        return str(text)


def setting(field):
    """Return the label of a rule, as the explanation writes it."""
    return in_english(capfirst(in_english(RuleDraft._meta.get_field(field).verbose_name)))


@pytest.fixture
def assert_explained(client, support, tenant, pbx, crm, stranger):
    """Check that page and command give this code, with these values in its message and no secret."""

    def check(session_id, reason, *values, responsible=None, is_warning=False):
        explanation = explain(session_id)
        problems = explanation["warnings"] if is_warning else [explanation]
        found = [problem for problem in problems if problem["reason"] == reason]
        assert found, problems
        for value in values:
            assert str(value) in found[0]["message"]
        assert found[0]["responsible"] == (responsible or "")
        answer = open_page(client, session_id)
        assert f"{reason} {found[0]['message']}" in html_text.text(answer)
        html = answer.content.decode()
        for secret in (CONTACT, pbx.token, tenant.crm.key, tenant.uis.hook, "/system/media/"):
            assert secret not in html
            assert secret not in json.dumps(explanation, ensure_ascii=False)
        assert explanation["next"]
        assert explanation["timeline"]
        return explanation

    return check


@pytest.fixture
def missed(pbx):
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])


@pytest.fixture
def answered(pbx):
    return add_ended_call(pbx, talks=[(PETR, 20)])


def add_ended_call(pbx, **values):
    """Create a call that ended some seconds ago."""
    duration = 5 + sum(seconds for _person, seconds in values.get("talks", ()))
    values = {
        "contact": CONTACT,
        "number": NUMBER,
        "started_at": timezone.now() - timedelta(seconds=duration + 3),
    } | values
    return pbx.call(**values)


def notification(call, event, employee_id=None):
    return call.notification(event, employee_id=employee_id, at=timezone.now())


@pytest.mark.slow
def test_popup_of_somebody_unlinked_is_a_warning(notify, missed, assert_explained):
    notify(dict(notification(missed, "waiting", IVAN), employee_id=ANNA), notification(missed, "lost_call"))
    assert_explained(
        missed.session_id, "NOT_LINKED", "Сидорова Анна", responsible=Responsible.OPERATOR, is_warning=True
    )


def test_user_unknown_to_the_crm_is_a_warning(notify, crm, missed, assert_explained):
    del crm.users[27]
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    assert_explained(
        missed.session_id,
        "UNKNOWN_TO_CRM",
        "101",
        "27",
        "Иванов Иван",
        responsible=Responsible.OPERATOR,
        is_warning=True,
    )


def test_expired_uis_key_is_explained(notify, pbx, answered, assert_explained):
    pbx.token_state = "expired"
    notify(answered.notification("call_end"))
    explanation = assert_explained(
        answered.session_id, "UIS_DENIED", in_english(AccessError.TOKEN_EXPIRED.label), responsible=Responsible.CLIENT
    )
    assert explanation["next_at"] is None


def test_missing_crm_scope_is_explained(notify, crm, missed, assert_explained):
    crm.scopes.discard("telephony_write")
    notify(missed.notification("call_end"))
    assert_explained(
        missed.session_id, "CRM_DENIED", in_english(AccessError.CRM_SCOPE.label), responsible=Responsible.CLIENT
    )


def test_number_excluded_by_a_rule_is_explained(notify, missed, tenant, assert_explained):
    publish_rules_for_all(number_filter="EXCEPT")
    publish_rules(tenant, numbers=VirtualNumber.objects.filter(number=NUMBER, tenant=tenant))
    notify(missed.notification("call_end"))
    assert_explained(
        missed.session_id,
        "NUMBER",
        setting("number_filter"),
        in_english(rule_labels.label(Filter.EXCEPT)),
        f"+{NUMBER}",
    )


def test_internal_call_skipped_by_a_rule_is_explained(notify, pbx, assert_explained):
    call = pbx.call(contact="102", number=NUMBER, is_internal=True)
    notify(call.notification("call_end"))
    assert_explained(call.session_id, "INTERNAL_OFF", setting("upload_internal"))


def test_recording_turned_off_for_the_employee_is_a_warning(notify, pbx, assert_explained):
    Employee.objects.filter(uis_id=PETR).update(recording_mode="off")
    call = add_ended_call(pbx, talks=[(PETR, 20)], recorded=False)
    notify(call.notification("call_end"))
    person = "Петров Пётр (102)"
    assert (
        assert_explained(call.session_id, "RECORDING_OFF", person, responsible=Responsible.CLIENT, is_warning=True)[
            "reason"
        ]
        == "UPLOADED"
    )


def test_wrong_time_zone_is_a_warning(notify, missed, tenant, assert_explained):
    tenant.uis.time_zone = "Asia/Yekaterinburg"
    tenant.uis.save()
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    assert_explained(
        missed.session_id,
        "ZONE",
        "-2 ",
        "Asia/Yekaterinburg",
        responsible=Responsible.OPERATOR,
        is_warning=True,
    )
    assert not Call.objects.get().tenant.popups.exists()


def test_unreadable_template_is_a_warning(notify, client, hook, pbx, run_queue, later, assert_explained):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    body = f'{{"call_session_id": {call.session_id} "is_lost"}}'
    client.post(f"{hook}call_end/", body, content_type="text/plain")
    later(timedelta(minutes=6))
    tasks.reconcile_all()
    run_queue()
    assert "NO_NOTIFICATIONS" not in {warning["reason"] for warning in explain(call.session_id)["warnings"]}
    with translation.override("en"):
        fault = status.fault_message(webhook_templates.faults("call_end", "", body)[0])
    assert_explained(call.session_id, "UNREADABLE", fault, responsible=Responsible.CLIENT, is_warning=True)


def test_unreadable_notification_of_that_time_without_a_session_is_a_warning(
    client, hook, pbx, run_queue, later, assert_explained
):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    client.post(f"{hook}call_end/", "{", content_type="text/plain")
    later(timedelta(minutes=6))
    tasks.reconcile_all()
    run_queue()
    assert {"NO_NOTIFICATIONS", "UNREADABLE"} <= {warning["reason"] for warning in explain(call.session_id)["warnings"]}


def test_paused_tenant_is_explained(notify, missed, assert_explained):
    Tenant.objects.filter(slug="romashka").update(is_paused=True)
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    assert assert_explained(missed.session_id, "PAUSED", responsible=Responsible.OPERATOR)["next_at"] is None
    assert_explained(
        missed.session_id,
        "PAUSED",
        "Иванов Иван (101)",
        responsible=Responsible.OPERATOR,
        is_warning=True,
    )


def test_unavailable_crm_is_explained(notify, crm_world, missed, assert_explained):
    crm_world.break_down("503")
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    explanation = assert_explained(missed.session_id, "CRM_UNAVAILABLE", responsible=Responsible.CRM)
    assert explanation["next_at"] > timezone.now().isoformat()
    assert_explained(missed.session_id, "CRM_FAILED", "Иванов Иван (101)", responsible=Responsible.CRM, is_warning=True)


def test_unavailable_uis_is_explained(notify, uis_world, answered, assert_explained):
    uis_world.break_down("timeout")
    notify(answered.notification("call_end"))
    assert_explained(answered.session_id, "UIS_UNAVAILABLE", responsible=Responsible.UIS)


def test_used_up_points_are_explained(notify, pbx, answered, assert_explained):
    pbx.minute_limit = 0
    notify(answered.notification("call_end"))
    assert_explained(answered.session_id, "UIS_QUOTA", responsible=Responsible.CLIENT)


def test_call_older_than_the_upload_window_is_explained(notify, pbx, assert_explained):
    at = timezone.now() - timedelta(days=40)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, rings=[IVAN])
    notify(call.notification("lost_call"))
    assert_explained(
        call.session_id, "EXPIRED", in_english(Tenant._meta.get_field("upload_window_days").verbose_name)[1:], "30"
    )


def test_hidden_number_is_explained(notify, missed, assert_explained):
    notify(dict(missed.notification("call_end"), contact_phone_number="anonymous"))
    assert_explained(missed.session_id, "HIDDEN_NUMBER")


def test_employee_excluded_by_a_rule_is_explained(notify, answered, tenant, assert_explained):
    publish_rules_for_all(employee_filter="EXCEPT")
    publish_rules(tenant, employees=Employee.objects.filter(uis_id=PETR, tenant=tenant))
    notify(answered.notification("call_end"))
    filtered = (setting("employee_filter"), in_english(rule_labels.label(Filter.EXCEPT)), "Петров Пётр (102)")
    assert_explained(answered.session_id, "EMPLOYEE", *filtered)


def test_contact_excluded_by_a_rule_is_explained(notify, missed, assert_explained):
    publish_rules_for_all(contact_filter="EXCEPT", contacts=f"+{CONTACT}")
    notify(missed.notification("call_end"))
    assert_explained(
        missed.session_id, "CONTACT", setting("contact_filter"), in_english(rule_labels.label(Filter.EXCEPT)), "(1 "
    )


def test_upload_rejected_by_the_crm_is_explained(notify, missed, assert_explained):
    VirtualNumber.objects.filter(number=NUMBER).update(site="no-such-shop")
    notify(missed.notification("call_end"))
    explanation = assert_explained(
        missed.session_id, "CRM_REFUSED", Call.objects.get().detail, responsible=Responsible.OPERATOR
    )
    assert (Call.objects.get().detail != "", explanation["next_at"]) == (True, None)
    assert "no-such-shop" in explanation["timeline"][-1]["message"]


def test_inactive_module_in_the_crm_is_explained(notify, crm, missed, tenant, assert_explained):
    crm.modules[integration_module.code(tenant)]["active"] = False
    notify(missed.notification("call_end"))
    assert_explained(
        missed.session_id, "CRM_DENIED", in_english(AccessError.TELEPHONY_OFF.label), responsible=Responsible.CLIENT
    )


@pytest.mark.slow
def test_call_missing_in_the_uis_report_is_explained(notify, answered, later, assert_explained):
    notify(dict(answered.notification("call_end"), call_session_id=5139999999))
    later(timedelta(days=1))
    for _day in range(6):
        later(timedelta(days=1))
    assert_explained(5139999999, "UNKNOWN_TO_UIS", responsible=Responsible.UIS)


def test_missed_call_that_rang_no_phone_is_a_warning(notify, pbx, assert_explained):
    call = pbx.call(contact=CONTACT, number=NUMBER)
    notify(call.notification("lost_call"))
    assert_explained(call.session_id, "NOBODY_RANG", is_warning=True)


def test_finish_reason_of_a_rejected_caller_is_shown(notify, pbx, assert_explained):
    call = add_ended_call(pbx, finish_reason="numa_in_black_list")
    notify({"event": "call_end", "call_session_id": call.session_id, "contact_phone_number": CONTACT})
    with translation.override("en"):
        reason = labels.finish_reason("numa_in_black_list")
    assert reason != "numa_in_black_list"
    assert reason in json.dumps(explain(call.session_id), ensure_ascii=False)


def test_popups_turned_off_are_a_warning(notify, missed, assert_explained):
    publish_rules_for_all(popup_incoming="OFF")
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    assert_explained(missed.session_id, "POPUP_OFF", is_warning=True)


def test_ringing_event_that_came_late_is_a_warning(notify, missed, assert_explained):
    late = missed.notification("waiting", employee_id=IVAN, at=timezone.now() - timedelta(seconds=30))
    notify(late, notification(missed, "lost_call"))
    assert_explained(missed.session_id, "STALE", responsible=Responsible.UIS, is_warning=True)


def test_employee_unknown_to_us_is_a_warning(notify, missed, assert_explained):
    notify(dict(notification(missed, "waiting", IVAN), employee_id=999), notification(missed, "lost_call"))
    assert_explained(missed.session_id, "UNKNOWN_EMPLOYEE", "999", responsible=Responsible.OPERATOR, is_warning=True)


def test_employee_without_a_crm_user_is_a_warning(notify, pbx, assert_explained):
    call = add_ended_call(pbx, talks=[(ANNA, 20)])
    notify(call.notification("call_end"))
    assert_explained(
        call.session_id,
        "NOT_LINKED",
        "Сидорова Анна (103)",
        responsible=Responsible.OPERATOR,
        is_warning=True,
    )


def test_answer_reported_after_the_upload_is_a_warning(notify, answered, assert_explained):
    lost = dict(
        answered.notification("call_end"),
        event="lost_call",
        is_lost=True,
        talk_time_duration=0,
        total_time_duration=None,
    )
    notify(lost, answered.notification("call_end"))
    assert_explained(answered.session_id, "LATE_ANSWER", responsible=Responsible.UIS, is_warning=True)


def test_call_that_was_served_by_a_menu_is_no_talk_that_was_told_late(notify, missed, assert_explained):
    notify(missed.notification("lost_call"), missed.notification("call_end") | {"is_lost": False})
    page = assert_explained(missed.session_id, "LATE_ANSWER", "a menu", responsible=Responsible.UIS, is_warning=True)
    assert page["state"] == "UPLOADED"


@pytest.mark.slow
def test_recording_that_never_came_is_a_warning(notify, later, answered, assert_explained):
    answered.records_at = timezone.now() + timedelta(hours=5)
    notify(answered.notification("call_end"))
    call = Call.objects.get()
    deadline = datetime_display.format_with_seconds(call.tenant, recording_selection.deadline(call), now=timezone.now())
    assert deadline in explain(answered.session_id)["next"]
    for _minute in range(12):
        later(timedelta(minutes=1))
    assert_explained(answered.session_id, "RECORDING_LATE", responsible=Responsible.UIS, is_warning=True)


def test_recording_reported_during_an_upload_without_it_is_played_by_our_link(
    notify, crm, answered, monkeypatch, client
):
    publish_rules_for_all(recording_wait_minutes=0)
    answered.records_at = timezone.now() + timedelta(minutes=3)
    while_uploading(monkeypatch, lambda: notify(answered.notification("recorded")))
    notify(answered.notification("call_end"))
    assert crm.calls[0]["recordUrl"].endswith(f"/records/{RecordingLink.objects.get().token}/")
    assert Call.objects.get().recording_url
    assert explain(answered.session_id)["warnings"] == []


def test_recording_uploaded_before_a_rule_change_is_no_warning(notify, answered):
    notify(answered.notification("call_end"))
    publish_rules_for_all(send_recording=False)
    assert explain(answered.session_id)["warnings"] == []


def test_recording_link_withheld_by_a_rule_is_a_warning(notify, answered, assert_explained):
    publish_rules_for_all(send_recording=False)
    notify(answered.notification("call_end"))
    assert_explained(answered.session_id, "RECORDING_NOT_PASSED", is_warning=True)


def test_tenant_not_activated_is_explained(notify, missed, assert_explained):
    Tenant.objects.filter(slug="romashka").update(activated_at=None)
    notify(missed.notification("call_end"))
    assert_explained(missed.session_id, "NOT_ACTIVATED", responsible=Responsible.CLIENT)


def test_rule_changed_since_the_skip_is_a_warning(notify, missed, assert_explained):
    publish_rules_for_all(upload_missed=False)
    notify(missed.notification("call_end"))
    assert_explained(missed.session_id, "MISSED_OFF", setting("upload_missed"))
    publish_rules_for_all(upload_missed=True)
    assert_explained(missed.session_id, "RULE_CHANGED", responsible=Responsible.OPERATOR, is_warning=True)


def test_debouncing_due_and_claimed_calls_are_explained(notify, missed, assert_explained):
    notify(missed.notification("call_end"), works=False)
    task_queue.process_notifications()
    assert_explained(missed.session_id, "DEBOUNCE", responsible=Responsible.UIS)
    Call.objects.update(state="READY", reason="")
    assert_explained(missed.session_id, "DUE")
    Call.objects.claim(Call.objects.get().tenant_id, "READY", limit=1, now=timezone.now())
    assert_explained(missed.session_id, "CLAIMED")


def test_timeline_lists_every_step_from_ringing_to_upload(notify, later, pbx, assert_explained):
    answered = add_ended_call(pbx, started_at=timezone.now(), talks=[(PETR, 20)])
    notify(answered.notification("waiting"), answered.notification("talk_started"))
    later(timedelta(seconds=30))
    notify(answered.notification("call_end"), answered.notification("recorded"))
    explanation = assert_explained(answered.session_id, "UPLOADED")
    steps = [line["step"] for line in explanation["timeline"]]
    assert steps == [
        *(
            "RANG",
            "NOTIFICATION",
            "POPUP",
            "NOTIFICATION",
            "NOTIFICATION",
            "RECEIVED",
            "POPUP_CLOSED",
            "FETCH_LEGS",
            "RULE",
            "UPLOAD",
            "NOTIFICATION",
        ),
    ]
    texts, person = {line["step"]: line["message"] for line in explanation["timeline"]}, "Петров Пётр (102)"
    with translation.override("en"):
        rule = labels.named_rule("owner", current_rules(Tenant.objects.first()).owner)
    for step, *values in (
        ("RANG", person, "20"),
        ("POPUP", person, ": 102;", ": 28"),
        ("RULE", person, rule),
        ("UPLOAD", f": uis-{answered.session_id};", ": 102;"),
    ):
        for value in values:
            assert value in texts[step]
    assert CallLogEntry.objects.get(step="UPLOAD").details["link"]
    assert all(
        line["ms"] is not None for line in explanation["timeline"] if line["step"] in {"POPUP", "FETCH_LEGS", "UPLOAD"}
    )


def test_timeline_of_a_skipped_call_names_rule_and_setting(notify, missed, assert_explained):
    publish_rules_for_all(upload_missed=False)
    notify(missed.notification("call_end"))
    explanation = explain(missed.session_id)
    assert explanation["reason"] == SkipReason.MISSED_OFF
    (rule,) = [line["message"] for line in explanation["timeline"] if line["step"] == "RULE"]
    with translation.override("en"):
        named = [rule_labels.label(SkipReason.MISSED_OFF), RuleDraft._meta.get_field("upload_missed").verbose_name]
        assert all(str(word).lower() in rule.lower() for word in named)


def test_timeline_shows_the_outcome_of_each_notification(notify, missed, assert_explained):
    end = missed.notification("call_end")
    notify(end, dict(end, notification_name="again"))
    notify(missed.notification("lost_call"), works=False)
    process.process(Notification.objects.latest("pk").pk, now=timezone.now())  # its worker dies at the pop-up
    outcomes = dict(Notification.objects.order_by("pk").values_list("outcome", "event"))
    assert outcomes == {"DONE": "call_end", "REPEATED": "call_end", "QUEUED": "lost_call"}
    done, repeated, queued = (
        line["message"] for line in explain(missed.session_id)["timeline"] if line["step"] == "NOTIFICATION"
    )
    with translation.override("en"):
        words = {outcome: str(outcome.label) for outcome in Notification.Outcome}
    assert not [word for word in words.values() if word in done]
    assert words["REPEATED"] in repeated
    assert words["QUEUED"] in queued


def test_timeline_shows_the_click_to_call(client, tenant, crm, pbx, notify, run_queue, assert_explained):
    form = {"clientId": tenant.crm.client_id, "code": "101", "phone": f"+{CONTACT}", "userId": "27"}
    client.post(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form)
    run_queue()
    session = next(iter(pbx.sessions.values()))
    pbx.finish_started(session.session_id, talk=0)
    notify(session.notification("call_end"))
    explanation = explain(session.session_id)
    assert explanation["timeline"][0]["step"] in {"CLICK_TO_CALL", "RANG"}
    (click_entry,) = [line for line in explanation["timeline"] if line["step"] == "CLICK_TO_CALL"]
    assert "Иванов Иван (101)" in click_entry["message"]
    assert in_english(Command.State.DONE.label) in click_entry["message"]


def test_slowest_system_of_a_popup_is_named(client, support, notify, missed):
    notify(missed.notification("waiting", employee_id=IVAN, at=timezone.now() - timedelta(seconds=3)))
    notify(missed.notification("lost_call"))
    assert 'data-bottleneck="UIS"' in open_page(client, missed.session_id).content.decode()
    (popup,) = explain(missed.session_id)["popups"]
    assert (popup["employee"], popup["slow"], popup["ms"]["uis"] >= 3000) == ("Иванов Иван (101)", "UIS", True)
    assert popup["ms"]["total"] == sum(popup["ms"][system] for system in ("uis", "connector", "crm"))


def test_timeline_keeps_the_rule_of_the_decision_after_a_change(notify, answered, assert_explained):
    notify(answered.notification("call_end"))
    before = [line["message"] for line in explain(answered.session_id)["timeline"] if line["step"] == "RULE"]
    publish_rules_for_all(owner="FIRST_TALKER")
    assert [line["message"] for line in explain(answered.session_id)["timeline"] if line["step"] == "RULE"] == before


def test_used_up_points_are_explained_despite_earlier_uis_failures(notify, pbx, answered, tenant, assert_explained):
    pbx.minute_limit = 0
    notify(answered.notification("call_end"))
    UisConnection.objects.update(consecutive_failures=2, retry_at=timezone.now() + timedelta(hours=1))
    assert_explained(answered.session_id, "UIS_QUOTA", responsible=Responsible.CLIENT)


def test_upload_already_known_to_the_crm_is_shown(notify, later, crm_world, missed, assert_explained):
    crm_world.break_down("cut", times=1)
    notify(missed.notification("call_end"))
    later(timedelta(minutes=2))
    explanation = assert_explained(missed.session_id, "UPLOADED")
    upload = CallLogEntry.objects.filter(step="UPLOAD").latest("pk")
    assert upload.details["known"]
    upload.details["known"] = False
    upload.save()
    as_new = explain(missed.session_id)["timeline"][-1]["message"]
    assert as_new != explanation["timeline"][-1]["message"]


def test_operator_sees_the_full_number_which_is_logged(client, operator, notify, missed, tenant):
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    html = open_page(client, missed.session_id).content.decode()
    assert f"+{CONTACT}" in html
    assert f"&quot;contact_phone_number&quot;: &quot;{CONTACT}&quot;" in html
    assert "/number/" not in html
    assert list(AccessLogEntry.objects.values_list("tenant", "user", "kind", "call__session_id")) == [
        (tenant.pk, operator.pk, "PHONE_NUMBER", missed.session_id)
    ]


def test_support_reveals_the_number_which_is_logged(client, support, notify, missed):
    notify(notification(missed, "lost_call"))
    assert "7999***0001" in html_text.text(open_page(client, missed.session_id))
    assert not AccessLogEntry.objects.exists()
    answer = client.post(f"{url_of(missed.session_id).removesuffix('change/')}number/", follow=True, headers=ENGLISH)
    assert f"+{CONTACT}" in html_text.text(answer)
    assert AccessLogEntry.objects.get().user == support
    explanation = html_text.text(client.get("/admin/telephony/accesslogentry/", headers=ENGLISH))
    assert f"support {in_english(AccessLogEntry.Kind.PHONE_NUMBER.label)} {missed.session_id} Ромашка" in explanation
    assert CONTACT not in open_page(client, missed.session_id).content.decode()


SPELLINGS = (
    "79990000001",
    "+7 999 000-00-01",
    "8 (999) 000-00-01",
    "9990000001",
    "wa.me/79990000001",
    "id_79990000001",
)


def assert_number_hidden(client, *urls, **explanation):
    pages = [client.get(url, headers=ENGLISH).content.decode() for url in urls]
    for text in [*pages, json.dumps(explanation, ensure_ascii=False)]:
        assert not [form for form in SPELLINGS if form in text]


def test_number_in_any_form_is_masked_for_support(client, support, notify, missed):
    """Typed names and vendors' messages may contain a number in any form."""
    full_name = f"Иван\n{', '.join(SPELLINGS)}"
    notify(notification(missed, "waiting", IVAN) | {"contact_full_name": full_name}, notification(missed, "lost_call"))
    ring = Notification.objects.filter(event="waiting")
    ring.update(outcome="DROPPED", reason="CRM_FAILED", detail=f"No such phone: {full_name}")
    Popup.objects.update(state="FAILED", detail=f"No such phone: {full_name}")
    assert_number_hidden(client, url_of(missed.session_id), **explain(missed.session_id))
    assert "No such phone" in explain(missed.session_id)["timeline"][1]["message"]
    ring.update(reason="STALE")
    Popup.objects.all().delete()
    assert_number_hidden(client, url_of(missed.session_id), **explain(missed.session_id))


def test_number_in_place_of_an_event_is_masked(client, support, hook, notify, missed, run_queue):
    client.post(hook, {"event": CONTACT, "call_session_id": missed.session_id}, content_type="application/json")
    notify(notification(missed, "lost_call"))
    stored = Notification.objects.get(outcome="UNREADABLE")
    page = reverse("admin:telephony_notification_change", args=[stored.pk])
    unreadable = reverse("admin:telephony_notification_unreadable")
    assert "UNREADABLE" in json.dumps(explain(missed.session_id))
    assert_number_hidden(client, url_of(missed.session_id), page, unreadable, **explain(missed.session_id))


def test_pages_of_popups_and_commands_hide_numbers_in_answers(client, support, tenant):
    detail, now = f"No such phone: +{CONTACT}.", timezone.now()
    person, moments = Employee.objects.get(uis_id=IVAN), dict.fromkeys(("ringing_at", "received_at", "sent_at"), now)
    popup = Popup.objects.create(tenant=tenant, session_id=1, employee=person, detail=detail, state="FAILED", **moments)
    click = Command.objects.create(tenant=tenant, kind="CALL", detail=detail, received_at=now)
    pages = [reverse("admin:crm_popup_change", args=[popup.pk]), reverse("admin:crm_command_change", args=[click.pk])]
    assert "No such phone: +7999***0001." in html_text.text(client.get(pages[0]))
    assert_number_hidden(client, *pages)


def test_page_is_forbidden_without_permission(client, db, notify, missed, tenant):
    notify(notification(missed, "lost_call"))
    user = User.objects.create_user("visitor", password="x", is_staff=True)
    client.force_login(user)
    assert open_page(client, missed.session_id).status_code == 403
    assert client.post(f"{url_of(missed.session_id).removesuffix('change/')}number/").status_code == 403
    assert client.post(f"{url_of(missed.session_id).removesuffix('change/')}retry/").status_code == 403


@pytest.mark.slow
def test_page_has_a_fixed_query_count(client, support, notify, pbx, crm, tenant):
    few, many = (pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR, ANNA]) for _ in range(2))
    notify(notification(few, "lost_call"))
    notify(*(notification(many, "waiting", person) for person in (IVAN, PETR, ANNA)), notification(many, "incoming"))
    notify(notification(many, "lost_call"), notification(many, "call_end"))
    open_page(client, few.session_id)
    costs = []
    for call in (few, many):
        url = url_of(call.session_id)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 17


def test_page_is_in_the_users_language(client, support, notify, missed, crm_world):
    crm_world.break_down("503")
    notify(notification(missed, "waiting", IVAN), notification(missed, "lost_call"))
    reason = FailureReason.CRM_UNAVAILABLE
    for language, headers in (("ru", RUSSIAN), ("en", ENGLISH)):
        words = html_text.text(open_page(client, missed.session_id, headers))
        with translation.override(language):
            assert all(str(text) in words for text in (capfirst(reason.label), reason.responsible.label))


def test_unknown_call_is_an_error(tenant, notify, missed):
    def error_message(session_id):
        with pytest.raises(CommandError) as error:
            explain(session_id)
        return str(error.value)

    assert re.search(r"[а-я].* 5\b", error_message(5))
    Tenant.objects.update(language="en")
    assert re.search(r" 5\b", error_message(5))
    assert not re.search(r"[а-я]", error_message(5))
    notify(notification(missed, "waiting", IVAN))
    assert str(missed.session_id) in error_message(missed.session_id)
    with translation.override("en"):
        assert status.event_label("waiting") in error_message(missed.session_id)
    assert Notification.objects.count() == 1
    assert task_queue.drain() == 0
