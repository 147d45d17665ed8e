"""Import of past calls from the client's page: a preview first, then the calls, chunk by chunk."""

import html
import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.core.jobs import MAX_LOST_LEASES
from connector_project.operations.admin import tenant_actions
from telephony import tasks
from telephony.models import BulkAction, Call, CallLogEntry, DailyReconciliation, FailureReason
from telephony.models.retries import MAX_UNEXPECTED_REPLIES
from telephony.reconciliation import call_import, compare
from tenants import rule_labels
from tenants.access_errors import AccessError
from tenants.models import AuditLogEntry, Employee, Tenant, UisConnection, User
from tenants.transfer_rules import SkipReason
from tests import html_text, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import begin_rules, publish_rules_for_all
from tests.users import create_user

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = datetime(2026, 7, 15, 12, 0, tzinfo=MOSCOW)
ENGLISH, RUSSIAN = {"accept-language": "en"}, {"accept-language": "ru"}
PERIOD = {"first": "2026-06-20", "last": "2026-07-15"}


class KilledError(BaseException):
    """Stands for a killed worker: no code catches it or cleans up."""


@pytest.fixture
def page(client, clock, operator, tenant):
    """Load the page of the last import; before the first, the one to choose its days."""

    def load(pk=tenant.pk, headers=ENGLISH):
        action = BulkAction.objects.filter(tenant=pk).first()
        return client.get(_page_of(action) if action else _address(pk), headers=headers)

    return load


@pytest.fixture
def send_form(client, clock, operator, tenant):
    """Send the form with the days, or an action; return the levels of the messages and the rejected fields."""

    def send(act="", *, pk=tenant.pk, **days):
        action = BulkAction.objects.filter(tenant=pk).first() if act else None
        url, typed = (_step(action, act), {"seen": action.version}) if action else (_address(pk), PERIOD)
        answer = client.post(url, typed | days, follow=True, headers=ENGLISH)
        assert answer.status_code == 200
        form = answer.context.get("form")
        rejected = form.errors if form else ()
        assert len(html_text.errors(answer)) == len(rejected)
        return [*(message.level_tag for message in answer.context["messages"]), *sorted(rejected)]

    return send


@pytest.fixture
def import_calls(send_form, run_queue):
    """Preview the days and import them, running the workers after each step."""

    def run(**days):
        send_form(**days)
        run_queue()
        send_form("start")
        run_queue()
        return BulkAction.objects.first()

    return run


@pytest.fixture
def small_chunks(monkeypatch):
    """Set a small chunk and page size, so that a few calls need several."""
    from telephony.uis import data_api

    monkeypatch.setattr(data_api, "PAGE", 3)
    monkeypatch.setattr(compare, "PART_CALLS", 2)


def _address(pk):
    return reverse("admin:telephony_bulkaction_import", args=[pk])


def _page_of(action):
    return reverse("admin:telephony_bulkaction_change", args=[action.pk])


def _step(action, name):
    return reverse("admin:telephony_bulkaction_step", args=[action.pk, name])


def english(text):
    with translation.override("en"):
        return str(text)


def table_numbers(answer):
    """Return the numbers of the table: calls in UIS's report, known, to import, then, where the page has them,
    by skip reason, unexplained, waiting for upload, failed.
    """
    return [int(number) for number in re.findall(r'<tr><th scope="row">.*?</th><td>[^\d]*?(\d+)<', _html(answer))]


def blocked_text(answer):
    """Return the text of why the import does not continue; None if the page has none."""
    found = re.search(r'<p class="admin-blocked">(.*?)</p>', _html(answer), re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])) if found else None


def _html(answer):
    return answer.content.decode()


def missed(pbx, at, number=1, **values):
    values = {"rings": [IVAN]} | values
    return pbx.call(contact=f"7999001{number:04d}", number=NUMBER, started_at=at, **values)


def add_missed_calls(pbx, count, *, days=5):
    """Create missed calls an hour apart, the first of them `days` ago."""
    return [missed(pbx, NOON - timedelta(days=days) + timedelta(hours=n), n) for n in range(count)]


def audit_entries():
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username", "object_repr", "new"))


# --- the preview


def test_preview_shows_the_counts_and_writes_and_sends_nothing(send_form, page, pbx, crm, run_queue, tenant, stranger):
    add_missed_calls(pbx, 7)
    pbx.call(contact="anonymous", number=NUMBER, started_at=NOON - timedelta(days=3), rings=[IVAN])
    assert send_form() == ["success"]
    assert 'admin-state admin-previewing"' in _html(page())
    run_queue()
    answer = page()
    text = html_text.text(answer)
    assert ("20 June 2026 – 15 July 2026" in text, 'admin-state admin-previewed"' in _html(answer)) == (True, True)
    assert table_numbers(answer) == [8, 0, 7, 1]
    assert english(rule_labels.label(SkipReason.HIDDEN_NUMBER)) in text
    assert re.search(r'/start/">[^<]*\b7\b', _html(answer))
    assert text.count(" 7999***000") == 5
    assert not re.search(r"7999001\d{4}", _html(page())), "numbers are masked"
    assert (Call.objects.count(), DailyReconciliation.objects.count(), crm.uploads, crm.events) == (0, 0, [], [])
    assert run_queue() == 0
    assert audit_entries() == []


