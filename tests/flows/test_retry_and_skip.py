"""Retry and skip for one call, selected calls and all matching calls; reprocessing of unreadable notifications."""

import html
import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.core.jobs import MAX_LOST_LEASES
from telephony import bulk_action_rows, bulk_actions, tasks
from telephony.calls import apply_event, manual
from telephony.models import BulkAction, BulkActionRow, Call, CallLogEntry, FailureReason, Notification, State
from telephony.reconciliation import stats
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.webhooks import status, unreadable
from tenants import audit
from tenants.models import AuditLogEntry, Tenant, User, VirtualNumber
from tests import html_text, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.flows.templates import send_every_event
from tests.rules import publish_rules, publish_rules_for_all
from tests.users import create_user

pytestmark = pytest.mark.sampled(2)

ENGLISH = {"accept-language": "en"}
CALLS = "/admin/telephony/call/"


@pytest.fixture
def support(client, tenant):
    user = create_user("sveta", "Support")
    client.force_login(user)
    return user


@pytest.fixture
def rejected(notify, pbx, tenant, stranger):
    """Calls that the CRM rejected: their store does not exist there."""

    def create(count=1):
        VirtualNumber.objects.filter(number=NUMBER, tenant=tenant).update(site="no-such-shop")
        for number in range(count):
            notify(pbx.call(contact=f"7999000{number:04}", number=NUMBER, rings=[IVAN]).notification("lost_call"))
        assert set(Call.objects.values_list("reason", flat=True)) == {"CRM_REFUSED"}
        VirtualNumber.objects.filter(number=NUMBER, tenant=tenant).update(site="shop-one")
        return list(Call.objects.order_by("pk"))

    return create


def post_action(client, call, name, **data):
    url = reverse(f"admin:telephony_call_{name}", args=[call.pk])
    return client.post(url, data, follow=True, headers=ENGLISH)


def start_bulk(client, kind, data=None, **filters):
    url = reverse("admin:telephony_bulkaction_preview", args=[kind])
    return html_text.submit(client, url, data, query_params=filters, follow=True, headers=ENGLISH)


def levels(answer):
    return [message.level_tag for message in answer.context["messages"]]


def explanation(answer):
    """Return the explanation on a call's page, after checking that the page shows its code."""
    found = answer.context["explanation"]
    assert f'<code class="admin-code">{found.diagnosis.reason}</code>' in answer.content.decode()
    return found


def filter_values(answer):
    return [html.unescape(value) for value in re.findall(r"<dd>(.*?)</dd>", answer.content.decode())]


def english(text):
    with translation.override("en"):
        return str(text)


def progress(answer):
    """Return the state of a bulk action and the three numbers of its progress (total, done, unchanged), sorted."""
    html_text = answer.content.decode()
    [line] = re.findall(r'<p class="status-line"[^>]*>(.*?)</p>', html_text, re.DOTALL)
    return re.search(r'data-stage="(\w+)"', html_text)[1], sorted(re.findall(r"\b\d+\b", line))


def states():
    return list(Call.objects.order_by("pk").values_list("state", flat=True))


def test_call_is_retried_from_its_page(client, support, rejected, crm, run_queue):
    (call,) = rejected()
    answer = post_action(client, call, "retry")
    found = explanation(answer)
    # No one needs to act any more; the timeline still shows why the upload failed.
    assert (levels(answer), found.diagnosis.reason, found.diagnosis.responsible) == (["success"], "DUE", "")
    assert (found.timeline[-1].step, "sveta" in found.timeline[-1].message) == ("RETRIED", True)
    assert found.timeline[-1].message in html_text.text(answer)
    run_queue()
    assert (states(), len(crm.calls)) == (["UPLOADED"], 1)
    assert CallLogEntry.objects.get(step="RETRIED").actor == support
    row = AuditLogEntry.objects.get(action="CALLS_RETRIED")
    assert (row.user, row.object_repr) == (support, str(call.session_id))


def test_uploaded_call_is_not_retried(client, support, notify, pbx, crm, run_queue):
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    assert levels(post_action(client, Call.objects.get(), "retry")) == ["warning"]
    run_queue()
    assert (len(crm.uploads), len(crm.calls)) == (1, 1)
    assert not AuditLogEntry.objects.filter(action="CALLS_RETRIED").exists()


def test_claimed_call_is_neither_retried_nor_skipped(client, support, rejected, crm):
    (call,) = rejected()
    Call.objects.update(failed_at=None, reason="", next_attempt_at=timezone.now())
    (claimed,) = Call.objects.claim(call.tenant_id, "READY", limit=1, now=timezone.now())
    post_action(client, call, "retry")
    assert levels(post_action(client, call, "skip", reason="no")) == ["warning"]
    call.refresh_from_db()
    assert (call.claim_token, call.state) == (claimed.claim_token, "READY")


