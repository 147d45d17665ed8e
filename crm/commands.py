"""Commands from the CRM (click-to-call, status change): stored, answered at once, run by a task."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import F, Q

from connector_project.core import http_client, transactions
from connector_project.core.jobs import QUEUED_FOR, released
from connector_project.core.task_queue import Queue, enqueue, room
from crm import click_refusals, command_requests
from crm.models import Command
from telephony import outbound, outgoing_requests
from tenants.models import Employee, Tenant

TASK = "crm.tasks.run_command"
QUEUE: Queue = "fast"
CLICK_TTL = timedelta(seconds=10)
STATUS_TTL = timedelta(minutes=10)
LEASE = timedelta(minutes=2)
STATUS_PAUSE = timedelta(seconds=20)
LONGEST_CODE = 80

Kind, State, Reason = Command.Kind, Command.State, Command.Reason
# Refusals that are not reported to the CRM as errors.
SILENT_REASONS = frozenset({Reason.SYNC_OFF, Reason.ECHO})


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The command was run, or cannot be."""

    state: Command.State = State.DONE
    reason: str = ""
    detail: str = ""
    vendor_code: str = ""
    session_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """To be run again at `until`."""

    until: datetime
    detail: str = ""


Outcome = Ended | Postponed


def store(tenant: Tenant, kind: Command.Kind, request: Mapping[str, str], *, now: datetime, **values: Any) -> Command:
    """Store a request of the CRM, without our clientId, which is a secret."""
    params = {name: value for name, value in request.items() if name != "clientId"}
    return Command.objects.create(tenant=tenant, kind=kind, params=params, received_at=now, **values)


def receive(tenant: Tenant, kind: Command.Kind, request: Mapping[str, str], *, now: datetime) -> Command:
    """Store a command, then refuse it with a reason or queue it."""
    command = store(tenant, kind, request, now=now, next_attempt_at=now + QUEUED_FOR)
    try:
        return _accept(command, now=now)
    except OperationalError as exc:
        return transactions.run_again(exc, _accept, command, now=now)


@transaction.atomic
def _accept(command: Command, *, now: datetime) -> Command:
    if refusal := command_requests.prepare(command, now=now):
        click_refusals.queue(command.close(State.REFUSED, refusal, now=now))
        return command
    command.save()
    enqueue(TASK, command.pk, queue=QUEUE)
    return command


def run(command_id: int, *, now: datetime) -> None:
    """Run a stored command unless another worker has claimed it."""
    rows = Command.objects.select_related("tenant__uis", "tenant__rule_version", "employee")
    command = rows.get(pk=command_id)
    if command.employee is not None:
        command.employee.tenant = command.tenant  # one object: what a request records of a connection, all know
    is_call = command.kind == Kind.MAKE_CALL
    claimed = _claim(command, now=now) if is_call else _claim_status(command, now=now)
    if claimed is None:
        return
    with outgoing_requests.kept(command.tenant_id, command_id=command.pk) as sessions:
        outcome = _make_call(command, now=now) if is_call else _set_status(command, now=now)
        _finish(claimed, outcome, decided_by=None if is_call else command.tenant.rule_version_id, now=now)
        if isinstance(outcome, Ended) and outcome.state == State.FAILED:
            click_refusals.queue(command)
        if isinstance(outcome, Ended) and outcome.session_id:
            sessions.append(outcome.session_id)
    if not is_call:
        _enqueue_newest(command)


def resume_pending(*, now: datetime) -> int:
    """Queue commands again whose queue entry was lost or whose worker died; return how many were due.

    What is too late is closed here: in the queue it would only be in front of what people wait for.
    """
    return _resume_due(now=now) if Command.objects.is_any_due(now=now) else 0


@transaction.atomic
def _resume_due(*, now: datetime) -> int:
    is_started_call = Q(state=State.RUNNING, kind=Kind.MAKE_CALL)
    is_late_click = Q(state=State.RECEIVED, kind=Kind.MAKE_CALL, received_at__lt=now - CLICK_TTL)
    is_late_status = Q(kind=Kind.SET_STATUS, received_at__lt=now - STATUS_TTL)
    closed = (
        (is_started_call, Reason.NOT_REPEATED),  # A retry could call both people a second time.
        (is_late_click, Reason.STALE),
        (is_late_status, Reason.UIS_UNAVAILABLE),
    )
    failed = sum(_fail_due(condition, reason, now=now) for condition, reason in closed)
    queued = Command.objects.exclude(is_started_call).requeue(limit=room(QUEUE), now=now, state=State.RECEIVED)
    for pk in queued:
        enqueue(TASK, pk, queue=QUEUE)
    return failed + len(queued)


def _fail_due(condition: Q, reason: Command.Reason, *, now: datetime) -> int:
    due = Command.objects.due(now=now).filter(condition)
    return due.update(state=State.FAILED, reason=reason, finished_at=now, **released(None))