def test_preview_of_known_calls_offers_no_import(send_form, page, pbx, notify, run_queue, tenant):
    notify(missed(pbx, NOON - timedelta(hours=1)).notification("call_end"))
    send_form()
    run_queue()
    assert table_numbers(page()) == [1, 1, 0]
    assert "/start/" not in _html(page())


def test_long_list_is_compared_in_chunks_and_counted_once(send_form, pbx, uis_world, run_queue, tenant, small_chunks):
    simultaneous = [missed(pbx, NOON - timedelta(days=4), n) for n in range(4)]  # all in one second
    add_missed_calls(pbx, 9)
    uis_world.requests.clear()
    send_form()
    run_queue()
    row = BulkAction.objects.get()
    assert (row.state, row.seen, row.done) == ("PREVIEWED", len(simultaneous) + 9, len(simultaneous) + 9)
    assert len(uis_world.requests) > 4


@pytest.mark.parametrize("parts", ["one", "many"])
def test_sample_lists_calls_to_upload_before_skipped_ones(send_form, pbx, run_queue, tenant, request, parts):
    if parts == "many":
        request.getfixturevalue("small_chunks")
    for number in range(8):
        missed(pbx, NOON - timedelta(days=40, hours=number), number)
    add_missed_calls(pbx, 6)
    send_form(first="2026-06-01")
    run_queue()
    row = BulkAction.objects.get()
    assert [line["skip_reason"] for line in row.sample] == [""] * 5
    assert row.sample == sorted(row.sample, key=lambda line: line["at"])


def test_preview_is_repeated_with_the_current_rules(send_form, page, pbx, run_queue, tenant):
    add_missed_calls(pbx, 3)
    send_form()
    run_queue()
    publish_rules_for_all(upload_missed=False)
    assert send_form("preview") == ["success"]
    run_queue()
    assert (table_numbers(page()), "/start/" in _html(page())) == ([3, 0, 0, 3], False)
    assert english(rule_labels.label(SkipReason.MISSED_OFF)) in html_text.text(page())


# --- the list


def test_list_of_bulk_actions_is_filtered_by_kind_and_tenant(send_form, client, tenant, stranger):
    send_form()
    send_form(pk=stranger.pk)
    BulkAction.objects.create(kind="SKIP", requested_at=NOON, progressed_at=NOON, cursor_end=1, failed_at=NOON)
    where = reverse("admin:telephony_bulkaction_changelist")
    imports = client.get(where, {"kind__exact": "IMPORT", "tenant__id__exact": tenant.pk}, headers=ENGLISH)
    assert [row.tenant for row in imports.context["cl"].result_list] == [tenant]
    assert re.search(r'field-status">([^<]+)<', _html(imports))[1] == english(BulkAction.State.PREVIEWING.label)
    others = client.get(where, {"kind__exact": "SKIP"}, headers=ENGLISH)
    assert re.findall(r'field-status">([^<]+)<', _html(others)) == ["failed"]


@pytest.mark.parametrize("count", [1, 4])
def test_list_of_bulk_actions_has_a_fixed_query_count(
    clock, operator, client, tenant, django_assert_num_queries, count
):
    for _action in range(count):
        action = add_import(tenant, "RUNNING")
        action.end(BulkAction.State.DONE, now=NOON)
        action.save()
    client.get(reverse("admin:telephony_bulkaction_changelist"))
    with django_assert_num_queries(7):
        client.get(reverse("admin:telephony_bulkaction_changelist"))


# --- the import


@pytest.mark.slow
def test_each_call_is_uploaded_once_with_its_true_time_and_no_popup(
    import_calls, page, pbx, crm, run_queue, tenant, stranger
):
    tenant.crm.time_zone = crm.timezone = "Asia/Yekaterinburg"
    tenant.crm.save()
    at = NOON - timedelta(days=20, hours=13)  # 23:00 in Moscow, the next day in the CRM's zone
    missed(pbx, at)
    pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(days=10), talks=[(PETR, 40)])
    row = import_calls()
    assert (row.state, row.done, row.seen, row.unexplained) == ("DONE", 2, 2, 0)
    task_queue.sweep()
    sent = {call["result"]: call for call in crm.calls}
    assert len(crm.calls) == 2
    assert sent["no answer"]["date"] == "2026-06-25 01:00:00"
    assert (sent["answered"]["_manager"], "recordUrl" in sent["answered"]) == (28, True)
    assert crm.events == []
    assert set(Call.objects.values_list("is_low_priority", "origin")) == {(True, "REPORT")}
    assert table_numbers(page()) == [2, 0, 2, 0]
    assert audit_entries() == [
        ("IMPORT_STARTED", "olga", "2026-06-20 – 2026-07-15", "2"),
        ("CALLS_IMPORTED", "olga", "2026-06-20 – 2026-07-15", "2"),
    ]


@pytest.mark.slow
def test_second_run_changes_nothing(import_calls, send_form, page, pbx, crm, run_queue, tenant, stranger):
    add_missed_calls(pbx, 7)
    import_calls()
    rows, tries, sent = list(Call.objects.values()), CallLogEntry.objects.count(), len(crm.uploads)
    send_form()
    run_queue()
    assert table_numbers(page()) == [7, 7, 0]
    assert send_form("start") == ["success"]
    run_queue()
    assert BulkAction.objects.count() == 2
    assert (list(Call.objects.values()), CallLogEntry.objects.count(), len(crm.uploads)) == (rows, tries, sent)
    assert len(crm.calls) == 7