def test_manual_retry_next_to_an_automatic_one_uploads_once(client, support, notify, pbx, crm, crm_world, later):
    crm_world.break_down("cut", times=1)
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    call = Call.objects.get()
    post_action(client, call, "retry")
    post_action(client, call, "retry")
    later(timedelta(minutes=2))
    assert (states(), len(crm.calls)) == (["UPLOADED"], 1)


@pytest.mark.slow
def test_retried_call_is_evaluated_by_the_current_rules(client, support, notify, pbx, crm, run_queue, tenant):
    publish_rules_for_all(upload_missed=False)
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    call = Call.objects.get()
    post_action(client, call, "retry")
    run_queue()
    assert (states(), crm.calls) == (["SKIPPED"], [])
    publish_rules_for_all(upload_missed=True)
    post_action(client, call, "retry")
    run_queue()
    assert (states(), len(crm.calls)) == (["UPLOADED"], 1)


def test_retried_call_of_a_filtered_employee_is_uploaded_with_its_recording(
    client, support, notify, pbx, crm, run_queue, tenant
):
    publish_rules_for_all(employee_filter="ONLY")
    at = timezone.now() - timedelta(seconds=40)
    talk = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(PETR, 30)])
    notify(talk.notification("call_end"))
    assert Call.objects.get().skip_reason == "EMPLOYEE"
    publish_rules_for_all(employee_filter="ALL")
    post_action(client, Call.objects.get(), "retry")
    run_queue()
    assert [(call["code"], call["recordUrl"]) for call in crm.calls] == [("102", talk.link(talk.records[-1]))]


@pytest.mark.slow
def test_retried_call_waits_for_its_legs_while_uis_is_unavailable(
    client, support, notify, pbx, crm, uis_world, run_queue, later, tenant
):
    publish_rules_for_all(employee_filter="ONLY")
    at = timezone.now() - timedelta(seconds=40)
    talk = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(PETR, 30)])
    notify(talk.notification("call_end"))
    publish_rules_for_all(employee_filter="ALL")
    later(timedelta(minutes=30))  # the wait for its recording is over
    uis_world.break_down("503")
    post_action(client, Call.objects.get(), "retry")
    run_queue()
    assert (states(), Call.objects.get().reason, crm.calls) == (["FETCHING_LEGS"], "UIS_UNAVAILABLE", [])
    uis_world.repair()
    later(timedelta(minutes=2))
    assert (states(), len(crm.calls)) == (["UPLOADED"], 1)


@pytest.mark.slow
def test_call_is_skipped_permanently_with_a_reason(client, support, rejected, crm, later):
    (call,) = rejected()
    page = client.get(reverse("admin:telephony_call_skip", args=[call.pk]), headers=ENGLISH)
    assert ('name="reason"' in page.content.decode(), page.context["may_be_there"]) == (True, False)
    assert Call.objects.get().state == "READY"
    post_action(client, call, "skip", reason="  ")
    assert Call.objects.get().state == "READY"
    diagnosis = explanation(post_action(client, call, "skip", reason="A test call of ours")).diagnosis
    assert (diagnosis.reason, "sveta" in diagnosis.message, "A test call of ours" in diagnosis.message) == (
        "MANUAL",
        True,
        True,
    )
    later(timedelta(days=1))
    call.refresh_from_db()
    assert (call.state, call.skip_reason, crm.calls) == ("SKIPPED", "MANUAL", [])
    stats_row = stats.count_calls(call.tenant, [call.session_id])
    assert (stats_row.skipped, stats_row.unexplained) == (1, 0)
    row = AuditLogEntry.objects.get(action="CALLS_SKIPPED")
    assert (row.user, row.object_repr, row.field) == (support, str(call.session_id), "A test call of ours")


def test_skip_page_warns_if_the_call_may_be_uploaded(client, support, notify, pbx, crm_world):
    crm_world.break_down("cut")
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("call_end"))
    page = client.get(reverse("admin:telephony_call_skip", args=[Call.objects.get().pk]), headers=ENGLISH)
    assert (page.context["may_be_there"], "<p><strong>" in page.content.decode()) == (True, True)


def test_permanently_skipped_call_ignores_later_events(client, support, notify, pbx, crm, crm_world, later):
    crm_world.break_down("503")
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(missed.notification("lost_call"))
    post_action(client, Call.objects.get(), "skip", reason="no")
    crm_world.repair()
    notify(missed.notification("call_end"))
    later(timedelta(minutes=10))
    tasks.reconcile_all()
    task_queue.drain()
    assert (states(), crm.calls) == (["SKIPPED"], [])


