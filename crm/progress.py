"""Runs an activation: one step per task, resumed by the sweep if a worker dies."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from connector_project import remote
from connector_project.queue import enqueue
from crm import checks, checkup
from crm.activation import ActivationFailed, take
from crm.checks import words
from crm.checkup import CHECKS
from crm.models import Activation
from telephony import checks as uis_checks
from tenants.finding import Finding
from tenants.models import CheckUp, Tenant

TASK = "crm.tasks.go_on_activating"
LEASE = timedelta(minutes=2)  # longer than the fast queue's task time-out
LONGEST = timedelta(minutes=10)  # a step that crashes its worker would do so forever: fail it instead
# Rate limit of the client's page: stops scripts that try many keys.
ATTEMPTS = 20
WINDOW = timedelta(minutes=10)
# Checks that an activation repairs, because it registers the module again.
MENDED = (words.MODULE_REGISTERED, words.MODULE_ACTIVE, words.MODULE_ADDRESSES)
Step, State = Activation.Step, Activation.State
STEPS = list(Step)


@dataclass(frozen=True)
class StepLine:
    """One step of an activation; `state` is done, running, failed or waiting."""

    label: str
    state: str


class TooManyAttempts(Exception):
    """Too many actions on the client's page; try again in some minutes."""


@transaction.atomic
def press(tenant: Tenant, *, now: datetime, is_forced: bool = False) -> Activation:
    """Start an activation; does nothing if one is running, or if the client is active and healthy.

    Forced, it always starts from the first step, because results with the old keys do not count.
    """
    row = _row(tenant)
    is_needless = row.state == State.RUNNING or (row.state == State.DONE and is_well(tenant, _found(tenant)))
    if is_needless and not is_forced:
        return row
    row.state, row.step, row.pressed_at, row.ended_at = State.RUNNING, Step.UIS, now, None
    row.code, row.about, row.next_attempt_at = "", {}, now + LEASE
    row.save()
    enqueue(TASK, tenant.pk, queue="fast")
    return row


@transaction.atomic
def count_attempt(tenant: Tenant, *, now: datetime) -> None:
    """Count one action on the client's page. Raises TooManyAttempts."""
    row = _row(tenant)
    if row.attempts_since is None or now - row.attempts_since > WINDOW:
        row.attempts, row.attempts_since = 0, now
    if row.attempts >= ATTEMPTS:
        raise TooManyAttempts
    row.attempts += 1
    row.save(update_fields=["attempts", "attempts_since"])


def go_on(tenant: Tenant, *, now: datetime) -> None:
    """Run the current step and queue the next; a failed step ends the activation."""
    row = Activation.objects.filter(tenant=tenant, state=State.RUNNING).first()
    if row is None:
        return
    step = Step(row.step)
    try:
        take(tenant, step, now=now)
    except ActivationFailed as exc:
        _stop(row, step, exc.finding, now=now)
    else:
        _advance(row, step, now=now)


def resume_left(*, now: datetime) -> int:
    """Queue stalled activations again (lost queue entry, dead worker) and fail those older than LONGEST.

    Return how many were stalled.
    """
    with transaction.atomic():
        due = Activation.objects.filter(state=State.RUNNING, next_attempt_at__lte=now)
        stalled = list(due.select_related("tenant__crm"))
        for row in stalled:
            if row.pressed_at is None or now - row.pressed_at > LONGEST:
                _stop(row, Step(row.step), _timeout_result(row), now=now)
                continue
            Activation.objects.filter(pk=row.pk).update(next_attempt_at=now + LEASE)
            enqueue(TASK, row.tenant_id, queue="fast")
    return len(stalled)


def _timeout_result(row: Activation) -> Finding:
    """Return the check result for a step that never ends: its remote system does not answer in time."""
    if Step(row.step) in {Step.UIS, Step.PEOPLE}:
        return uis_checks.refused(remote.RemoteUnavailable("UIS", "UIS did not answer in time."))
    return checks.refused(remote.RemoteUnavailable("retailCRM", "retailCRM did not answer in time."), row.tenant.crm)


def lines(row: Activation | None, *, is_on: bool) -> list[StepLine]:
    """Return all steps with their states."""
    at = STEPS.index(Step(row.step)) if row else 0
    state = State(row.state) if row else State.NEW
    if state == State.DONE or (is_on and state == State.NEW):  # The latter: activated by a management command.
        at = len(STEPS)
    current = {State.RUNNING: "running", State.FAILED: "failed"}.get(state, "waiting")
    states = ["done"] * at + [current] + ["waiting"] * len(STEPS)
    return [StepLine(str(step.label), state) for step, state in zip(STEPS, states, strict=False)]


def cause(row: Activation) -> Finding | None:
    """Return why an activation failed, or None."""
    check = CHECKS.get(row.code)
    return Finding(check, is_ok=False, about=row.about) if check else None


def is_well(tenant: Tenant, found: Iterable[Finding]) -> bool:
    """Return whether the client is active and, by the last check run, an activation would repair nothing."""
    is_active = tenant.activated_at is not None and not tenant.uis.denied_at and not tenant.crm.denied_at
    return is_active and all(finding.is_ok or finding.check not in MENDED for finding in found)


def _found(tenant: Tenant) -> list[Finding]:
    return checkup.kept(CheckUp.objects.filter(tenant=tenant).first())


def _row(tenant: Tenant) -> Activation:
    return Activation.objects.select_for_update().get_or_create(tenant=tenant)[0]


@transaction.atomic
def _advance(row: Activation, step: Activation.Step, *, now: datetime) -> None:
    """Advance to the next step, once, even if two workers run the same step."""
    current = Activation.objects.filter(pk=row.pk, state=State.RUNNING, step=step, pressed_at=row.pressed_at)
    if step is STEPS[-1]:
        if current.update(state=State.DONE, ended_at=now, next_attempt_at=None):
            checkup.ask(row.tenant, now=now)
    elif current.update(step=STEPS[STEPS.index(step) + 1], next_attempt_at=now + LEASE):
        enqueue(TASK, row.tenant_id, queue="fast")


@transaction.atomic
def _stop(row: Activation, step: Activation.Step, finding: Finding, *, now: datetime) -> None:
    current = Activation.objects.filter(pk=row.pk, state=State.RUNNING, step=step, pressed_at=row.pressed_at)
    cause = {"code": finding.check.code, "about": dict(finding.about)}
    if current.update(state=State.FAILED, ended_at=now, next_attempt_at=None, **cause):
        checkup.ask(row.tenant, now=now)  # Report all other problems now, too.