@pytest.mark.slow
def test_command_for_the_same_days_duplicates_nothing(import_calls, pbx, crm, run_queue, tenant):
    from django.core.management import call_command

    add_missed_calls(pbx, 3)
    import_calls()
    call_command("reconcile_calls", "--tenant", "romashka", "--from", "2026-07-01", "--till", "2026-07-15")
    run_queue()
    assert len(crm.calls) == 3


@pytest.mark.parametrize("activated_days_ago", [0, 3])
def test_period_before_the_activation_is_imported(import_calls, pbx, crm, tenant, activated_days_ago):
    Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON - timedelta(days=activated_days_ago))
    add_missed_calls(pbx, 4, days=20)
    row = import_calls(last="2026-07-10")
    assert (row.state, len(crm.calls)) == ("DONE", 4)


def test_nightly_task_imports_no_further_calls(import_calls, pbx, crm, run_queue, clock, tenant):
    Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON - timedelta(hours=1))
    import_calls(first="2026-06-20", last="2026-06-25")
    add_missed_calls(pbx, 4)
    clock.shift(timedelta(hours=16))
    tasks.close_all()
    run_queue()
    assert (crm.calls, Call.objects.count()) == ([], 0)


def test_nightly_task_imports_no_calls_before_activation(pbx, crm, run_queue, clock, tenant):
    Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON)
    missed(pbx, NOON - timedelta(hours=5))
    for _night in range(2):
        clock.shift(timedelta(days=1))
        tasks.close_all()
        run_queue()
    assert DailyReconciliation.objects.filter(closed_at__isnull=False).count() == 2
    assert (crm.calls, Call.objects.count()) == ([], 0)


def test_import_of_a_day_does_not_hide_a_failed_night(import_calls, pbx, crm, uis_world, run_queue, clock, tenant):
    Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON - timedelta(days=9))
    clock.shift(timedelta(hours=16))
    tasks.close_all()
    run_queue()
    lost = missed(pbx, NOON + timedelta(hours=20))  # UIS is unavailable in the following night
    uis_world.break_down("503")
    clock.shift(timedelta(days=1))
    tasks.close_all()
    run_queue()
    uis_world.repair()
    clock.shift(timedelta(days=1))
    import_calls(first="2026-07-17", last="2026-07-17")
    clock.shift(timedelta(days=1))
    tasks.close_all()
    run_queue()
    assert [call["externalId"] for call in crm.calls] == [f"uis-{lost.session_id}"]


@pytest.mark.slow
def test_calls_before_the_upload_window_are_skipped_with_the_setting_on_the_page(
    import_calls, page, pbx, crm, clock, tenant
):
    for days in (31, 40, 29):
        missed(pbx, NOON - timedelta(days=days), days)
    row = import_calls(first="2026-06-01")
    assert (row.skipped_by, len(crm.calls)) == ({"EXPIRED": 2}, 1)
    assert (table_numbers(page()), "30" in html_text.text(page())) == ([3, 0, 1, 2, 0], True)
    assert f'href="/admin/tenants/tenant/{tenant.pk}/change/#id_upload_window_days"' in _html(page())
    Tenant.objects.update(upload_window_days=60)
    clock.shift(timedelta(minutes=1))
    row = import_calls(first="2026-06-01")
    assert (row.done, row.skipped_by, len(crm.calls)) == (2, {}, 3)


@pytest.mark.slow
def test_period_of_two_hundred_days_is_requested_in_three_month_windows(
    import_calls, pbx, uis_world, crm, run_queue, clock, tenant, small_chunks
):
    Tenant.objects.update(upload_window_days=400)
    for number in range(20):
        missed(pbx, NOON - timedelta(days=10 * number, minutes=10), number)
    uis_world.requests.clear()
    row = import_calls(first="2025-12-28")
    assert all(request.mnemonic is None for request in uis_world.requests)
    assert (row.state, row.seen, row.done, row.unexplained) == ("DONE", 20, 20, 0)
    assert len(crm.calls) == 20


def test_year_without_calls_costs_few_points(send_form, uis_world, run_queue, tenant):
    uis_world.requests.clear()
    send_form(first="2025-07-16")
    assert run_queue() == 5, "a task requests three months at most"
    assert BulkAction.objects.get().state == "PREVIEWED"
    assert len(uis_world.requests) == 5


@pytest.mark.slow
def test_completely_compared_days_are_closed(import_calls, pbx, tenant, small_chunks):
    add_missed_calls(pbx, 30, days=3)
    import_calls(first="2026-07-12")
    days = DailyReconciliation.objects.filter(closed_at__isnull=False).order_by("day")
    assert list(days.values_list("day", "uis_calls", "unexplained")) == [
        (date(2026, 7, 12), 12, 0),
        (date(2026, 7, 13), 18, 0),
        (date(2026, 7, 14), 0, 0),
    ]