@pytest.mark.slow
def test_selected_calls_are_retried_and_skipped(client, support, rejected, crm, run_queue):
    calls = rejected(3)
    client.post(CALLS, {"action": "retry", "_selected_action": [call.pk for call in calls[:2]]})
    run_queue()
    assert (states(), len(crm.calls)) == (["UPLOADED", "UPLOADED", "READY"], 2)
    assert AuditLogEntry.objects.get(action="CALLS_RETRIED").new == "2"
    answer = client.post(CALLS, {"action": "skip_selected", "_selected_action": [call.pk for call in calls]})
    page = client.get(answer.url, headers=ENGLISH)
    assert (page.context["total"], filter_values(page)) == (1, ["3"])
    assert f"<li>{english(State.READY.label)}: 1</li>" in page.content.decode()
    html_text.submit(client, answer.url, {"reason": "not wanted"})
    run_queue()
    assert states() == ["UPLOADED", "UPLOADED", "SKIPPED"]
    assert CallLogEntry.objects.get(step="SKIP").detail == "not wanted"


@pytest.mark.slow
def test_all_matching_calls_are_previewed_and_retried(client, support, rejected, notify, pbx, crm, run_queue, stranger):
    calls = rejected(7)
    other = calls[0]
    Call.objects.filter(pk=other.pk).update(reason="UNEXPECTED_REPLY")
    url = reverse("admin:telephony_bulkaction_preview", args=["RETRY"])
    page = client.get(url, {"reason": "CRM_REFUSED"}, headers=ENGLISH)
    text = html_text.text(page)
    assert (page.context["total"], filter_values(page)) == (6, [english(FailureReason.CRM_REFUSED.label)])
    assert f"{english(State.READY.label)}: 6" in text
    assert "7999***0006" in text
    assert "79990000006" not in text
    assert (BulkAction.objects.count(), crm.calls) == (0, [])
    assert progress(start_bulk(client, "RETRY", reason="CRM_REFUSED")) == ("RUNNING", ["0", "0", "6"])
    run_queue()
    assert (len(crm.calls), Call.objects.filter(state="UPLOADED").count()) == (6, 6)
    assert Call.objects.get(pk=other.pk).failed_at is not None
    action = BulkAction.objects.get()
    live = client.get(reverse("admin:telephony_bulkaction_change", args=[action.pk]), headers=ENGLISH)
    assert progress(live) == ("DONE", ["0", "6", "6"])
    row = AuditLogEntry.objects.get(action="CALLS_RETRIED")
    assert (row.tenant, row.user, row.new) == (other.tenant, support, "6")


