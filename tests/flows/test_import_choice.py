"""An import of past calls fires the CRM's triggers for each call: a person chooses which calls go up."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.urls import reverse

from telephony import bulk_actions
from telephony import tasks as uis_tasks
from telephony.models import BulkAction, Call, ImportChoice
from telephony.reconciliation import compare
from tests import task_queue
from tests.conftest import IVAN, NUMBER

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))
PERIOD = {"first": "2026-07-10", "last": "2026-07-15"}
ANSWERED, MISSED, RETURNED, BEFORE, AGAIN = (f"7999000000{number}" for number in range(1, 6))


@pytest.fixture
def add(pbx):
    def create(contact, hours, *, is_missed=True, **values):
        parties = {"rings": [IVAN]} if is_missed else {"talks": [(IVAN, 30)]}
        return pbx.call(contact=contact, number=NUMBER, started_at=NOON - timedelta(hours=hours), **parties, **values)

    return create


@pytest.fixture
def past(add):
    """Calls of every kind: answered; missed; missed and called back; answered before the miss; missed once more."""
    add(ANSWERED, 50, is_missed=False)
    add(MISSED, 49)
    add(RETURNED, 48)
    add(BEFORE, 47, is_missed=False)
    add(BEFORE, 46)
    add(AGAIN, 45)
    add(RETURNED, 30, is_missed=False)
    add(AGAIN, 29, is_missed=False)
    add(AGAIN, 28)


# By contact: which calls go up, and what the preview counts.
EXPECTED = {
    "WITHOUT_MISSED": [ANSWERED, RETURNED, BEFORE, AGAIN],
    "UNANSWERED": [MISSED, BEFORE, AGAIN],
    "ALL": [ANSWERED, MISSED, RETURNED, RETURNED, BEFORE, BEFORE, AGAIN, AGAIN, AGAIN],
}


@pytest.fixture
def import_calls(client, clock, operator, tenant, run_queue):
    """Preview and import; return the page of the preview."""

    def run(choice, **period):
        client.post(reverse("admin:telephony_bulkaction_import", args=[tenant.pk]), PERIOD | period)
        run_queue()
        action = BulkAction.objects.first()
        page = client.get(_page(action), headers={"accept-language": "en"}).content.decode()
        typed = {"seen": action.version} | ({"choice": choice} if choice else {})
        client.post(reverse("admin:telephony_bulkaction_step", args=[action.pk, "start"]), typed)
        for _minute in range(6):
            clock.shift(timedelta(minutes=1))
            task_queue.sweep()
        return page

    return run


def _page(action):
    return reverse("admin:telephony_bulkaction_change", args=[action.pk])


def uploaded(crm):
    return sorted(call["phone"].removeprefix("+") for call in crm.calls)


def left_out():
    return Call.objects.filter(skip_reason="NOT_IMPORTED").count()


@pytest.mark.parametrize("choice", EXPECTED)
@pytest.mark.parametrize("parts", ["one", "many"])
def test_chosen_calls_go_up_and_the_preview_counts_them(
    import_calls, past, tenant, stranger, crm, monkeypatch, choice, parts
):
    if parts == "many":
        monkeypatch.setattr(compare, "PART_CALLS", 2)
    page = import_calls(choice)
    counts = dict(re.findall(r'value="([A-Z_]+)"[^>]*>[^<]*?: (\d+)', re.sub(r"\s+", " ", page)))
    assert counts == {name: str(len(calls)) for name, calls in EXPECTED.items()}
    action = BulkAction.objects.get()
    assert (action.state, action.import_choice, action.seen) == ("DONE", choice, 9)
    assert uploaded(crm) == EXPECTED[choice]
    assert left_out() == 9 - len(EXPECTED[choice])
    assert action.skipped_by.get("NOT_IMPORTED", 0) == left_out()


def test_safe_choice_is_first_and_preselected_with_a_warning(import_calls, past, tenant, crm):
    page = import_calls("WITHOUT_MISSED")
    radios = re.findall(r'<input type="radio"[^>]*>', page)
    assert [re.search(r'value="(\w+)"', one)[1] for one in radios] == list(ImportChoice.values)
    assert ["checked" in one for one in radios] == [True, False, False]
    assert "Missed call" in page


def test_unknown_choice_starts_nothing(import_calls, past, tenant, crm):
    import_calls("SOME")
    assert (BulkAction.objects.get().state, crm.calls, Call.objects.count()) == ("PREVIEWED", [], 0)


@pytest.mark.parametrize("second", ["UNANSWERED", "ALL"])
def test_later_import_with_another_choice_takes_what_was_left_out(import_calls, past, tenant, crm, clock, second):
    import_calls("WITHOUT_MISSED")
    clock.shift(timedelta(minutes=1))
    import_calls(second)
    expected = EXPECTED["ALL"] if second == "ALL" else sorted(EXPECTED["WITHOUT_MISSED"] + EXPECTED["UNANSWERED"])
    assert uploaded(crm) == expected
    assert len({call["externalId"] for call in crm.calls}) == len(expected)


def test_page_of_a_left_out_call_explains_it_and_retry_uploads_it(import_calls, past, tenant, crm, capsys, client):
    import_calls("WITHOUT_MISSED")
    call = Call.objects.get(contact=MISSED)
    call_command("explain_call", "--tenant", tenant.slug, str(call.session_id))
    assert '"reason": "NOT_IMPORTED"' in capsys.readouterr().out
    page = client.get(_page(BulkAction.objects.get()), headers={"accept-language": "en"}).content.decode()
    assert str(ImportChoice.WITHOUT_MISSED.label) in page
    client.post(reverse("admin:telephony_call_retry", args=[call.pk]))
    for _round in range(3):
        task_queue.sweep()
    assert MISSED in uploaded(crm)


def test_reconciliation_leaves_out_what_the_import_left_out(import_calls, past, tenant, crm, capsys):
    import_calls("WITHOUT_MISSED")
    before = uploaded(crm)
    call_command("reconcile_calls", "--tenant", tenant.slug, "--from", "2026-07-10", "--till", "2026-07-15")
    uis_tasks.reconcile_all()
    uis_tasks.close_all()
    task_queue.sweep()
    assert (uploaded(crm), left_out()) == (before, 5)


def test_command_uploads_every_call_that_is_missing(past, clock, tenant, crm, capsys):
    """Who asks for a period on the command line gets all of it, as before."""
    call_command("reconcile_calls", "--tenant", tenant.slug, "--from", "2026-07-10", "--till", "2026-07-15")
    for _minute in range(6):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    assert uploaded(crm) == EXPECTED["ALL"]


def test_caller_answered_before_the_upload_is_left_out(past, clock, operator, tenant, crm, pbx, notify, run_queue):
    """What was true when the call was compared is looked at again when it is uploaded."""
    call = Call.objects.create(
        tenant=tenant,
        session_id=7,
        state="READY",
        direction="in",
        contact=MISSED,
        number=NUMBER,
        is_lost=True,
        result="NO_ANSWER",
        import_choice="UNANSWERED",
        started_at=NOON - timedelta(hours=5),
        ended_at=NOON - timedelta(hours=5),
        retry_window_started_at=NOON,
        next_attempt_at=NOON + timedelta(minutes=1),
    )
    talk = pbx.call(contact=MISSED, number=NUMBER, talks=[(IVAN, 10)], started_at=NOON - timedelta(minutes=2))
    notify(talk.notification("call_end"))
    clock.shift(timedelta(minutes=2))
    task_queue.sweep()
    call.refresh_from_db()
    assert (call.state, call.skip_reason) == ("SKIPPED", "NOT_IMPORTED")


def test_cancelled_import_of_unanswered_calls_hands_over_none(past, clock, operator, tenant, crm, monkeypatch):
    monkeypatch.setattr(compare, "PART_CALLS", 2)
    days = {name: datetime.fromisoformat(day).date() for name, day in PERIOD.items()}
    action = bulk_actions.preview_import(tenant, **days, by=operator, now=NOON)
    task_queue.drain()
    bulk_actions.take_step(action.pk, "start", choice=ImportChoice.UNANSWERED, by=operator, now=NOON)
    step = iter(range(9))
    task_queue.drain(pick=lambda task: task.endswith("run_bulk_action") and next(step) < 2)
    bulk_actions.take_step(action.pk, "cancel", by=operator, now=NOON)
    for _round in range(3):
        task_queue.sweep()
    assert (crm.calls, Call.objects.count() > 0) == ([], True)
