"""Each state of each queue: how its row comes into being, who moves it on, and when it is final."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model, Q
from django.utils import timezone

from connector_project.core import local_dates
from connector_project.core.task_queue import enqueue
from connector_project.operations import rule_previews
from connector_project.operations.alerts import delivery
from connector_project.operations.models import Activation, AlertDelivery
from connector_project.operations.onboarding import activation
from crm import commands
from crm.models import Command, Popup
from telephony import bulk_actions, task_names
from telephony.models import BulkAction, Call, FailureReason, Notification
from telephony.models import State as CallState
from telephony.webhooks import receive
from tenants import rule_versions
from tenants.models import Employee
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.alert_receiver import SECRET, URL
from tests.flows.liveness.simulation import Killed, World
from tests.rules import draft_of, publish_rules

Create = Callable[[World], Callable[[], bool]]

RUN_COMMAND = "crm.tasks.run_command"
RUN_ACTIVATION = "connector_project.operations.tasks.run_activation_step"
VERIFY_UPLOADS = "crm.tasks.verify_uploads"


@dataclass(frozen=True)
class State:
    """One state. `vendors` are those it needs on its way to its end; `create` returns whether the row is final."""

    create: Create
    tasks: tuple[str, ...]
    vendors: frozenset[str]
    methods: tuple[str, ...] = ()  # of UIS, or parts of paths of the CRM, that its step needs
    breaks_in: str = ""  # what its step calls for this row
    column: tuple[type[Model], str] | None = None  # encrypted, of this row


def is_done(row: Model) -> bool:
    """Return whether nothing is left to do for a row of a queue."""
    row.refresh_from_db()
    return row.next_attempt_at is None and row.claim_token is None  # type: ignore[attr-defined]


def is_failed() -> bool:
    """Return whether a row waits for a person."""
    failed = Q(failed_at__isnull=False)
    return (
        Call.objects.filter(failed).exists()
        or BulkAction.objects.filter(failed).exists()
        or AlertDelivery.objects.filter(state=AlertDelivery.State.FAILED).exists()
    )


def store(world: World, session: Any, event: str, **fields: Any) -> Notification:
    body = json.dumps(session.notification(event, **fields))
    receive.store(world.hook, event="", query="", body=body, now=timezone.now())
    return Notification.objects.latest("pk")


def missed(world: World) -> Any:
    return world.pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])


def answered(world: World) -> Any:
    return world.pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 30)], recorded=True)


def _call(state: CallState) -> Callable[[], bool]:
    row = Call.objects.defer("uis_snapshot", "recording_url").get()
    assert row.state == state, row.state

    def is_final() -> bool:
        """Return whether it is; one that only waits for a vendor, or not for anything, is not."""
        return Call.objects.filter(
            Q(state__in=["UPLOADED", "SKIPPED"]) | Q(failed_at__isnull=False), pk=row.pk, next_attempt_at=None
        ).exists()

    return is_final


def debouncing(world: World) -> Callable[[], bool]:
    world.monkeypatch.setattr("telephony.calls.pipeline.DEBOUNCE", timedelta(seconds=6))
    store(world, missed(world), "lost_call")
    world.work_on(task_names.PROCESS_NOTIFICATION)
    return _call(Call.State.DEBOUNCING)


def fetching_legs(world: World) -> Callable[[], bool]:
    store(world, answered(world), "call_end")
    world.work_on(task_names.PROCESS_NOTIFICATION)
    return _call(Call.State.FETCHING_LEGS)


def voice_mail(world: World) -> Callable[[], bool]:
    """A missed call waits for a voice mail that never comes."""
    Employee.objects.filter(tenant=world.tenant, uis_id=IVAN).update(has_voice_mail=True)
    store(world, missed(world), "lost_call")
    world.work_on(task_names.PROCESS_NOTIFICATION, task_names.EVALUATE)
    return _call(Call.State.FETCHING_LEGS)


def resolving_owner(world: World) -> Callable[[], bool]:
    publish_rules(world.tenant, missed_owner="RESPONSIBLE")
    store(world, missed(world), "lost_call")
    world.work_on(task_names.PROCESS_NOTIFICATION, task_names.EVALUATE)
    return _call(Call.State.RESOLVING_OWNER)


def ready(world: World) -> Callable[[], bool]:
    store(world, answered(world), "call_end")
    world.work_on(task_names.PROCESS_NOTIFICATION, task_names.FETCH_LEGS)
    return _call(Call.State.READY)


def received(world: World) -> Callable[[], bool]:
    row = store(world, missed(world), "waiting", employee_id=IVAN)
    return lambda: is_done(row)


def queued(world: World) -> Callable[[], bool]:
    """Kill the worker that was sending the pop-up: the event is stored, and the pop-up undecided."""
    row = store(world, missed(world), "waiting", employee_id=IVAN)
    _kill_at_request(world, lambda: world.work_on(task_names.PROCESS_NOTIFICATION))
    row.refresh_from_db()
    assert (row.outcome, Popup.objects.get().state) == ("QUEUED", "OPENING")
    return lambda: is_done(row)


def opening(world: World) -> Callable[[], bool]:
    queued(world)
    return lambda: Popup.objects.get().state != Popup.State.OPENING


def open_popup(world: World) -> Callable[[], bool]:
    """The call ended, and the pop-up is to be closed."""
    session = missed(world)
    store(world, session, "waiting", employee_id=IVAN)
    world.work_on(task_names.PROCESS_NOTIFICATION)
    assert Popup.objects.get().state == Popup.State.OPEN
    row = store(world, session, "lost_call")
    return lambda: Popup.objects.get().state == Popup.State.CLOSED or is_done(row)


def ended_popup(world: World) -> Callable[[], bool]:
    """The pop-up of an outgoing call waits for why the customer was not reached."""
    session = world.pbx.call(contact=CONTACT, number=NUMBER, direction="out", rings=[IVAN])
    store(world, session, "outgoing", employee_id=IVAN)
    world.work_on(task_names.PROCESS_NOTIFICATION)
    store(world, session, "call_end")
    world.work_on(task_names.PROCESS_NOTIFICATION)
    assert Popup.objects.get().close_by is not None
    return lambda: Popup.objects.get().close_by is None


def _command(world: World, kind: Command.Kind, **request: str) -> Command:
    row = commands.receive(world.tenant, kind, {"userId": "27", "code": "101", **request}, now=timezone.now())
    assert row.state == Command.State.RECEIVED, row.reason
    return row


def click(world: World) -> Callable[[], bool]:
    row = _command(world, Command.Kind.MAKE_CALL, phone=CONTACT)
    return lambda: is_done(row)


def click_running(world: World) -> Callable[[], bool]:
    row = _command(world, Command.Kind.MAKE_CALL, phone=CONTACT)
    _kill_at_request(world, lambda: world.work_on(RUN_COMMAND))
    return lambda: is_done(row)


def status(world: World) -> Callable[[], bool]:
    row = _command(world, Command.Kind.SET_STATUS, status="busy")
    return lambda: is_done(row)


def status_running(world: World) -> Callable[[], bool]:
    row = _command(world, Command.Kind.SET_STATUS, status="busy")
    _kill_at_request(world, lambda: world.work_on(RUN_COMMAND))
    return lambda: is_done(row)


def _failed_call(world: World) -> Call:
    fetching_legs(world)
    row = Call.objects.get()
    row.fail(FailureReason.UIS_REFUSED, now=timezone.now())
    row.save()
    return row


def _bulk(kind: BulkAction.Kind) -> Create:
    def create(world: World) -> Callable[[], bool]:
        if kind == BulkAction.Kind.REPROCESS:
            receive.store(world.hook, event="", query="", body="{", now=timezone.now())
            world.work_on(task_names.PROCESS_NOTIFICATION)
        else:
            _failed_call(world)
        filters = {"tenant" if kind == BulkAction.Kind.REPROCESS else "tenant__id__exact": str(world.tenant.pk)}
        row = bulk_actions.start(kind, filters, by=AnonymousUser(), now=timezone.now())
        assert row is not None
        return lambda: is_done(row)

    return create


def previewing(world: World) -> Callable[[], bool]:
    row = _import(world)
    return lambda: is_done(row)


def importing(world: World) -> Callable[[], bool]:
    row = _import(world)
    world.work_on(task_names.RUN_BULK_ACTION)
    bulk_actions.take_step(row.pk, "start", by=AnonymousUser(), now=timezone.now())
    row.refresh_from_db()
    assert row.state == BulkAction.State.RUNNING
    return lambda: is_done(row)


def _import(world: World) -> BulkAction:
    yesterday = timezone.now().astimezone(world.tenant.zone).date() - local_dates.DAY
    return bulk_actions.preview_import(
        world.tenant, first=yesterday, last=yesterday, by=AnonymousUser(), now=timezone.now()
    )


def _activation(step: Activation.Step) -> Create:
    def create(world: World) -> Callable[[], bool]:
        row = activation.start(world.tenant, now=timezone.now(), is_forced=True)
        for _ in range(list(Activation.Step).index(step)):
            activation.run_next_step(world.tenant, now=timezone.now())
        row.refresh_from_db()
        assert row.step == step
        return lambda: is_done(row) and row.state in {Activation.State.DONE, Activation.State.FAILED}

    return create


def alert(world: World) -> Callable[[], bool]:
    world.settings.ALARM_WEBHOOK_URL, world.settings.ALARM_WEBHOOK_SECRET = URL, SECRET
    now = timezone.now()
    row = AlertDelivery.objects.create(channel="WEBHOOK", subject="s", body="{}", created_at=now, next_attempt_at=now)
    enqueue(delivery.TASK, row.pk)
    return lambda: is_done(row)


def rule_preview(world: World) -> Callable[[], bool]:
    """The preview of a draft on one call."""
    ready(world)
    world.work()
    draft = draft_of(world.tenant)
    draft.tenant, day = world.tenant, timezone.now().astimezone(world.tenant.zone).date()
    seen = rule_versions.stamp(draft)
    row = rule_previews.start(draft, first=day, last=day, seen=seen, by=None, now=timezone.now())
    return lambda: is_done(row)


def verification(world: World) -> Callable[[], bool]:
    """An uploaded call that the CRM has lost."""
    ready(world)
    world.work()
    world.wait(timedelta(minutes=11))
    world.crm.calls.clear()
    assert Call.objects.get().state == Call.State.UPLOADED
    return lambda: len(world.crm.calls) == 1 and Call.objects.get().state == Call.State.UPLOADED


def _kill_at_request(world: World, run: Callable[[], object]) -> None:
    """Run tasks until the first request to a vendor, which kills the worker."""

    def kill() -> None:
        raise Killed

    for vendor in (world.uis_world, world.crm_world):
        vendor.hang = kill
        vendor.break_down("timeout", times=1)
    with contextlib.suppress(Killed):
        run()
    for vendor in (world.uis_world, world.crm_world):
        vendor.repair()
        vendor.hang = lambda: world.wait(timedelta(seconds=10))


NONE, UIS, CRM, RECEIVER = frozenset[str](), frozenset({"UIS"}), frozenset({"CRM"}), frozenset({"receiver"})
NOTIFICATION_TASKS = (task_names.PROCESS_NOTIFICATION, task_names.PROCESS_LATE_NOTIFICATION)
CALL_TASKS = (task_names.EVALUATE, task_names.FETCH_LEGS, task_names.RESOLVE_OWNERS, task_names.UPLOAD_CALLS)
Step, Kind = Activation.Step, BulkAction.Kind

STATES: dict[str, State] = {
    "Call DEBOUNCING": State(
        debouncing, CALL_TASKS[:1], CRM, ("calls/upload",), "telephony.calls.pipeline._evaluate_batch"
    ),
    "Call FETCHING_LEGS": State(
        fetching_legs,
        CALL_TASKS[1:2],
        UIS | CRM,
        ("get.call_legs_report", "calls/upload"),
        "telephony.calls.fetch_legs._evaluate",
        (Call, "uis_snapshot"),
    ),
    "Call, missed, FETCHING_LEGS": State(
        voice_mail,
        CALL_TASKS[1:2],
        UIS | CRM,
        ("get.call_legs_report", "get.calls_report", "calls/upload"),
        "telephony.calls.fetch_legs._evaluate",
        (Call, "uis_snapshot"),
    ),
    "Call RESOLVING_OWNER": State(
        resolving_owner, CALL_TASKS[2:3], CRM, ("telephony/manager", "calls/upload"), "crm.uploads._find_owner"
    ),
    "Call READY": State(ready, CALL_TASKS[3:], CRM, ("calls/upload",), "crm.uploads._upload", (Call, "recording_url")),
    "Notification RECEIVED": State(
        received, NOTIFICATION_TASKS, CRM, ("call/event",), "telephony.webhooks.process._apply"
    ),
    "Notification QUEUED": State(queued, NOTIFICATION_TASKS, CRM, ("call/event",), "crm.popups._open"),
    "Popup OPENING": State(opening, NOTIFICATION_TASKS, CRM, ("call/event",), "crm.popups._open"),
    "Popup OPEN": State(open_popup, NOTIFICATION_TASKS, CRM, ("call/event",), "crm.popups._end"),
    "Popup, call over, OPEN": State(
        ended_popup,
        (task_names.CLOSE_POPUPS,),
        UIS | CRM,
        ("get.call_legs_report", "call/event"),
        "crm.popup_ends._close_if_due",
    ),
    "Command MAKE_CALL RECEIVED": State(
        click, (RUN_COMMAND,), UIS, ("start.employee_call",), "crm.commands._make_call"
    ),
    "Command MAKE_CALL RUNNING": State(
        click_running, (RUN_COMMAND,), UIS, ("start.employee_call",), "crm.commands._make_call"
    ),
    "Command SET_STATUS RECEIVED": State(
        status, (RUN_COMMAND,), UIS, ("update.employees",), "telephony.outbound.set_status"
    ),
    "Command SET_STATUS RUNNING": State(
        status_running, (RUN_COMMAND,), UIS, ("update.employees",), "telephony.outbound.set_status"
    ),
    "BulkAction RETRY": State(
        _bulk(Kind.RETRY), (task_names.RUN_BULK_ACTION,), NONE, (), "telephony.calls.manual.retry"
    ),
    "BulkAction SKIP": State(_bulk(Kind.SKIP), (task_names.RUN_BULK_ACTION,), NONE, (), "telephony.calls.manual.skip"),
    "BulkAction REPROCESS": State(
        _bulk(Kind.REPROCESS), (task_names.RUN_BULK_ACTION,), NONE, (), "telephony.webhooks.process.reprocess"
    ),
    "BulkAction IMPORT PREVIEWING": State(
        previewing,
        (task_names.RUN_BULK_ACTION,),
        UIS,
        ("get.calls_report",),
        "telephony.reconciliation.call_import.run",
    ),
    "BulkAction IMPORT RUNNING": State(
        importing, (task_names.RUN_BULK_ACTION,), UIS, ("get.calls_report",), "telephony.reconciliation.call_import.run"
    ),
    **{
        f"Activation {step}": State(
            _activation(step),
            (RUN_ACTIVATION,),
            {Step.UIS: UIS, Step.PEOPLE: UIS, Step.ON: NONE}.get(step, CRM),
            {Step.UIS: ("get.account",), Step.PEOPLE: ("get.employees",), Step.CRM: ("credentials",)}.get(step, ()),
            "connector_project.operations.onboarding.activation.steps.run_step",
        )
        for step in Step
    },
    "AlertDelivery WAITING": State(
        alert,
        ("connector_project.operations.tasks.send_alert",),
        RECEIVER,
        (),
        "connector_project.operations.alerts.delivery._try_to_send",
    ),
    "RulePreview RUNNING": State(
        rule_preview, (rule_previews.TASK,), NONE, (), "connector_project.operations.replays.load_portion"
    ),
    "UploadVerification": State(
        verification, (VERIFY_UPLOADS,), CRM, ("telephony/calls",), "crm.upload_verification.verify"
    ),
}