def test_bulk_retry_evaluates_skipped_calls_again(client, support, notify, pbx, crm, run_queue, tenant):
    publish_rules_for_all(upload_missed=False)
    for last in range(3):
        notify(pbx.call(contact=f"7999000000{last}", number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert states() == ["SKIPPED"] * 3
    publish_rules_for_all(upload_missed=True)
    start_bulk(client, "RETRY", status="SKIPPED")
    run_queue()
    assert (states(), len(crm.calls)) == (["UPLOADED"] * 3, 3)


@pytest.mark.slow
def test_bulk_action_runs_in_batches_and_retries_each_call_once(client, support, rejected, crm, run_queue, monkeypatch):
    monkeypatch.setattr(bulk_action_rows, "PORTION_ROWS", 2)
    rejected(5)
    start_bulk(client, "RETRY", reason="CRM_REFUSED")
    action = BulkAction.objects.get()
    bulk_actions.run_next(now=timezone.now())
    action.refresh_from_db()
    assert (action.done, action.state) == (2, "RUNNING")
    run_queue()
    action.refresh_from_db()
    assert (action.done, action.unchanged, action.state, len(crm.calls)) == (5, 0, "DONE", 5)
    assert CallLogEntry.objects.filter(step="RETRIED").count() == 5
    bulk_actions.run_next(now=timezone.now())
    assert CallLogEntry.objects.filter(step="RETRIED").count() == 5


def test_bulk_action_survives_a_lost_queue(client, support, rejected, crm, later):
    rejected(2)
    start_bulk(client, "RETRY", reason="CRM_REFUSED")
    assert task_queue.lose() > 0
    later(timedelta(minutes=1))
    assert (BulkAction.objects.get().state, len(crm.calls)) == ("DONE", 2)


def test_batch_that_always_crashes_fails_the_bulk_action(client, support, rejected, later, monkeypatch):
    rejected(1)
    start_bulk(client, "RETRY", reason="CRM_REFUSED")
    real = manual.retry
    monkeypatch.setattr(manual, "retry", lambda *_args, **_kwargs: 1 / 0)
    task_queue.lose()
    for _attempt in range(MAX_LOST_LEASES):
        with pytest.raises(ZeroDivisionError):
            later(timedelta(minutes=4))
    later(timedelta(minutes=4))
    action = BulkAction.objects.get()
    assert (action.failed_at is not None, action.reason, action.next_attempt_at) == (True, "INTERNAL_ERROR", None)
    page = client.get(reverse("admin:telephony_bulkaction_change", args=[action.pk]), headers=ENGLISH)
    assert progress(page)[0] == "FAILED"
    assert english(FailureReason.INTERNAL_ERROR.responsible.label) in html_text.text(page)
    monkeypatch.setattr(manual, "retry", real)
    client.post(reverse("admin:telephony_bulkaction_step", args=[action.pk, "resume"]))
    later(timedelta())
    action.refresh_from_db()
    assert (action.state, action.done, action.failed_at) == ("DONE", 1, None)


@pytest.mark.slow
def test_bulk_action_can_be_cancelled(client, support, rejected, crm, run_queue, monkeypatch):
    monkeypatch.setattr(bulk_action_rows, "PORTION_ROWS", 2)
    rejected(5)
    start_bulk(client, "SKIP", {"reason": "no"}, reason="CRM_REFUSED")
    action = BulkAction.objects.get()
    bulk_actions.run_next(now=timezone.now())
    for level in ("success", "warning"):
        answer = client.post(
            reverse("admin:telephony_bulkaction_step", args=[action.pk, "cancel"]), follow=True, headers=ENGLISH
        )
        assert levels(answer) == [level]
    run_queue()
    assert (Call.objects.filter(state="SKIPPED").count(), crm.calls) == (2, [])
    assert AuditLogEntry.objects.get(action="CALLS_SKIPPED").new == "2"


def test_cancelled_action_stops_at_its_next_row(client, support, rejected, monkeypatch, run_queue, tenant):
    rejected(3)
    start_bulk(client, "SKIP", {"reason": "no"}, reason="CRM_REFUSED")
    (action,), process = BulkAction.objects.all(), bulk_action_rows._process

    def cancelled_afterwards(*args, **kwargs):
        is_held = process(*args, **kwargs)
        bulk_actions.take_step(action.pk, "cancel", by=support, now=timezone.now())
        return is_held

    monkeypatch.setattr(bulk_action_rows, "_process", cancelled_afterwards)
    run_queue()
    action.refresh_from_db()
    assert (action.state, action.done, states()) == ("CANCELLED", 1, ["SKIPPED", "READY", "READY"])
    assert AuditLogEntry.objects.get(action="CALLS_SKIPPED").new == "1"
    assert not BulkActionRow.objects.exists()


def test_worker_that_lost_its_lease_processes_no_further_row(client, support, rejected, monkeypatch, run_queue):
    rejected(3)
    start_bulk(client, "RETRY", reason="CRM_REFUSED")
    process = bulk_action_rows._process

    def taken_over_afterwards(*args, **kwargs):
        monkeypatch.setattr(bulk_action_rows, "_process", process)
        is_held = process(*args, **kwargs)
        BulkAction.objects.update(next_attempt_at=timezone.now())
        bulk_actions.run_next(now=timezone.now())
        return is_held

    monkeypatch.setattr(bulk_action_rows, "_process", taken_over_afterwards)
    run_queue()
    assert (BulkAction.objects.get().done, retries_per_call()) == (3, [1, 1, 1])


def retries_per_call():
    return [call.history.filter(step="RETRIED").count() for call in Call.objects.order_by("pk")]


def test_bulk_action_excludes_later_calls(client, support, rejected, notify, pbx, crm, run_queue, tenant):
    rejected(1)
    start_bulk(client, "SKIP", {"reason": "no"}, tenant__id__exact=tenant.pk)
    VirtualNumber.objects.filter(number=NUMBER, tenant=tenant).update(site="no-such-shop")
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"), works=False)
    task_queue.process_notifications()
    run_queue()
    assert sorted(states()) == ["READY", "SKIPPED"]


@pytest.mark.parametrize("kind", ["RETRY", "SKIP"])
@pytest.mark.parametrize("filters", [{"reason": "CRM_REFUSED"}, {"status": "failed"}, {"direction": "in"}], ids=str)
def test_calls_that_changed_after_the_request_are_left_alone(
    client, support, rejected, crm, run_queue, tenant, stranger, kind, filters
):
    """Of six calls one waits, and fails later; one is retried by a person and fails again; one is uploaded."""
    calls, now = rejected(6), timezone.now()
    waiting = Call.objects.filter(pk=calls[0].pk)
    waiting.update(failed_at=None, reason="CRM_UNAVAILABLE", next_attempt_at=now + timedelta(hours=1))
    start_bulk(client, kind, {"reason": "no"}, **filters)
    waiting.update(failed_at=now + timedelta(seconds=1), reason="CRM_REFUSED", next_attempt_at=None)
    Call.objects.filter(pk=calls[1].pk).update(failed_at=now + timedelta(seconds=1))
    Call.objects.filter(pk=calls[2].pk).update(state="UPLOADED", failed_at=None, uploaded_at=now)
    untouched = Call.objects.filter(pk__in=[call.pk for call in calls[:3]]).order_by("pk")
    before = list(untouched.values())
    run_queue()
    action, total = BulkAction.objects.get(), 6 if "direction" in filters else 5
    assert (action.state, action.total, action.done, action.unchanged) == ("DONE", total, 3, total - 3)
    assert list(untouched.values()) == before
    assert states()[3:] == [{"RETRY": "UPLOADED", "SKIP": "SKIPPED"}[kind]] * 3
    assert AuditLogEntry.objects.get(action__in=["CALLS_RETRIED", "CALLS_SKIPPED"]).new == "3"


def test_waiting_call_that_moved_on_is_still_the_one_that_was_seen(client, support, rejected, run_queue):
    (call,) = rejected()
    later = timezone.now() + timedelta(hours=1)
    row = Call.objects.filter(pk=call.pk)
    row.update(failed_at=None, reason="UIS_UNAVAILABLE", state="FETCHING_LEGS", next_attempt_at=later)
    start_bulk(client, "SKIP", {"reason": "no"}, reason="UIS_UNAVAILABLE")
    row.update(state="READY", reason="CRM_UNAVAILABLE")
    run_queue()
    assert states() == ["SKIPPED"]


@pytest.mark.parametrize("kind", ["RETRY", "SKIP"])
def test_action_takes_what_its_preview_showed(client, support, rejected, run_queue, kind):
    """Between the preview and the button one call fails that waited, and one arrives and fails."""
    calls, later = rejected(2), timezone.now() + timedelta(hours=1)
    Call.objects.filter(pk=calls[0].pk).update(failed_at=None, reason="CRM_UNAVAILABLE", next_attempt_at=later)
    url = reverse("admin:telephony_bulkaction_preview", args=[kind])
    form = html_text.fields(client.get(url, {"status": "failed"}).content.decode())
    Call.objects.filter(pk=calls[0].pk).update(failed_at=timezone.now(), reason="CRM_REFUSED")
    new = Call.objects.get(pk=calls[1].pk)
    new.pk, new.session_id = None, 5
    new.save()
    start_bulk(client, kind, form | {"reason": "no"}, status="failed")
    run_queue()
    action = BulkAction.objects.get()
    assert (action.total, action.done, states()[0], states()[2]) == (1, 1, "READY", "READY")


class KilledError(BaseException):
    """Stands for a killed worker: no code catches it or cleans up."""


@pytest.fixture
def unreadable_rows(client, hook, pbx, run_queue):
    for number in range(3):
        missed = pbx.call(contact=f"7999000{number:04}", number=NUMBER, rings=[IVAN])
        client.post(hook, missed.notification("lost_call") | {"event": None}, content_type="application/json")
    run_queue()


@pytest.mark.parametrize("is_inside", [False, True], ids=["between rows", "after the deed"])
@pytest.mark.parametrize("survived", range(3))
@pytest.mark.parametrize("kind", ["RETRY", "SKIP", "REPROCESS"])
def test_row_of_a_killed_worker_is_processed_once(
    request, client, support, crm, run_queue, later, monkeypatch, tenant, stranger, kind, survived, is_inside
):
    request.getfixturevalue("unreadable_rows") if kind == "REPROCESS" else request.getfixturevalue("rejected")(3)
    filters = {"reason": "NO_EVENT"} if kind == "REPROCESS" else {"reason": "CRM_REFUSED"}
    start_bulk(client, kind, {"reason": "no", "event": "lost_call"}, **filters)
    act, rows = bulk_action_rows.ROW_ACTIONS[kind], []

    def die(*args):
        if len(rows) == survived and not is_inside:
            raise KilledError
        is_done = act(*args)
        rows.append(is_done)
        if len(rows) > survived and is_inside:
            raise KilledError
        return is_done

    with monkeypatch.context() as patch:
        patch.setitem(bulk_action_rows.ROW_ACTIONS, kind, die)
        with pytest.raises(KilledError):
            run_queue()
    assert BulkAction.objects.get().done == survived
    task_queue.lose()
    later(timedelta(minutes=4))
    action = BulkAction.objects.get()
    assert (action.state, action.seen, action.done, action.unchanged) == ("DONE", 3, 3, 0)
    assert not BulkActionRow.objects.exists()
    step = {"RETRY": "RETRIED", "SKIP": "SKIP", "REPROCESS": "UPLOAD"}[kind]
    assert [call.history.filter(step=step, reason="").count() for call in Call.objects.all()] == [1] * 3
    assert AuditLogEntry.objects.get().new == "3"


def test_action_whose_worker_dies_at_another_row_each_time_goes_on(client, support, rejected, later, monkeypatch):
    rejected(MAX_LOST_LEASES + 2)
    start_bulk(client, "RETRY", reason="CRM_REFUSED")
    process, calls = bulk_action_rows._process, []

    def die_at_the_second(*args, **kwargs):
        calls.append(1)
        if len(calls) % 2 == 0:
            raise KilledError
        return process(*args, **kwargs)

    monkeypatch.setattr(bulk_action_rows, "_process", die_at_the_second)
    for _kill in range(MAX_LOST_LEASES + 1):
        with pytest.raises(KilledError):
            later(timedelta(minutes=4))
        task_queue.lose()
    later(timedelta(minutes=4))
    assert (BulkAction.objects.get().state, set(retries_per_call())) == ("DONE", {1})


@pytest.mark.slow
def test_empty_and_too_large_bulk_actions_are_rejected(client, support, rejected, settings):
    assert levels(start_bulk(client, "RETRY", reason="CRM_REFUSED")) == ["warning"]
    rejected(3)
    settings.BULK_ACTION_ROWS_SUPPORT = 2
    url = reverse("admin:telephony_bulkaction_preview", args=["RETRY"])
    page = client.get(url, {"reason": "CRM_REFUSED"}, headers=ENGLISH)
    assert (page.context["max_rows"] == 2, '<button class="button' in page.content.decode()) == (True, False)
    start_bulk(client, "RETRY", reason="CRM_REFUSED")
    assert not BulkAction.objects.exists()


@pytest.mark.slow
def test_selection_that_no_longer_matches_is_empty(client, support, rejected):
    calls = rejected(3)
    data = {"action": "skip_selected", "_selected_action": [calls[0].pk]}
    answer = client.post(f"{CALLS}?reason=CRM_DENIED", data, headers=ENGLISH)
    answer = client.get(answer.url, headers=ENGLISH)
    assert answer.context["total"] == 0
    start_bulk(client, "SKIP", {"reason": "no"}, pks="")
    assert (BulkAction.objects.count(), states()) == (0, ["READY"] * 3)
    assert list(client.get(CALLS, {"pks": ""}).context["cl"].result_list) == []


@pytest.mark.slow
def test_preview_has_a_fixed_query_count(client, support, rejected):
    url = reverse("admin:telephony_bulkaction_preview", args=["RETRY"])
    costs = []
    for count in (1, 6):
        rejected(count)
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_read_only_user_can_change_nothing(client, rejected, db):
    from django.contrib.auth.models import Permission

    (call,) = rejected()
    user = User.objects.create_user("guest", password="x", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    action = BulkAction.objects.create(
        kind="SKIP", requested_at=timezone.now(), progressed_at=timezone.now(), total=1, cursor_end=call.pk
    )
    page = client.get(reverse("admin:telephony_call_change", args=[call.pk]), headers=ENGLISH)
    for name in ("retry", "skip"):
        assert reverse(f"admin:telephony_call_{name}", args=[call.pk]) not in page.content.decode()
    for name in ("retry", "skip"):
        assert post_action(client, call, name, reason="x").status_code == 403
    for kind in ("RETRY", "SKIP"):
        assert start_bulk(client, kind, {"reason": "x"}).status_code == 403
    assert client.post(reverse("admin:telephony_bulkaction_step", args=[action.pk, "cancel"])).status_code == 403
    assert client.get(reverse("admin:telephony_bulkaction_change", args=[action.pk])).status_code == 200
    assert Call.objects.get().state == "READY"


def test_support_cannot_change_keys_or_rules(client, support, tenant):
    html = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert 'name="uis-0-access_token"' not in html
    assert 'name="draft-0-upload_missed"' not in html


@pytest.mark.slow
def test_contact_filter_is_masked_for_support(client, support, tenant, stranger, admin_client):
    publish_rules(tenant, contact_filter="EXCEPT", contacts="+7 999 000-00-01\n3725123456")
    old = "+7 999 000-00-02"
    audit.log(tenant, "CHANGED", now=timezone.now(), target=tenant.draft, field="contacts", old=old, new=f"+{CONTACT}")
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    for page_url in (url, reverse("admin:tenants_auditlogentry_changelist")):
        text = html_text.text(client.get(page_url))
        assert "7999***0001" in text
        for number in ("999 000-00-01", "3725123456", CONTACT, "999 000-00-02"):
            assert number not in text
    assert "+7 999 000-00-01" in admin_client.get(url).content.decode()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["q", "contact"])
def test_number_in_filters_and_reason_is_masked(client, support, rejected, run_queue, name):
    (call,) = rejected()
    typed, reason = (
        f"8 ({call.contact[1:4]}) {call.contact[4:7]}-{call.contact[7:]}",
        f"+{call.contact} asked us not to",
    )
    start_bulk(client, "SKIP", {"reason": reason}, **{name: typed})
    run_queue()
    action = BulkAction.objects.get()
    assert (action.filters[name], action.done) == (typed, 1)
    page = reverse("admin:telephony_bulkaction_change", args=[action.pk])
    pages = (page, reverse("admin:telephony_bulkaction_changelist"), reverse("admin:tenants_auditlogentry_changelist"))
    for page_url in pages:
        text = html_text.text(client.get(page_url, headers=ENGLISH))
        assert "7999***0000 asked us not to" in text
        assert typed not in text
        assert call.contact not in text
    assert filter_values(client.get(page, headers=ENGLISH)) == ["8999***0000"]


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("tenants_tenant", {"activation_token__startswith": "a"}),
        ("telephony_notification", {"body__contains": CONTACT}),
        ("telephony_notification", {"tenant__activation_token__startswith": "a"}),
        ("crm_popup", {"contact__startswith": "7999"}),
        ("crm_command", {"params__icontains": "a"}),
    ],
)
def test_lookups_of_secret_fields_are_rejected(client, support, model, query):
    assert client.get(reverse(f"admin:{model}_changelist"), query).status_code == 400


