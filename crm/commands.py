"""Commands from the CRM (click-to-call, status change): stored, answered at once, run by a task."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction

from connector_project.core import http_client, phone_numbers
from connector_project.core.task_queue import enqueue
from crm.models import Command
from telephony import outbound
from tenants.models import Employee, Tenant, TransferRules

TASK = "crm.tasks.run_command"
DOUBLE_CLICK = timedelta(seconds=5)
CLICK_TTL = timedelta(seconds=10)
STATUS_TTL = timedelta(minutes=10)
LEASE = timedelta(minutes=2)
STATUS_PAUSE = timedelta(seconds=20)
SWEEP_LIMIT = 500

Kind, State, Reason = Command.Kind, Command.State, Command.Reason
# Refusals that are not reported to the CRM as errors.
SILENT_REASONS = frozenset({Reason.SYNC_OFF, Reason.ECHO})


def receive(tenant: Tenant, kind: Command.Kind, request: Mapping[str, str], *, now: datetime) -> Command:
    """Store a command, then refuse it with a reason or queue it."""
    params = {name: value for name, value in request.items() if name != "clientId"}
    command = Command.objects.create(
        tenant=tenant, kind=kind, params=params, received_at=now, next_attempt_at=now + LEASE
    )
    with transaction.atomic():
        refusal = _prepare(command, now=now)
        if refusal:
            return command.close(State.REFUSED, refusal, now=now)
        command.save()
        enqueue(TASK, command.pk, queue="fast")
    return command


def run(command: Command, *, now: datetime) -> None:
    """Run a stored command unless another worker has already claimed it."""
    if command.kind == Kind.MAKE_CALL:
        _make_call(command, now=now)
    elif command.kind == Kind.SET_STATUS:
        _set_status(command, now=now)


def resume_pending(*, now: datetime) -> int:
    """Queue commands again whose queue entry was lost or whose worker died; return how many were due."""
    stalled = Command.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at")[:SWEEP_LIMIT]
    for command in stalled:
        # Only if the row is unchanged: its worker may be finishing just now.
        same = Command.objects.filter(pk=command.pk, state=command.state, next_attempt_at=command.next_attempt_at)
        if command.state == State.RUNNING and command.kind == Kind.MAKE_CALL:
            # Its worker died half-way: a retry could call both people a second time.
            same.update(state=State.FAILED, reason=Reason.NOT_REPEATED, finished_at=now, next_attempt_at=None)
            continue
        with transaction.atomic():
            if same.update(state=State.RECEIVED, next_attempt_at=now + LEASE):
                enqueue(TASK, command.pk, queue="fast")
    return len(stalled)


def _prepare(command: Command, *, now: datetime) -> Command.Reason | None:
    """Fill in the employee, number and status of a command; return the reason to refuse it."""
    tenant, params = command.tenant, command.params
    if not tenant.is_live:
        return Reason.NOT_ACTIVE
    employee = _employee(tenant, code=params.get("code", ""), user_id=params.get("userId", ""))
    if employee is None:
        return Reason.UNKNOWN_USER
    command.employee = employee
    is_call = command.kind == Kind.MAKE_CALL
    return _prepare_call(command, employee, now=now) if is_call else _prepare_status(command, employee)


def _employee(tenant: Tenant, *, code: str, user_id: str) -> Employee | None:
    """Find who clicked: by CRM user ID first, because extensions may be stale; a shared extension matches nobody."""
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False).select_related("caller_id_number")
    if user_id.isdigit() and (employee := staff.filter(crm_user_id=int(user_id)).first()):
        return employee
    matches = list(staff.filter(extension=code.strip())[:2]) if code.strip() else []
    return matches[0] if len(matches) == 1 else None


def _prepare_call(command: Command, employee: Employee, *, now: datetime) -> Command.Reason | None:
    tenant, params = command.tenant, command.params
    is_russian = tenant.uis.is_russian
    command.contact = phone_numbers.normalise(params.get("phone"), is_russian=is_russian)
    if not phone_numbers.is_external(command.contact):
        return Reason.BAD_PHONE
    if outbound.is_caller_id_number(tenant, command.contact):
        return Reason.OWN_NUMBER
    store_number = phone_numbers.normalise(params.get("externalPhone"), is_russian=is_russian)
    command.number = outbound.number_for(employee, requested=store_number)
    if not command.number:
        return Reason.NO_NUMBER
    return Reason.REPEATED if _is_double_click(command, employee, now=now) else None


def _is_double_click(command: Command, employee: Employee, *, now: datetime) -> bool:
    """Return whether this employee just clicked this number. The lock serialises simultaneous requests."""
    Employee.objects.select_for_update().get(pk=employee.pk)
    before = Command.objects.filter(
        tenant=command.tenant, kind=Kind.MAKE_CALL, employee=employee, contact=command.contact
    ).exclude(state=State.REFUSED)
    return before.filter(received_at__gt=now - DOUBLE_CLICK).exclude(pk=command.pk).exists()


def _prepare_status(command: Command, employee: Employee) -> Command.Reason | None:
    command.status = command.params.get("status", "").strip().lower()[:20]
    if command.tenant.rules.status_sync == TransferRules.StatusSync.OFF:
        return Reason.SYNC_OFF
    if not command.status:
        return Reason.BAD_REQUEST
    if employee.last_sent_crm_status == command.status:
        return Reason.ECHO
    Employee.objects.filter(pk=employee.pk).update(last_sent_crm_status="")
    return None


def _make_call(command: Command, *, now: datetime) -> None:
    """Call the employee who clicked, then the customer. Never retried."""
    if not command.claim(lease_until=now + LEASE):
        return
    if now - command.received_at > CLICK_TTL or command.employee is None:
        command.close(State.FAILED, Reason.STALE, now=now)
        return
    try:
        command.session_id = outbound.start_call(
            command.employee, contact=command.contact, number=command.number, external_id=command.external_id
        )
    except http_client.RemoteError as exc:
        _fail(command, exc, if_unknown=Reason.NOT_REPEATED, now=now)
    else:
        command.close(State.DONE, now=now)


def _set_status(command: Command, *, now: datetime) -> None:
    """Set the employee's latest requested status in UIS."""
    if not _claim_status(command, now=now):
        return
    if now - command.received_at > STATUS_TTL or command.employee is None:
        command.close(State.FAILED, Reason.UIS_UNAVAILABLE, command.detail, now=now)
        return
    if command.tenant.uis.retry_at and command.tenant.uis.is_circuit_open(is_live=True, now=now):
        command.postpone(command.tenant.uis.retry_at, Reason.UIS_UNAVAILABLE)
        return
    try:
        code = outbound.set_status(command.employee, command.status)
    except http_client.RemoteUnavailable as exc:
        pause = timedelta(seconds=exc.wait) if exc.wait else STATUS_PAUSE
        command.postpone(now + pause, Reason.UIS_UNAVAILABLE, str(exc))
    except http_client.RemoteError as exc:
        _fail(command, exc, if_unknown=Reason.UIS_UNAVAILABLE, now=now)
    else:
        # Store it, so that polling does not report our own change back to the CRM.
        Employee.objects.filter(pk=command.employee.pk).update(uis_status=code, synced_status=code)
        command.close(State.DONE, now=now)
    _enqueue_newest(command)