@pytest.mark.slow
def test_call_that_cannot_be_stored_is_unexplained_in_its_day_and_on_the_page(
    import_calls, page, pbx, tenant, small_chunks, monkeypatch
):
    from telephony.calls import pipeline

    bad = add_missed_calls(pbx, 9, days=3)[1]
    real = pipeline.create_from_report
    monkeypatch.setattr(
        pipeline,
        "create_from_report",
        lambda t, event, **kw: 1 / 0 if event.session_id == bad.session_id else real(t, event, **kw),
    )
    row = import_calls()
    assert (row.done, row.seen, row.unexplained) == (8, 9, 1)
    assert (table_numbers(page()), _html(page()).count('admin-state admin-failed"')) == ([9, 0, 8, 1, 0], 1)
    assert DailyReconciliation.objects.get(day="2026-07-12").unexplained == 1
    monkeypatch.undo()
    assert import_calls().unexplained == 0
    assert DailyReconciliation.objects.get(day="2026-07-12").unexplained == 0


# --- failures


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["503", "timeout", "cut", "html"])
def test_import_continues_at_its_cursor_when_uis_is_available_again(
    send_form, page, pbx, uis_world, crm, run_queue, clock, tenant, small_chunks, kind
):
    add_missed_calls(pbx, 9)
    send_form()
    run_queue()
    send_form("start")
    step = iter(range(100))
    task_queue.drain(pick=lambda task: task.endswith("run_bulk_action") and next(step) < 4)
    came = BulkAction.objects.get().period[1]
    assert came > BulkAction.objects.get().period[0]
    uis_world.break_down(kind)
    run_queue()
    row = BulkAction.objects.get()
    assert (row.state, row.reason, row.period[1], row.failed_at) == ("RUNNING", "UIS_UNAVAILABLE", came, None)
    assert "12:01" in blocked_text(page())
    uis_world.repair()
    uis_world.requests.clear()
    clock.shift(timedelta(minutes=2))
    task_queue.sweep()
    row = BulkAction.objects.get()
    assert (row.state, row.seen, row.done, len(crm.calls)) == ("DONE", 9, 9, 9)
    firsts = [request.params["date_from"] for request in uis_world.requests if request.method == "get.calls_report"]
    assert firsts[0] == f"{came.astimezone(MOSCOW):%Y-%m-%d %H:%M:%S}", "what was compared is not read again"


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [0, 1, 5, 9])  # after the ninth it dies before it reports its progress
def test_chunk_of_a_killed_worker_is_repeated_and_counted_once(
    send_form, page, pbx, crm, run_queue, clock, tenant, monkeypatch, stranger, recorded
):
    from telephony.calls import pipeline
    from telephony.reconciliation import stats

    add_missed_calls(pbx, 9)
    send_form()
    run_queue()
    send_form("start")
    real, seen = pipeline.create_from_report, []

    def record(*args, **kwargs):
        if len(seen) == recorded:
            raise KilledError
        seen.append(1)
        return real(*args, **kwargs)

    count = stats.count

    def die(*args, **kwargs):
        count(*args, **kwargs)
        raise KilledError

    monkeypatch.setattr(pipeline, "create_from_report", record)
    monkeypatch.setattr(stats, "count", die)
    with pytest.raises(KilledError):
        run_queue()
    monkeypatch.undo()
    task_queue.lose()
    assert Call.objects.count() == recorded
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    assert BulkAction.objects.get().state == "RUNNING", "another worker may have it still"
    clock.shift(timedelta(minutes=3))
    task_queue.sweep()
    row = BulkAction.objects.get()
    assert (row.state, row.seen, row.done, row.attempts, len(crm.calls)) == ("DONE", 9, 9, 0, 9)
    found = CallLogEntry.objects.filter(step="RECONCILE").values_list("call", flat=True)
    assert (len(found), len(set(found))) == (9, 9)
    assert AuditLogEntry.objects.get(action="CALLS_IMPORTED").new == "9"


@pytest.mark.slow
def test_chunk_that_kills_every_worker_fails_the_import_and_can_be_retried(
    send_form, page, pbx, crm, run_queue, clock, tenant, monkeypatch
):
    add_missed_calls(pbx, 2)
    send_form()
    run_queue()
    send_form("start")
    real = call_import.run

    def kill(*_args, **_kwargs):
        raise KilledError

    monkeypatch.setattr(call_import, "run", kill)
    for _try in range(MAX_LOST_LEASES):
        with pytest.raises(KilledError):
            task_queue.sweep()
        clock.shift(timedelta(minutes=4))
    task_queue.sweep()
    row = BulkAction.objects.get()
    assert (row.reason, row.failed_at is not None) == ("INTERNAL_ERROR", True)
    assert english(FailureReason.INTERNAL_ERROR.label) in blocked_text(page())
    assert english(FailureReason.INTERNAL_ERROR.responsible.label) in blocked_text(page())
    clock.shift(timedelta(hours=4))
    task_queue.sweep()
    monkeypatch.setattr(call_import, "run", real)
    assert send_form("resume") == ["success"]
    run_queue()
    assert (BulkAction.objects.get().state, len(crm.calls)) == ("DONE", 2)
    assert [(verb, new) for verb, _by, _part, new in audit_entries()] == [
        ("IMPORT_STARTED", "2"),
        ("CALLS_IMPORTED", "2"),
    ]


def test_import_survives_a_lost_queue(send_form, pbx, crm, run_queue, clock, tenant):
    add_missed_calls(pbx, 2)
    send_form()
    task_queue.lose()
    task_queue.sweep()
    send_form("start")
    task_queue.lose()
    task_queue.sweep()
    assert (BulkAction.objects.get().state, len(crm.calls)) == ("DONE", 2)