def test_lists_accept_their_own_filters(client, support, tenant):
    for model in (
        "telephony_notification",
        "crm_popup",
        "crm_command",
        "telephony_dailyreconciliation",
        "tenants_auditlogentry",
    ):
        assert client.get(reverse(f"admin:{model}_changelist"), {"tenant__id__exact": tenant.pk}).status_code == 200
    query = {"event": "waiting", "outcome__exact": "DONE"}
    assert client.get(reverse("admin:telephony_notification_changelist"), query).status_code == 200


@pytest.fixture
def unreadable_event(client, hook, pbx, run_queue):
    """Receive a notification without an event, at the webhook URL without an event."""
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])

    def create(event):
        body = missed.notification(event, at=timezone.now()) | {"event": None}
        client.post(hook, body, content_type="application/json")
        run_queue()
        assert Notification.objects.get().reason == "NO_EVENT"
        return missed

    return create


UNREADABLE = "/admin/telephony/notification/unreadable/"


def test_unreadable_notifications_are_grouped_by_fault_with_instructions(client, support, hook, pbx, tenant, run_queue):
    send_every_event(client, hook, pbx, only="waiting", change_body=lambda body: body.replace(",\n", "\n"))
    send_every_event(
        client, hook, pbx, only="call_end", change_body=lambda body: body.replace("call_session_id", "session")
    )
    send_every_event(client, hook, pbx, only="waiting", change_body=lambda body: body.replace(",\n", "\n\n"))
    client.post(f"{hook}recorded/", "", content_type="application/json", CONTENT_LENGTH="0")
    run_queue()
    answer = client.get(UNREADABLE, headers=ENGLISH)
    text, groups = html_text.text(answer), {shown["group"].event: shown for shown in answer.context["groups"]}
    assert {event: (shown["code"], shown["group"].count) for event, shown in groups.items()} == {
        "waiting": ("NOT_JSON", 2),
        "call_end": ("NO_SESSION", 1),
        "recorded": ("EMPTY", 1),
    }
    for event, shown in groups.items():
        with translation.override("en"):
            assert (
                f"Ромашка · {status.event_label(event)} {shown['code']} "
                f"{status.fault_message(shown['group'].faults[0])}" in text
            )
    # The message is in the client's language, and has the whole template.
    instructions = groups["call_end"]["instructions"]
    assert " ".join(instructions.split()) in text
    assert webhook_templates.title(Event.CALL_END).russian in instructions
    with translation.override("ru"):
        assert status.fault_message(groups["call_end"]["group"].faults[0]) in instructions
    assert '"call_session_id": {{call_session_id}}' in instructions
    for secret in (CONTACT, tenant.uis.hook):
        assert secret not in client.get(UNREADABLE).content.decode()