@transaction.atomic
def _claim_status(command: Command, *, now: datetime) -> bool:
    """Claim the command unless a newer one supersedes it; one at a time per employee, so the newest wins."""
    if command.employee is not None:
        Employee.objects.select_for_update().get(pk=command.employee.pk)
    same = Command.objects.filter(kind=Kind.SET_STATUS, employee=command.employee_id, tenant=command.tenant_id)
    if same.filter(pk__gt=command.pk).exclude(state=State.REFUSED).exists():
        if command.state == State.RECEIVED:
            command.close(State.DONE, Reason.SUPERSEDED, now=now)
        return False
    if same.filter(state=State.RUNNING).exclude(pk=command.pk).exists():
        # The running command enqueues this one when it ends.
        return False
    return command.claim(lease_until=now + LEASE)


@transaction.atomic
def _enqueue_newest(command: Command) -> None:
    """Enqueue the newest command that arrived for the same employee while this one ran."""
    waiting = Command.objects.filter(
        kind=Kind.SET_STATUS, employee=command.employee_id, state=State.RECEIVED, pk__gt=command.pk
    )
    newest = waiting.order_by("-pk").values_list("pk", flat=True).first()
    if newest:
        enqueue(TASK, newest, queue="fast")


def _fail(command: Command, exc: http_client.RemoteError, *, if_unknown: Command.Reason, now: datetime) -> None:
    """Close a failed command with a reason that a person can act on."""
    reason = Reason.UIS_REFUSED
    if isinstance(exc, http_client.RemoteUnavailable | http_client.UnexpectedReply):
        reason = if_unknown
    if isinstance(exc, http_client.AccessDenied):
        reason = Reason.UIS_DENIED
        if outbound.is_account_wide(exc):
            command.tenant.uis.suspend(exc.code, str(exc), now=now)
    command.close(State.FAILED, reason, str(exc), now=now)