@pytest.mark.slow
def test_import_continues_automatically_after_used_up_points(
    send_form, page, pbx, uis_world, crm, run_queue, clock, tenant, small_chunks
):
    add_missed_calls(pbx, 12)
    pbx.minute_limit = 8
    uis_world.requests.clear()
    send_form()
    run_queue()
    row = BulkAction.objects.get()
    assert (row.state, row.reason, row.failed_at) == ("PREVIEWING", "UIS_QUOTA", None)
    assert f"{row.next_attempt_at.astimezone(MOSCOW):%H:%M}" in blocked_text(page())
    assert all(request.mnemonic is None for request in uis_world.requests), "the reserve was not used"
    for _minute in range(10):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    send_form("start")
    for _minute in range(10):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    row = BulkAction.objects.get()
    assert (row.state, row.seen, row.done, len(crm.calls)) == ("DONE", 12, 12, 12)
    assert all(request.mnemonic is None for request in uis_world.requests)


@pytest.mark.slow
def test_live_call_is_uploaded_before_imported_ones(send_form, pbx, crm, notify, run_queue, clock, tenant):
    for number in range(120):
        missed(pbx, NOON - timedelta(days=3, minutes=number), number)
    send_form()
    run_queue()
    send_form("start")
    task_queue.drain(pick=lambda task: task.endswith("run_bulk_action"))
    live = pbx.call(contact="79990009999", number=NUMBER, rings=[IVAN])
    notify(live.notification("lost_call"), works=False)
    task_queue.process_notifications()
    tasks.evaluate_calls(tenant.pk)
    run_queue()
    assert "+79990009999" in [call["phone"] for call in crm.uploads[0]]
    assert len(crm.calls) == 121


def add_import(owner, state):
    """Create an import of three days in this state."""
    since, till = (int(moment.timestamp()) for moment in (NOON - timedelta(days=3), NOON))
    row = BulkAction(kind="IMPORT", tenant=owner, cursor_start=since, cursor_end=till, requested_at=NOON)
    row.filters = {"first": "2026-07-12", "last": "2026-07-15"}
    row.restart(BulkAction.State(state), now=NOON)
    row.save()
    return row


def test_large_import_of_one_tenant_leaves_workers_to_others(tenant, stranger, clock):
    for owner in [
        tenant,
        stranger,
        *(begin_rules(Tenant.objects.create(name=name, slug=name)) for name in ("third", "fourth")),
    ]:
        add_import(owner, "RUNNING")
    claimed = [BulkAction.objects.claim_next(now=NOON) for _worker in range(3)]
    assert [row and row.tenant for row in claimed] == [tenant, stranger, None]


def test_imports_do_not_delay_other_bulk_actions(tenant, stranger, clock):
    for owner in (tenant, stranger, begin_rules(Tenant.objects.create(name="third", slug="third"))):
        add_import(owner, "RUNNING")
    retry = BulkAction(kind="RETRY", cursor_end=1, requested_at=NOON)
    retry.restart(BulkAction.State.RUNNING, now=NOON)
    retry.save()
    claimed = [BulkAction.objects.claim_next(now=NOON) for _worker in range(4)]
    assert [row and row.tenant for row in claimed] == [tenant, stranger, None, None]
    assert claimed[2:] == [retry, None]


def test_preview_runs_before_an_import_in_progress(tenant, stranger, clock):
    add_import(tenant, "RUNNING")
    add_import(stranger, "PREVIEWING")
    assert BulkAction.objects.claim_next(now=NOON).tenant == stranger


# --- access denied, paused, disconnected


@pytest.mark.slow
def test_imported_calls_of_a_paused_tenant_are_uploaded_after_resuming(
    import_calls, page, pbx, crm, run_queue, clock, tenant
):
    add_missed_calls(pbx, 3)
    tenant.pause()
    row = import_calls()
    assert (row.state, row.done, crm.calls) == ("DONE", 3, [])
    [(message, responsible)] = page().context["notices"]
    assert (message in html_text.text(page()), responsible) == (True, "")
    assert table_numbers(page()) == [3, 0, 3, 3]
    Tenant.objects.get(pk=tenant.pk).resume()
    task_queue.sweep()
    assert len(crm.calls) == 3


@pytest.mark.slow
def test_import_shows_a_revoked_key_and_continues_after_its_restoration(
    send_form, page, pbx, crm, run_queue, clock, tenant, small_chunks
):
    add_missed_calls(pbx, 6)
    send_form()
    run_queue()
    send_form("start")
    step = iter(range(100))
    task_queue.drain(pick=lambda task: task.endswith("run_bulk_action") and next(step) < 2)
    pbx.token_state = "blocked"
    run_queue()
    row = BulkAction.objects.get()
    assert (row.reason, row.code, row.failed_at) == ("UIS_DENIED", "access_token_blocked", None)
    assert english(AccessError.TOKEN_BLOCKED.label) in blocked_text(page())
    assert english(FailureReason.UIS_DENIED.responsible.label) in blocked_text(page())
    assert UisConnection.objects.get(tenant=tenant).denied_at is not None
    pbx.token_state = "valid"
    clock.shift(timedelta(minutes=5))
    task_queue.sweep()
    task_queue.sweep()
    assert (BulkAction.objects.get().state, len(crm.calls)) == ("DONE", 6)
    assert UisConnection.objects.get(tenant=tenant).denied_at is None