def test_unreadable_page_has_a_fixed_query_count(client, support, hook, pbx, stranger, run_queue):
    costs = []
    for count in (1, 9):
        for number in range(count):
            client.post(
                f"{hook}{['waiting', 'call_end', 'recorded'][number % 3]}/",
                f"{{{count}{number}",
                content_type="text/plain",
            )
        client.get(UNREADABLE)
        with CaptureQueriesContext(connection) as queries:
            client.get(UNREADABLE)
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_filters_of_a_group_find_its_notifications(client, hook, stranger, run_queue):
    other = f"/hooks/uis/{stranger.uis.hook}/"
    for url, bodies in {hook: "ab", f"{hook}waiting/": "cde", f"{hook}x/": "f", other: "g"}.items():
        for body in bodies:
            client.post(url, body, content_type="text/plain")
    run_queue()
    groups = unreadable.groups(now=timezone.now())
    found = [bulk_action_rows.filter_set("REPROCESS", group.filters, reader=None).qs.count() for group in groups]
    assert found == [group.count for group in groups]
    assert sorted(found) == [1, 1, 2, 3]
    assert not unreadable.groups(now=timezone.now(), client="x")


def test_stated_event_concerns_only_notifications_without_one(client, support, hook, run_queue):
    for url in (f"{hook}waiting/", f"{hook}x/"):
        client.post(url, "{", content_type="text/plain")
    run_queue()
    url = reverse("admin:telephony_bulkaction_preview", args=["REPROCESS"])
    assert client.get(url).context["total"] == 2
    reasons = set(Notification.objects.values_list("reason", flat=True))
    expected = len(reasons & {"NO_EVENT", "UNKNOWN_EVENT"})
    assert client.get(url, {"event": "lost_call"}).context["total"] == expected < 2


