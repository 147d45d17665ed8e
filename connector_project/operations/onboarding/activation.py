"""Runs an activation: one step per task, resumed by the sweep if a worker dies."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from connector_project.core.check_results import CHECKS, CheckFailed, CheckResult
from connector_project.core.jobs import QUEUED_FOR, released
from connector_project.core.task_queue import Queue, enqueue, room
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import steps
from crm.checks.module import FIXED_BY_ACTIVATION
from telephony.checks.account import ADDRESS_LIST
from tenants.models import CheckRun, Tenant

TASK = "connector_project.operations.tasks.run_activation_step"
QUEUE: Queue = "fast"
LEASE = timedelta(minutes=2)  # longer than the fast queue's task time-out
LONGEST = timedelta(minutes=10)  # a step that crashes its worker would do so forever: fail it instead
# Rate limit of the client's page: stops scripts that try many keys.
MAX_ACTIONS = 20
WINDOW = timedelta(minutes=10)
# What the client puts right at UIS, without coming back to press the button: tried again, within five minutes of it.
PUT_RIGHT_ELSEWHERE = (ADDRESS_LIST.code,)
RETRY_AFTER = timedelta(minutes=3)
Step, State = Activation.Step, Activation.State
STEPS = list(Step)


@dataclass(frozen=True)
class StepLine:
    """One step of an activation; `state` is done, running, failed or waiting."""

    label: str
    state: str


class ClientHasLeft(Exception):
    """The client was disconnected meanwhile: only an operator can start an activation."""


@transaction.atomic
def start(tenant: Tenant, *, now: datetime, is_forced: bool = False, by_client: bool = False) -> Activation:
    """Start an activation; does nothing if one is running, or if the client is active and healthy.

    Forced, it always starts from the first step, because results with the old keys do not count. Raises ClientHasLeft.
    """
    row = _row(tenant, by_client=by_client)
    found = runner.stored_results(CheckRun.objects.filter(tenant=tenant).first())
    is_unnecessary = row.state == State.RUNNING or (row.state == State.DONE and is_healthy(tenant, found))
    if is_unnecessary and not is_forced:
        return row
    row.state, row.step, row.started_at, row.ended_at = State.RUNNING, Step.UIS, now, None
    row.code, row.context, row.attempts = "", {}, 0
    row.release(now + QUEUED_FOR)
    row.save()
    enqueue(TASK, tenant.pk, queue=QUEUE)
    return row


@transaction.atomic
def count_action(tenant: Tenant, *, now: datetime) -> bool:
    """Count one action on the client's page; return False if there were too many in the last minutes.

    Raises ClientHasLeft.
    """
    row = _row(tenant, by_client=True)
    if row.actions_since is None or now - row.actions_since > WINDOW:
        row.actions, row.actions_since = 0, now
    row.actions += 1
    if row.actions > MAX_ACTIONS:
        return False
    row.save(update_fields=["actions", "actions_since"])
    return True


def run_next_step(tenant: Tenant, *, now: datetime) -> None:
    """Run the current step and queue the next; a failed step ends the activation."""
    current = Activation.objects.filter(tenant=tenant).first()
    row = current and Activation.objects.claim_one(current.pk, lease=LEASE, now=now)
    if row is None:
        return
    try:
        with Activation.objects.returned_on_conflict(row, now=now):
            steps.run_step(tenant, Step(row.step), now=now)
    except CheckFailed as exc:
        _stop(row, exc.result, now=now)
    else:
        _advance(row, now=now)


def resume_pending(*, now: datetime) -> int:
    """Queue stalled activations again (lost queue entry, dead worker) and fail those older than LONGEST.

    Return how many were stalled.
    """
    return _resume_due(now=now) if Activation.objects.is_any_due(now=now) else 0


@transaction.atomic
def _resume_due(*, now: datetime) -> int:
    endless = Activation.objects.due(now=now).filter(started_at__lt=now - LONGEST).select_related("tenant__crm")
    failed = sum(_stop(row, steps.timed_out(row.tenant, Step(row.step)), now=now) for row in endless)
    stalled = Activation.objects.requeue(limit=room(QUEUE), now=now)
    for tenant_id in Activation.objects.filter(pk__in=stalled).values_list("tenant_id", flat=True):
        enqueue(TASK, tenant_id, queue=QUEUE)
    return failed + len(stalled)


def retry_refused(*, now: datetime) -> int:
    """Start the failed activations again whose reason may be gone by itself; return how many.

    The client has asked for them by the button, and may end that by no longer having a valid link.
    """
    failed = Activation.objects.filter(
        state=State.FAILED,
        code__in=PUT_RIGHT_ELSEWHERE,
        ended_at__lte=now - RETRY_AFTER,
        tenant__is_paused=False,
        tenant__activation_expires_at__gt=now,
    )
    rows = list(failed.select_related("tenant").order_by("pk"))
    for row in rows:
        with contextlib.suppress(ClientHasLeft):
            start(row.tenant, now=now, by_client=True)
    return len(rows)


def lines(row: Activation | None, *, is_on: bool) -> list[StepLine]:
    """Return all steps with their states."""
    at, state = (STEPS.index(Step(row.step)), State(row.state)) if row else (0, State.NEW)
    if state == State.DONE or (is_on and state == State.NEW):  # The latter: activated by a management command.
        at = len(STEPS)
    current = {State.RUNNING: "running", State.FAILED: "failed"}.get(state, "waiting")
    return [
        StepLine(str(step.label), "done" if place < at else current if place == at else "waiting")
        for place, step in enumerate(STEPS)
    ]


def failure(row: Activation | None) -> CheckResult | None:
    """Return why an activation failed; None if it did not."""
    check = CHECKS.get(row.code) if row and row.state == State.FAILED else None
    return CheckResult(check, ok=False, params=row.context) if row and check else None


def is_healthy(tenant: Tenant, found: Iterable[CheckResult]) -> bool:
    """Return whether the client is active and, by the last check run, an activation would repair nothing."""
    is_active = tenant.activated_at is not None and not tenant.uis.denied_at and not tenant.crm.denied_at
    return is_active and all(finding.ok or finding.check not in FIXED_BY_ACTIVATION for finding in found)


def _row(tenant: Tenant, *, by_client: bool) -> Activation:
    """Return the activation, locked after its tenant, as in every transaction. Raises ClientHasLeft."""
    allowed = Tenant.objects.filter(offboarded_at=None) if by_client else Tenant.objects.all()
    Tenant.objects.lock_row(tenant.pk)
    if not allowed.filter(pk=tenant.pk).exists():
        raise ClientHasLeft
    return Activation.objects.select_for_update().get_or_create(tenant=tenant)[0]


@transaction.atomic
def _advance(row: Activation, *, now: datetime) -> None:
    """Advance to the next step, unless another worker has claimed the activation, or it was started anew."""
    claimed = Activation.objects.still_claimed(row)
    if row.step != STEPS[-1]:
        following = STEPS[STEPS.index(Step(row.step)) + 1]
        if claimed.update(step=following, attempts=0, **released(now + QUEUED_FOR)):
            enqueue(TASK, row.tenant_id, queue=QUEUE)
    elif claimed.update(state=State.DONE, ended_at=now, **released(None)):
        runner.request_run(row.tenant, now=now)


@transaction.atomic
def _stop(row: Activation, finding: CheckResult, *, now: datetime) -> bool:
    """End the activation at its current step; return False if it has changed since it was read."""
    same = Activation.objects.filter(pk=row.pk, claim_token=row.claim_token, next_attempt_at=row.next_attempt_at)
    reason = {"code": finding.check.code, "context": dict(finding.params)}
    if not same.update(state=State.FAILED, ended_at=now, **released(None), **reason):
        return False
    runner.request_run(row.tenant, now=now)  # Report all other problems now, too.
    return True