def test_missing_right_waits_and_suspends_nothing(send_form, page, pbx, run_queue, clock, tenant):
    pbx.unavailable_methods.add("get.calls_report")
    send_form()
    run_queue()
    assert english(AccessError.METHOD_COMPONENT.label) in blocked_text(page())
    assert UisConnection.objects.get(tenant=tenant).denied_at is None
    pbx.unavailable_methods.clear()
    clock.shift(timedelta(minutes=5))
    task_queue.sweep()
    assert BulkAction.objects.get().state == "PREVIEWED"


@pytest.mark.slow
def test_denied_access_to_the_crm_is_shown_before_the_import(import_calls, page, pbx, crm, run_queue, tenant):
    tenant.crm.suspend("key", "no", now=NOON)
    add_missed_calls(pbx, 2)
    import_calls()
    [(message, responsible)] = page().context["notices"]
    assert english(AccessError.CRM_KEY.label) in message
    assert english(responsible) == english(FailureReason.CRM_DENIED.responsible.label)
    assert message in html_text.text(page())
    assert (table_numbers(page()), crm.calls) == ([2, 0, 2, 2], [])


def test_unexpected_error_fails_the_import_with_the_responsible_party(
    send_form, page, pbx, uis_world, run_queue, clock, tenant, monkeypatch
):
    from tests.fakes import uis_data
    from tests.fakes.uis_jsonrpc import RpcError

    def reject(*_args, **_kwargs):
        raise RpcError("sort_prohibited", "sort", "start_time")

    monkeypatch.setattr(uis_data, "select", reject)
    send_form()
    run_queue()
    assert BulkAction.objects.get().failed_at is None
    for _try in range(MAX_UNEXPECTED_REPLIES):
        clock.shift(timedelta(minutes=2))
        task_queue.sweep()
    row = BulkAction.objects.get()
    assert (row.reason, row.failed_at is not None) == ("UNEXPECTED_REPLY", True)
    assert english(FailureReason.UNEXPECTED_REPLY.label) in blocked_text(page())
    assert english(FailureReason.UNEXPECTED_REPLY.responsible.label) in blocked_text(page())
    monkeypatch.undo()
    send_form("resume")
    run_queue()
    assert BulkAction.objects.get().state == "PREVIEWED"


def test_open_circuit_breaker_delays_the_preview(send_form, page, pbx, uis_world, run_queue, clock, tenant):
    UisConnection.objects.filter(tenant=tenant).update(consecutive_failures=4, retry_at=NOON + timedelta(minutes=2))
    uis_world.requests.clear()
    send_form()
    run_queue()
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    assert uis_world.requests == []
    assert "12:02" in blocked_text(page())
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    assert BulkAction.objects.get().state == "PREVIEWED"


@pytest.mark.slow
@pytest.mark.parametrize("change", ["left", "inactive", "keyless"])
def test_import_is_rejected_while_calls_cannot_be_requested(send_form, page, client, run_queue, tenant, change):
    if change == "keyless":
        UisConnection.objects.filter(tenant=tenant).update(access_token="")
    else:
        changed = {"left": {"offboarded_at": NOON, "activated_at": None}, "inactive": {"activated_at": None}}[change]
        Tenant.objects.filter(pk=tenant.pk).update(**changed)
    stored = Tenant.objects.select_related("uis").get(pk=tenant.pk)
    refusal = english(tenant_actions.TENANT_ACTIONS["import"].refusal(stored, NOON))
    known = {"left": tenant_actions.OFFBOARDED, "keyless": tenant_actions.NO_KEYS}
    assert {name: english(text) == refusal for name, text in known.items()} == {name: name == change for name in known}
    assert refusal in html_text.text(page())
    assert send_form() == ["warning"]
    assert (BulkAction.objects.count(), run_queue()) == (0, 0)
    home = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    assert "/import/" not in home.content.decode()


def test_disconnecting_the_tenant_ends_the_import(send_form, pbx, crm, run_queue, clock, tenant):
    from connector_project.operations.onboarding import offboarding

    add_missed_calls(pbx, 2)
    send_form()
    run_queue()
    send_form("start")
    offboarding.offboard(tenant, now=timezone.now())
    run_queue()
    clock.shift(timedelta(minutes=5))
    task_queue.sweep()
    assert (BulkAction.objects.get().state, Call.objects.count()) == ("CANCELLED", 0)


# --- users


@pytest.mark.slow
def test_imported_calls_stay_after_cancelling(send_form, page, pbx, crm, run_queue, clock, tenant, small_chunks):
    add_missed_calls(pbx, 6)
    send_form()
    run_queue()
    send_form("start")
    step = iter(range(100))
    task_queue.drain(pick=lambda task: task.endswith("run_bulk_action") and next(step) < 2)
    assert send_form("cancel") == ["success"]
    run_queue()
    row = BulkAction.objects.get()
    assert (row.state, row.done, len(crm.calls)) == ("CANCELLED", 4, 4)
    assert table_numbers(page()) == [4, 0, 4, 0]
    assert [(verb, new) for verb, _by, _part, new in audit_entries()] == [
        ("IMPORT_STARTED", "6"),
        ("IMPORT_CANCELLED", "4"),
    ]


