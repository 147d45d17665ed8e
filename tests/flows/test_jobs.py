"""All six queues of rows behave alike: one worker has a row, a lost lease writes nothing, the sweep loses nothing."""

import contextlib
import json
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from connector_project.core import local_dates
from connector_project.core.encrypted_fields import UndecryptableText
from connector_project.core.jobs import LEASE, MAX_LOST_LEASES, QUEUED_FOR
from connector_project.core.task_queue import enqueue
from connector_project.operations.alerts import delivery
from connector_project.operations.models import Activation, AlertDelivery, Erasure, RulePreview
from connector_project.operations.onboarding import activation
from crm import commands, uploads
from crm import tasks as crm_tasks
from crm.models import Command
from telephony import bulk_actions, outbound
from telephony import tasks as telephony_tasks
from telephony.calls import manual, sweep
from telephony.models import BulkAction, Call, Notification, ReportCursor
from telephony.reconciliation import call_import
from telephony.webhooks import process, receive
from tenants.models import CrmConnection, UisConnection
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.alert_receiver import SECRET, URL

pytestmark = pytest.mark.sampled(2)


class Queue:
    """One queue: how its row comes into being, what a worker does with it, and where that can break."""

    def __init__(self, model, create, breaks_in):
        self.model, self.create, self.breaks_in = model, create, breaks_in

    def row(self):
        return self.model.objects.get()

    def claim(self, *, now):
        row = self.row()
        if self.model is Call:
            return next(iter(Call.objects.claim(row.tenant_id, row.state, limit=1, now=now)), None)
        if self.model is BulkAction:
            return BulkAction.objects.claim_next(now=now)
        return self.model.objects.claim_one(row.pk, now=now)


def create_call(world, **fields):
    ended_at = timezone.now() - timedelta(seconds=30)
    values = {"state": Call.State.READY, "direction": "in", "is_lost": True, "contact": CONTACT, "number": NUMBER}
    Call.objects.create(
        tenant=world.tenant,
        session_id=77,
        started_at=ended_at,
        ended_at=ended_at,
        retry_window_started_at=ended_at,
        **values | {"next_attempt_at": timezone.now()} | fields,
    )
    sweep.resume_due(tenant_id=world.tenant.pk, now=timezone.now())


def create_call_of(tenant):
    """Create another client's missed call that is ready to be uploaded."""
    now = timezone.now()
    return Call.objects.create(
        tenant=tenant,
        session_id=5,
        state="READY",
        direction="in",
        contact=CONTACT,
        **dict.fromkeys(("started_at", "ended_at", "retry_window_started_at", "next_attempt_at"), now),
        is_lost=True,
        number=NUMBER,
        result="NO_ANSWER",
    )


def create_notification(world):
    body = world.pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("waiting")
    receive.store(world.tenant.uis.hook, event="", query="", body=json.dumps(body), now=timezone.now())


def create_command(world):
    request = {"userId": "27", "code": "101", "status": "busy"}
    assert commands.receive(world.tenant, Command.Kind.SET_STATUS, request, now=timezone.now()).state == "RECEIVED"


def create_import(world):
    yesterday = timezone.now().astimezone(world.tenant.zone).date() - local_dates.DAY
    bulk_actions.preview_import(world.tenant, first=yesterday, last=yesterday, by=AnonymousUser(), now=timezone.now())


def create_bulk_action(world):
    create_call(world, state=Call.State.FETCHING_LEGS, next_attempt_at=None, failed_at=timezone.now())
    bulk_actions.start(BulkAction.Kind.SKIP, {"status": "failed"}, by=AnonymousUser(), now=timezone.now())


def create_alert(world):
    world.settings.ALARM_WEBHOOK_URL, world.settings.ALARM_WEBHOOK_SECRET = URL, SECRET
    alert = AlertDelivery.objects.create(
        channel="WEBHOOK", subject="s", body="{}", created_at=timezone.now(), next_attempt_at=timezone.now()
    )
    enqueue(delivery.TASK, alert.pk)


def create_activation(world):
    activation.start(world.tenant, now=timezone.now(), is_forced=True)


QUEUES = {
    "calls": Queue(Call, create_call, (uploads, "_upload")),
    "notifications": Queue(Notification, create_notification, (process, "_apply")),
    "commands": Queue(Command, create_command, (outbound, "set_status")),
    "imports": Queue(BulkAction, create_import, (call_import, "run")),
    "bulk actions": Queue(BulkAction, create_bulk_action, (manual, "skip")),
    "alerts": Queue(AlertDelivery, create_alert, (delivery, "_try_to_send")),
    "activations": Queue(Activation, create_activation, (activation.steps, "run_step")),
}


QUEUED_BY_ROW = [name for name, queue in QUEUES.items() if queue.model not in {Call, BulkAction}]


class World:
    def __init__(self, tenant, pbx, receiver, settings):
        self.tenant, self.pbx, self.receiver, self.settings = tenant, pbx, receiver, settings


@pytest.fixture(params=QUEUES)
def queue(request, tenant, pbx, crm, receiver, settings, hook):
    """Return one of the queues, with one row in it."""
    queue = QUEUES[request.param]
    queue.create(World(tenant, pbx, receiver, settings))
    return queue


@pytest.fixture
def sweep_after(later):
    """Let time pass, then do what the schedules do every minute, those of alerts included."""

    def sweep(passed):
        later(passed)
        delivery.resume_due(now=timezone.now(), queue="default")
        task_queue.drain()

    return sweep


def is_finished(row):
    return row.next_attempt_at is None and row.claim_token is None


def test_one_of_two_workers_gets_the_row(queue):
    now = timezone.now()
    claimed = queue.claim(now=now)
    assert claimed.attempts == 1
    assert queue.claim(now=now) is None
    assert queue.row().claim_token == claimed.claim_token