def reprocess(client, tenant, **data):
    """Start the bulk action as the button of the group does."""
    filters = unreadable.groups(now=timezone.now(), client=str(tenant.pk))[0].filters
    url = reverse("admin:telephony_bulkaction_preview", args=["REPROCESS"])
    assert client.get(url, filters, headers=ENGLISH).context["total"] == 1
    return html_text.submit(client, url, data, query_params=filters)


def test_reprocessed_end_of_a_call_is_uploaded(client, support, unreadable_event, crm, run_queue, tenant, stranger):
    missed = unreadable_event("lost_call")
    reprocess(client, tenant, event="lost_call")
    run_queue()
    assert [call["externalId"] for call in crm.calls] == [f"uis-{missed.session_id}"]
    assert Notification.objects.get().outcome == "DONE"
    row = AuditLogEntry.objects.get(action="REPROCESSED")
    assert (row.tenant, row.user, row.new) == (tenant, support, "1")
    second_answer = html_text.submit(client, reverse("admin:telephony_bulkaction_preview", args=["REPROCESS"]))
    assert second_answer.status_code == 200
    assert len(crm.uploads) == 1


def test_reprocessed_ring_opens_no_popup(client, support, unreadable_event, crm, run_queue, later, tenant):
    unreadable_event("waiting")
    later(timedelta(seconds=30))
    reprocess(client, tenant, event="waiting")
    run_queue()
    assert (crm.events, Notification.objects.get().reason) == ([], "STALE")