def test_chunk_running_during_cancelling_is_counted_and_is_the_last(
    send_form, pbx, crm, run_queue, clock, tenant, small_chunks, monkeypatch
):
    add_missed_calls(pbx, 6)
    send_form()
    run_queue()
    send_form("start")
    real = call_import.run

    def cancelled_meanwhile(*args, **kwargs):
        found = real(*args, **kwargs)
        send_form("cancel")
        return found

    monkeypatch.setattr(call_import, "run", cancelled_meanwhile)
    run_queue()
    row = BulkAction.objects.get()
    assert (row.state, row.done, row.next_attempt_at, len(crm.calls)) == ("CANCELLED", 2, None, 2)
    assert [(verb, new) for verb, _by, _part, new in audit_entries()] == [
        ("IMPORT_STARTED", "6"),
        ("IMPORT_CANCELLED", "0"),
        ("CALLS_IMPORTED", "2"),
    ]


def test_cancelled_preview_shows_the_form_again(send_form, client, pbx, run_queue, tenant):
    send_form()
    answer = client.post(_step(BulkAction.objects.get(), "cancel"), follow=True)
    assert answer.redirect_chain[-1][0] == _address(tenant.pk)
    assert run_queue() == 1
    assert 'name="first"' in _html(answer)


def test_page_to_choose_days_leads_to_an_open_import(send_form, client, run_queue, tenant):
    send_form()
    assert client.get(_address(tenant.pk)).url == _page_of(BulkAction.objects.get())
    send_form("cancel")
    assert 'name="first"' in _html(client.get(_address(tenant.pk)))


def test_another_period_replaces_a_preview(send_form, clock, run_queue, tenant):
    send_form()
    run_queue()
    assert send_form("cancel") == ["success"]
    clock.shift(timedelta(seconds=1))
    assert send_form(first="2026-07-01") == ["success"]
    assert list(BulkAction.objects.values_list("state", flat=True)) == ["PREVIEWING", "CANCELLED"]


def test_page_of_an_earlier_preview_starts_nothing(send_form, pbx, client, page, run_queue, tenant):
    add_missed_calls(pbx, 2)
    send_form()
    run_queue()
    opened = html_text.fields(_html(page()))
    add_missed_calls(pbx, 3)
    assert send_form("preview") == ["success"]  # by a colleague
    run_queue()
    action = BulkAction.objects.get()
    for typed in (opened, {}, {"seen": "x"}):
        client.post(_step(action, "start"), typed)
        assert BulkAction.objects.get().state == "PREVIEWED"
    client.post(_step(action, "start"), html_text.fields(_html(page())))
    assert BulkAction.objects.get().state == "RUNNING"


def test_second_import_cannot_be_started(send_form, pbx, run_queue, tenant):
    add_missed_calls(pbx, 2)
    send_form()
    assert send_form(first="2026-07-01") == ["warning"]
    run_queue()
    send_form("start")
    assert send_form("start") == ["warning"]
    assert send_form(first="2026-07-01") == ["warning"]
    assert BulkAction.objects.count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        add_import(tenant, "PREVIEWING")


def test_unknown_step_does_nothing(send_form, client, run_queue, tenant):
    send_form()
    run_queue()
    before = BulkAction.objects.values().get()
    assert client.post(_step(BulkAction.objects.get(), "delete")).status_code == 404
    assert client.post(_step(BulkAction(pk=before["id"] + 1), "start")).status_code == 404
    assert client.get(_step(BulkAction.objects.get(), "start")).status_code == 405
    assert BulkAction.objects.values().get() == before


@pytest.mark.parametrize("name", ["start", "preview", "resume"])
def test_step_that_is_not_possible_now_changes_nothing(send_form, tenant, name):
    send_form()
    before = BulkAction.objects.values().get()
    assert send_form(name) == ["warning"]
    assert BulkAction.objects.values().get() == before


@pytest.mark.parametrize(
    ("days", "rejected"),
    [
        ({"first": "2026-07-10", "last": "2026-07-09"}, ["last"]),  # ends before it starts
        ({"first": "2026-07-10", "last": "2026-07-16"}, ["last"]),  # in the future
        ({"first": "2026-07-16", "last": "2026-07-16"}, ["first", "last"]),
        ({"first": "2025-07-14", "last": "2026-07-15"}, ["last"]),  # a day too long
        ({"first": "0001-01-01", "last": "0001-01-02"}, ["first", "last"]),
        ({"first": "soon", "last": "2026-07-15"}, ["first"]),
        ({"first": "", "last": "2026-07-15"}, ["first"]),
    ],
)
def test_invalid_period_is_rejected_at_its_field(send_form, run_queue, tenant, days, rejected, settings):
    settings.RETENTION_CALLS_DAYS = 4000  # tests/operations/test_retention.py has those before the retention of calls
    assert send_form(**days) == rejected
    assert (BulkAction.objects.count(), run_queue()) == (0, 0)