def _claim(command: Command, *, now: datetime) -> Command | None:
    """Claim the command for this worker; one that was started is never started again."""
    return Command.objects.claim_one(
        command.pk, only=Q(state=State.RECEIVED), lease=LEASE, now=now, state=State.RUNNING
    )


def _finish(claimed: Command, outcome: Outcome, *, decided_by: int | None, now: datetime) -> None:
    """Write what became of the command, unless another worker has claimed it since."""
    match outcome:
        case Ended(state=state, reason=reason, session_id=session_id):
            until, values = None, {"state": state, "reason": reason, "session_id": session_id, "finished_at": now}
            values["vendor_code"] = outcome.vendor_code[:LONGEST_CODE]
            values["rule_version_id"] = decided_by
        case Postponed(until=until):
            values = {"state": State.RECEIVED, "reason": Reason.UIS_UNAVAILABLE}
    Command.objects.release_claimed(claimed, until, detail=outcome.detail, **values)


def _make_call(command: Command, *, now: datetime) -> Outcome:
    """Call the employee who clicked, then the customer. Never retried."""
    if now - command.received_at > CLICK_TTL or command.employee is None:
        return Ended(state=State.FAILED, reason=Reason.STALE)
    try:
        session_id = outbound.start_call(
            command.employee,
            contact=command.contact,
            extension=command.extension,
            number=command.number,
            external_id=command.external_id,
        )
    except http_client.RemoteError as exc:
        return _failed(command, exc, if_unknown=Reason.NOT_REPEATED, now=now)
    return Ended(session_id=session_id)


def _set_status(command: Command, *, now: datetime) -> Outcome:
    """Set the employee's latest requested status in UIS."""
    if now - command.received_at > STATUS_TTL or command.employee is None:
        return Ended(state=State.FAILED, reason=Reason.UIS_UNAVAILABLE, detail=command.detail)
    expires_at = command.received_at + STATUS_TTL
    if command.tenant.uis.retry_at and command.tenant.uis.is_circuit_open(is_live=True, now=now):
        return Postponed(until=min(command.tenant.uis.retry_at, expires_at))
    try:
        code = outbound.set_status(command.employee, command.status)
    except http_client.RemoteUnavailable as exc:
        until = now + (timedelta(seconds=exc.wait) if exc.wait else STATUS_PAUSE)
        return Postponed(until=min(until, expires_at), detail=str(exc))
    except http_client.RemoteError as exc:
        if isinstance(exc, http_client.UnexpectedReply) and not exc.code:  # A garbled answer may be an accident.
            return Postponed(until=min(now + STATUS_PAUSE, expires_at), detail=str(exc))
        return _failed(command, exc, if_unknown=Reason.UIS_UNAVAILABLE, now=now)
    # Store it, so that polling does not report our own change back to the CRM.
    Employee.objects.filter(pk=command.employee.pk).update(
        uis_status=code, synced_status=code, status_commands=F("status_commands") + 1
    )
    return Ended()


@transaction.atomic
def _claim_status(command: Command, *, now: datetime) -> Command | None:
    """Claim the command unless a newer one supersedes it; one at a time per employee, so the newest wins."""
    if command.employee is not None:
        Employee.objects.select_for_update(no_key=True).get(pk=command.employee.pk)
    same = Command.objects.filter(kind=Kind.SET_STATUS, employee=command.employee_id, tenant=command.tenant_id)
    if same.filter(pk__gt=command.pk).exclude(state=State.REFUSED).exists():
        if command.state == State.RECEIVED:
            command.close(State.DONE, Reason.SUPERSEDED, now=now)
        return None
    if same.filter(state=State.RUNNING).exclude(pk=command.pk).exists():
        # The running command enqueues this one when it ends.
        return None
    return _claim(command, now=now)


@transaction.atomic
def _enqueue_newest(command: Command) -> None:
    """Enqueue the newest command that arrived for the same employee while this one ran."""
    same = Command.objects.filter(kind=Kind.SET_STATUS, employee=command.employee_id, tenant=command.tenant_id)
    waiting = same.filter(state=State.RECEIVED, pk__gt=command.pk)
    newest = waiting.order_by("-pk").values_list("pk", flat=True).first()
    if newest:
        enqueue(TASK, newest, queue=QUEUE)


def _failed(command: Command, exc: http_client.RemoteError, *, if_unknown: Command.Reason, now: datetime) -> Ended:
    """Return the failure with a reason that a person can act on."""
    reason = Reason.UIS_REFUSED
    if isinstance(exc, http_client.RemoteUnavailable | http_client.UnexpectedReply):
        reason = if_unknown
    if isinstance(exc, http_client.AccessDenied):
        reason = Reason.UIS_DENIED
        command.tenant.uis.record_denial(exc, now=now)
    return Ended(state=State.FAILED, reason=reason, detail=str(exc), vendor_code=exc.code)