@pytest.mark.parametrize("queue", [name for name in QUEUES if name != "calls"], indirect=True)
def test_worker_whose_clock_is_behind_gets_the_row(queue):
    assert queue.claim(now=timezone.now() - timedelta(seconds=20)) is not None


def test_worker_that_lost_its_lease_no_longer_has_the_row(queue):
    first = queue.claim(now=timezone.now())
    second = queue.claim(now=first.next_attempt_at)
    assert second.attempts == 2
    assert not queue.model.objects.still_claimed(first).exists()
    assert queue.model.objects.still_claimed(second).exists()


def test_row_whose_task_was_lost_is_finished_by_the_sweep(queue, sweep_after):
    task_queue.lose()
    sweep_after(QUEUED_FOR + timedelta(seconds=1))
    assert is_finished(queue.row())


def test_row_whose_worker_died_is_finished_after_its_lease(queue, sweep_after):
    queue.claim(now=timezone.now())
    task_queue.lose()
    sweep_after(timedelta(seconds=30))
    assert not is_finished(queue.row())
    sweep_after(LEASE + QUEUED_FOR)
    assert is_finished(queue.row())


def test_row_that_breaks_its_worker_is_retried_later_and_not_at_once(queue, sweep_after, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(*queue.breaks_in, fail)
        with contextlib.suppress(ZeroDivisionError):
            task_queue.drain()
        broken = queue.row()
        assert broken.attempts == 1
        assert broken.next_attempt_at > timezone.now()
        with contextlib.suppress(ZeroDivisionError):
            task_queue.drain()
        assert queue.row().attempts == 1
    sweep_after(timedelta(minutes=6))
    assert is_finished(queue.row())


@pytest.mark.parametrize("queue", QUEUED_BY_ROW, indirect=True)
def test_sweep_queues_a_row_once_a_minute(queue):
    """A long queue must not grow by the same rows with each sweep."""
    task_queue.lose()
    now = timezone.now() + timedelta(minutes=5)
    assert queue.model.objects.requeue(now=now) == [queue.row().pk]
    assert queue.model.objects.requeue(now=now + QUEUED_FOR - timedelta(seconds=1)) == []
    assert queue.model.objects.requeue(now=now + QUEUED_FOR) == [queue.row().pk]


def test_row_whose_worker_dies_each_time_is_given_up(queue, sweep_after):
    """Otherwise it would stop a worker for each lease, for ever."""
    task_queue.lose()
    travelled = timedelta()
    for lost in range(MAX_LOST_LEASES):
        assert queue.claim(now=timezone.now() + travelled) is not None
        assert queue.row().lost_leases == lost
        travelled = queue.row().next_attempt_at - timezone.now()
    sweep_after(travelled + timedelta(seconds=1))
    sweep_after(timedelta(minutes=4))
    assert is_finished(queue.row())


def test_finished_work_makes_up_for_a_lost_lease(queue, sweep_after):
    queue.claim(now=timezone.now())
    task_queue.lose()
    sweep_after(LEASE + QUEUED_FOR)
    assert queue.row().lost_leases == 0


UNDECRYPTABLE = UndecryptableText.create(Fernet(Fernet.generate_key()).encrypt(b"secret").decode())


def test_client_whose_keys_cannot_be_decrypted_stops_nobody_else(queue, tenant, twin, sweep_after, client):
    """What needs the key says so; nothing raises, and with the key put back everything goes on."""
    keys = tenant.uis.access_token, tenant.crm.key, tenant.crm.client_id
    UisConnection.objects.filter(tenant=tenant).update(access_token=UNDECRYPTABLE)
    CrmConnection.objects.filter(tenant=tenant).update(key=UNDECRYPTABLE, client_id=UNDECRYPTABLE)
    theirs = create_call_of(twin)
    sweep_after(timedelta(minutes=1))
    theirs.refresh_from_db()
    assert theirs.state == "UPLOADED"
    form = {"clientId": "", "userId": "27", "code": "101", "status": "busy"}
    assert client.post(f"/hooks/retailcrm/{tenant.crm.hook}/change-user-status/", form).status_code == 403
    theirs.delete()
    row, connections = queue.row(), [UisConnection.objects.get(tenant=tenant), CrmConnection.objects.get(tenant=tenant)]
    codes = {connection.denied_code for connection in connections} - {""}
    if queue.model in {Call, Command} or row.__dict__.get("kind") == BulkAction.Kind.IMPORT:
        assert codes == {"key_undecryptable"}
    for connection in connections:
        connection.save()  # A text that could not be read is kept as it is.
    assert not UisConnection.objects.filter(tenant=tenant, access_token="").exists()
    UisConnection.objects.filter(tenant=tenant).update(access_token=keys[0])
    CrmConnection.objects.filter(tenant=tenant).update(key=keys[1], client_id=keys[2])
    telephony_tasks.probe_all()
    crm_tasks.probe_all()
    sweep_after(timedelta(minutes=1))
    sweep_after(timedelta(minutes=10))
    assert is_finished(queue.row())


def test_all_queues_are_here():
    """A new kind of job must be added above; a ReportCursor is always due, and its schedule queues its task.

    An Erasure asks no vendor, and is searched from the beginning if its worker dies: tests/operations/test_erasure.py.
    Nor does a RulePreview: tests/flows/test_rule_previews.py.
    """
    from django.apps import apps

    from connector_project.core.jobs import LeasedJob

    assert {model for model in apps.get_models() if issubclass(model, LeasedJob)} == {
        *(queue.model for queue in QUEUES.values()),
        ReportCursor,
        Erasure,
        RulePreview,
    }
