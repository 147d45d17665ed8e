"""A call that breaks our code or its worker fails alone; the others of its batch go on."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.db import DataError, OperationalError
from django.utils import timezone

from connector_project.core.encrypted_fields import UndecryptableText
from connector_project.core.jobs import LEASE, MAX_LOST_LEASES, SUSPECT_AFTER_LOST_LEASES
from connector_project.core.models import LIVE_FOR, WorkerHeartbeat
from crm import call_records, uploads
from crm.retailcrm.client import RetailCrmClient
from telephony.calls import pipeline, stored_events
from telephony.models import Call, Notification
from telephony.webhooks import process
from tenants.models import CrmConnection
from tests import task_queue
from tests.conftest import IVAN, NUMBER
from tests.rules import publish_rules_for_all

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

CONTACTS = [f"7999500000{number}" for number in range(3)]
BAD = CONTACTS[1]
FOREIGN = UndecryptableText.create(Fernet(Fernet.generate_key()).encrypt(b"secret").decode())


@pytest.fixture
def prepare(tenant, pbx, notify):
    """Bring three calls to a state, none of them processed there yet."""

    def create(state):
        if state == "RESOLVING_OWNER":
            publish_rules_for_all(missed_owner="RESPONSIBLE")
        started_at = timezone.now() - timedelta(seconds=60)
        for contact in CONTACTS:
            talks = [(IVAN, 50)] if state == "FETCHING_LEGS" else []
            call = pbx.call(contact=contact, number=NUMBER, rings=[IVAN], talks=talks, started_at=started_at)
            notify(call.notification("call_end"), works=False)
        task_queue.process_notifications()
        if state != "DEBOUNCING":
            task_queue.drain(pick=lambda task: task.endswith("evaluate_calls"))
        assert set(Call.objects.values_list("state", flat=True)) == {state}

    return create


def break_function(monkeypatch, owner, name, error, *, is_bad):
    """Let one function raise where `is_bad` says so of its arguments."""
    real = getattr(owner, name)

    def act(*args, **kwargs):
        if is_bad(*args):
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, act)


def assert_only_bad_failed(crm):
    bad = Call.objects.get(contact=BAD)
    assert (bad.reason, bad.failed_at is not None, bad.next_attempt_at, bad.claim_token) == (
        *("INTERNAL_ERROR", True, None, None),
    )
    assert [call["phone"] for call in crm.calls] == [f"+{contact}" for contact in CONTACTS if contact != BAD]


@pytest.mark.parametrize(("state", "column"), [("READY", "recording_url"), ("FETCHING_LEGS", "uis_snapshot")])
def test_call_that_cannot_be_decrypted_fails_alone(prepare, crm, later, stranger, state, column):
    prepare(state)
    Call.objects.filter(contact=BAD).update(**{column: FOREIGN})
    for _minute in range(2):
        later(timedelta(minutes=1))
    assert_only_bad_failed(crm)
    stored = Call.objects.filter(contact=BAD).values_list(column, flat=True).get()
    assert stored.token == FOREIGN.token


def test_notification_that_cannot_be_read_fails_its_call_alone(prepare, crm, later, stranger):
    prepare("DEBOUNCING")
    session = Call.objects.get(contact=BAD).session_id
    stored = {"version": stored_events.VERSION + 1, "kind": "ENDED", "values": {}}
    Notification.objects.filter(session_id=session).update(parsed_event=stored)
    later(timedelta(minutes=1))
    assert_only_bad_failed(crm)


BREAKS = {
    "evaluate": ("DEBOUNCING", pipeline, "apply_resolution", lambda call, *_more: call.contact == BAD),
    "fetch legs": ("FETCHING_LEGS", pipeline, "apply_resolution", lambda call, *_more: call.contact == BAD),
    "ask for the manager": ("RESOLVING_OWNER", RetailCrmClient, "manager", lambda _self, phone: BAD in phone),
    "build the record": ("READY", call_records, "_record", lambda call, *_more: call.contact == BAD),
    "write the evaluation": ("DEBOUNCING", Call, "move_to", lambda call, *_more: call.contact == BAD),
    "write the legs": ("FETCHING_LEGS", Call, "move_to", lambda call, *_more: call.contact == BAD),
    "write the owner": ("RESOLVING_OWNER", Call, "move_to", lambda call, *_more: call.contact == BAD),
}


@pytest.mark.parametrize("step", BREAKS)
@pytest.mark.parametrize("error", [ZeroDivisionError(), DataError()])
def test_call_that_raises_between_claim_and_finish_fails_alone(prepare, crm, later, stranger, monkeypatch, step, error):
    state, *function, is_bad = BREAKS[step]
    prepare(state)
    break_function(monkeypatch, *function, error, is_bad=is_bad)
    for _minute in range(2):
        later(timedelta(minutes=1))
    assert_only_bad_failed(crm)


def test_fault_of_the_database_fails_nobody(prepare, crm, later, monkeypatch):
    """The task is repeated after its lease."""
    prepare("READY")
    with monkeypatch.context() as patch:
        break_function(patch, call_records, "_record", OperationalError(), is_bad=lambda *_args: True)
        with pytest.raises(OperationalError):
            later(timedelta(minutes=1))
    task_queue.lose()
    later(LEASE + timedelta(seconds=1))
    assert len(crm.calls) == 3


def take(state="READY"):
    return Call.objects.claim(Call.objects.first().tenant_id, state, limit=50, now=timezone.now())


def claim():
    """Claim what a worker would get; return the contacts."""
    return [call.contact for call in take()]


@pytest.mark.slow
def test_call_that_kills_its_worker_is_taken_alone_and_given_up(prepare, crm, later, time_machine, run_queue):
    prepare("READY")
    task_queue.lose()
    for _lease in range(SUSPECT_AFTER_LOST_LEASES):
        assert claim() == CONTACTS
        time_machine.shift(LEASE)
    alone = set()
    for _minute in range(20):
        batch = take()
        assert len(batch) <= 1
        alone |= {call.contact for call in batch}
        if batch and batch[0].contact != BAD:
            uploads.upload(batch, now=timezone.now())
        time_machine.shift(timedelta(minutes=1))
    assert alone == set(CONTACTS)
    assert Call.objects.get(contact=BAD).lost_leases == MAX_LOST_LEASES - 1  # The last one counts when it is over.
    task_queue.sweep()
    assert_only_bad_failed(crm)


@pytest.fixture
def time_machine():
    """Shift the clock."""
    import time_machine

    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


def test_worker_without_heartbeats_does_not_hold_up_the_others(prepare, time_machine):
    """Its own calls wait for their lease: it may only be cut off from the database."""
    prepare("READY")
    tenant, now = Call.objects.first().tenant_id, timezone.now()
    held = []
    for number in range(2):
        [call] = Call.objects.claim(tenant, "READY", limit=1, now=now)
        held.append(call.contact)
        Call.objects.filter(pk=call.pk).update(claimed_by=f"host:{number}")
        WorkerHeartbeat.objects.create(name=f"host:{number}", queue="default", last_seen_at=now)
    assert claim() == []
    time_machine.shift(LIVE_FOR - timedelta(seconds=1))
    assert claim() == []
    time_machine.shift(timedelta(seconds=2))
    assert claim() == [contact for contact in CONTACTS if contact not in held]
    time_machine.shift(LEASE - LIVE_FOR)
    assert sorted(claim()) == sorted(held)


def test_call_that_cannot_be_sent_gives_the_probe_back(prepare, crm, time_machine):
    """With the CRM back, those that nobody can send do not take one minute each."""
    prepare("READY")
    Call.objects.exclude(contact=CONTACTS[2]).update(recording_url=FOREIGN)
    CrmConnection.objects.update(consecutive_failures=3, retry_at=timezone.now())
    task_queue.sweep()
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACTS[2]}"]


@pytest.mark.slow
def test_calls_that_grew_too_old_take_no_probe(prepare, crm, tenant, time_machine):
    """Skipping them needs no vendor: a fresh call is uploaded with the first probe."""
    prepare("READY")
    Call.objects.filter(contact__in=CONTACTS[:2]).update(started_at=timezone.now() - timedelta(days=400))
    many = [
        Call(
            tenant=tenant,
            session_id=number,
            state="READY",
            contact=CONTACTS[0],
            number=NUMBER,
            started_at=timezone.now() - timedelta(days=400),
            ended_at=timezone.now(),
            **dict.fromkeys(("next_attempt_at", "retry_window_started_at"), timezone.now() - timedelta(hours=1)),
        )
        for number in range(1000)
    ]
    Call.objects.bulk_create(many)
    CrmConnection.objects.update(consecutive_failures=3, retry_at=timezone.now())
    for _minute in range(2):
        task_queue.sweep()
        time_machine.shift(timedelta(minutes=1))
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACTS[2]}"]
    assert Call.objects.filter(state="SKIPPED", skip_reason="EXPIRED").count() == 1002


def test_notification_that_always_breaks_our_code_waits_for_a_person_in_the_end(
    notify, pbx, later, crm, tenant, monkeypatch
):
    call = pbx.call(contact=BAD, number=NUMBER, rings=[IVAN], started_at=timezone.now() - timedelta(seconds=60))
    with monkeypatch.context() as patch:
        patch.setattr(process, "_apply", lambda *_args, **_kwargs: 1 / 0)
        patch.setattr(process, "MAX_ATTEMPTS", 3)
        notify(call.notification("call_end"))
        for _try in range(2):
            assert Notification.objects.get().next_attempt_at is not None
            later(process.RETRY_AFTER + timedelta(seconds=1))
    stored = Notification.objects.get()
    assert (stored.outcome, stored.reason, stored.next_attempt_at) == ("UNREADABLE", "INTERNAL_ERROR", None)
    process.reprocess(stored, now=timezone.now())
    later(timedelta(minutes=1))
    assert [sent["phone"] for sent in crm.calls] == [f"+{BAD}"]