@pytest.mark.parametrize(
    ("days", "found"),
    [({"first": "2026-07-14", "last": "2026-07-14"}, 2), ({"first": "2026-07-15", "last": "2026-07-15"}, 1)],
)
def test_days_are_in_the_tenants_time_zone_and_inclusive(send_form, pbx, run_queue, tenant, days, found):
    Tenant.objects.update(time_zone="Asia/Vladivostok")  # seven hours ahead of Moscow
    midnight = datetime(2026, 7, 14, tzinfo=ZoneInfo("Asia/Vladivostok"))
    for number, moment in enumerate((-1, 0, 86399, 86400)):
        missed(pbx, midnight + timedelta(seconds=moment), number)
    missed(pbx, NOON - timedelta(minutes=2), 9)  # too recent: its notifications are still coming
    send_form(**days)
    run_queue()
    assert BulkAction.objects.get().seen == found


@pytest.mark.parametrize("minute", [0, 4])
def test_period_in_the_first_minutes_of_a_day_is_handled(send_form, run_queue, clock, tenant, minute):
    clock.move_to(datetime(2026, 7, 15, 0, minute, tzinfo=MOSCOW))
    send_form(first="2026-07-15", last="2026-07-15")
    run_queue()
    assert (BulkAction.objects.get().state, BulkAction.objects.get().share) == ("PREVIEWED", 1.0)


def test_support_can_view_but_not_start_imports(send_form, client, run_queue, clock, tenant):
    send_form()
    run_queue()
    before = BulkAction.objects.values().get()
    support = create_user("sveta", "Support")
    client.logout()
    row = BulkAction.objects.get()
    assert "/login/" in client.get(_page_of(row)).url
    client.force_login(support)
    seen = client.get(_page_of(row), headers=ENGLISH)
    assert 'admin-state admin-previewed"' in _html(seen)
    assert "formaction" not in _html(seen)
    assert client.post(_address(tenant.pk), PERIOD).status_code == 403
    for name in ("start", "preview", "resume", "cancel"):
        assert client.post(_step(row, name)).status_code == 403
    assert BulkAction.objects.values().get() == before
    BulkAction.objects.all().delete()
    assert 'name="first"' not in _html(client.get(_address(tenant.pk)))


def test_user_without_permission_sees_nothing(client, tenant, clock):
    row = add_import(tenant, "RUNNING")
    client.force_login(User.objects.create_user("visitor", password="x", is_staff=True))
    for url in (_address(tenant.pk), _page_of(row)):
        assert client.get(url).status_code == 403
    assert client.post(_step(row, "cancel")).status_code == 403


def test_post_without_the_csrf_token_is_rejected(operator, tenant):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    assert strict.post(_address(tenant.pk), PERIOD).status_code == 403


def test_unknown_tenant_is_not_found(client, operator, tenant):
    assert client.get(_address(tenant.pk + 99)).status_code == 404
    assert client.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, "import"])).status_code == 404


@pytest.mark.slow
def test_tenant_page_links_to_the_import_and_shows_its_progress(
    send_form, client, pbx, run_queue, clock, tenant, small_chunks
):
    add_missed_calls(pbx, 6)
    where = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    assert f'href="{_address(tenant.pk)}"' in _html(client.get(where, headers=ENGLISH))
    send_form()
    step = iter(range(100))
    task_queue.drain(pick=lambda task: task.endswith("run_bulk_action") and next(step) < 2)
    [status] = re.findall(rf'<a href="{_address(tenant.pk)}">([^<]*%)', _html(client.get(where, headers=ENGLISH)))
    assert status == f"20 June 2026 – 15 July 2026, {english(BulkAction.State.PREVIEWING.label)}, 81 %"


def test_form_has_default_days_by_the_activation(page, tenant):
    Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON - timedelta(days=2))
    assert 'name="first" value="2026-06-16"' in _html(page())
    assert 'name="last" value="2026-07-13"' in _html(page())
    Tenant.objects.filter(pk=tenant.pk).update(activated_at=NOON - timedelta(days=200))
    assert 'name="last" value="2026-07-15"' in _html(page())


def test_unlinked_employees_are_listed_before_the_import(page, tenant):
    Employee.objects.filter(tenant=tenant).update(crm_user_id=None)
    found = re.search(r'<li class="admin-blocked">[^<]*\b3\b[^<]*<a href="([^"]+)"', _html(page()))
    assert found[1] == reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk])
    assert reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk]) in _html(page())


def test_page_is_polled_until_its_stage_changes(send_form, page, pbx, run_queue, tenant):
    add_missed_calls(pbx, 2)
    send_form()
    part = _html(page())
    assert " data-busy>" in part
    assert f'data-live="{_page_of(BulkAction.objects.get())}"' in part
    run_queue()
    news = _html(page())
    assert "data-busy" not in news
    assert re.search(r'data-stage="([^"]+)"', news)[1] != re.search(r'data-stage="([^"]+)"', part)[1]


def test_page_is_in_russian(send_form, page, pbx, run_queue, tenant):
    add_missed_calls(pbx, 5)
    send_form()
    run_queue()
    answer = page(headers=RUSSIAN)
    assert "20 июня 2026 – 15 июля 2026" in html_text.text(answer)
    assert re.search(r'/start/">[^<]*\b5\b', _html(answer))
    with translation.override("ru"):
        assert str(BulkAction.State.PREVIEWED.label) in html_text.text(answer)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 40])
def test_page_of_a_finished_import_has_a_fixed_query_count(
    import_calls, page, pbx, tenant, django_assert_num_queries, count
):
    add_missed_calls(pbx, count)
    import_calls()
    page()
    with django_assert_num_queries(9):
        page()