def test_reprocess_shows_its_filters_and_accepts_no_others(client, support, unreadable_event, tenant, stranger):
    unreadable_event("lost_call")
    url = reverse("admin:telephony_bulkaction_preview", args=["REPROCESS"])
    filters = {"tenant": tenant.pk, "event_in_url": "/", "reason": "NO_EVENT"}
    no_event = english(Notification.Reason.NO_EVENT.label)
    assert filter_values(client.get(url, filters, headers=ENGLISH)) == ["Ромашка", no_event]
    assert client.get(url, filters | {"day": "2026-11-24"}).status_code == 404
    assert client.get(url, filters | {"event_in_url": "\0x"}).status_code == 400
    reprocess(client, tenant, event="lost_call")
    page = client.get(reverse("admin:telephony_bulkaction_change", args=[BulkAction.objects.get().pk]), headers=ENGLISH)
    with translation.override("en"):
        assert filter_values(page) == ["Ромашка", status.event_label("lost_call"), no_event]


def test_reprocess_does_nothing_for_an_offboarded_tenant(client, support, unreadable_event, tenant, run_queue):
    unreadable_event("lost_call")
    reprocess(client, tenant, event="lost_call")
    Tenant.objects.update(offboarded_at=timezone.now(), activated_at=None)
    run_queue()
    assert (BulkAction.objects.get().state, BulkAction.objects.get().done, Call.objects.count()) == ("DONE", 0, 0)
    assert client.get(UNREADABLE, headers=ENGLISH).context["groups"] == []


def test_notification_that_crashes_does_not_block_the_next(
    client, support, unreadable_event, hook, pbx, monkeypatch, run_queue, tenant
):
    unreadable_event("lost_call")
    other = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    client.post(hook, other.notification("lost_call") | {"event": None}, content_type="application/json")
    run_queue()
    broken, apply = json.loads(Notification.objects.earliest("pk").body)["call_session_id"], apply_event.apply_event

    def apply_others(tenant, event, *, now):
        if event.session_id == broken:
            raise ZeroDivisionError
        return apply(tenant, event, now=now)

    monkeypatch.setattr(apply_event, "apply_event", apply_others)
    url = reverse("admin:telephony_bulkaction_preview", args=["REPROCESS"])
    html_text.submit(client, f"{url}?reason=NO_EVENT", {"event": "lost_call"})
    run_queue()
    assert (BulkAction.objects.get().state, BulkAction.objects.get().unchanged) == ("DONE", 1)
    assert list(Notification.objects.order_by("pk").values_list("outcome", flat=True)) == ["UNREADABLE", "DONE"]


@pytest.mark.parametrize("data", [{}, {"event": "x"}])
def test_reprocess_without_event_requires_the_event(client, support, unreadable_event, tenant, data):
    unreadable_event("lost_call")
    assert reprocess(client, tenant, **data).status_code == 200
    assert not BulkAction.objects.exists()


def test_still_unreadable_notification_stays_unreadable(client, support, hook, run_queue, tenant):
    client.post(f"{hook}waiting/", "{", content_type="text/plain")
    run_queue()
    html_text.submit(client, reverse("admin:telephony_bulkaction_preview", args=["REPROCESS"]) + f"?tenant={tenant.pk}")
    run_queue()
    action = BulkAction.objects.get()
    assert (action.done, action.unchanged, action.state) == (0, 1, "DONE")
    assert Notification.objects.get().outcome == "UNREADABLE"
