"""The press of the button: one step a task, each shown as it goes, taken up again where a worker was killed."""

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
LEASE = timedelta(minutes=2)  # longer than a task of the fast queue may run
LONGEST = timedelta(minutes=10)  # a step that kills its worker, or breaks, does so each time: somebody must be told
# Whoever holds the link may try keys; a machine that tries many is held up.
ATTEMPTS = 20
WINDOW = timedelta(minutes=10)
# What a press puts right where it is found wrong after all was well: the module is registered anew.
MENDED = (words.MODULE_REGISTERED, words.MODULE_ACTIVE, words.MODULE_ADDRESSES)
Step, State = Activation.Step, Activation.State
STEPS = list(Step)


@dataclass(frozen=True)
class StepLine:
    """One step of an activation, and how it stands: done, running, failed, waiting."""

    label: str
    state: str


class TooManyAttempts(Exception):
    """Somebody did too much on the client's page at once; he may go on in some minutes."""


@transaction.atomic
def press(tenant: Tenant, *, now: datetime, is_forced: bool = False) -> Activation:
    """Begin to switch a client on; while that runs, or when he is on, another press changes nothing.

    Forced it begins anew all the same: keys were changed, and what was found with the old ones does not count.
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
    """Count one act on the client's page. Raises TooManyAttempts."""
    row = _row(tenant)
    if row.attempts_since is None or now - row.attempts_since > WINDOW:
        row.attempts, row.attempts_since = 0, now
    if row.attempts >= ATTEMPTS:
        raise TooManyAttempts
    row.attempts += 1
    row.save(update_fields=["attempts", "attempts_since"])


def go_on(tenant: Tenant, *, now: datetime) -> None:
    """Do the step an activation stands at, and queue the next; stop where somebody must act first."""
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
    """Take up activations whose worker died or whose push was lost, and end those for which that did not help.

    Return how many there were.
    """
    with transaction.atomic():
        due = Activation.objects.filter(state=State.RUNNING, next_attempt_at__lte=now)
        left = list(due.select_related("tenant__crm"))
        for row in left:
            if row.pressed_at is None or now - row.pressed_at > LONGEST:
                _stop(row, Step(row.step), _silence(row), now=now)
                continue
            Activation.objects.filter(pk=row.pk).update(next_attempt_at=now + LEASE)
            enqueue(TASK, row.tenant_id, queue="fast")
    return len(left)


def _silence(row: Activation) -> Finding:
    """Return what stands for a step that comes to no end: whom it asks does not answer in the time we have."""
    if Step(row.step) in {Step.UIS, Step.PEOPLE}:
        return uis_checks.refused(remote.RemoteUnavailable("UIS", "UIS did not answer in time."))
    return checks.refused(remote.RemoteUnavailable("retailCRM", "retailCRM did not answer in time."), row.tenant.crm)


def lines(row: Activation | None, *, is_on: bool) -> list[StepLine]:
    """Return every step with how it stands; before the first press all of them wait."""
    at = STEPS.index(Step(row.step)) if row else 0
    state = State(row.state) if row else State.NEW
    if state == State.DONE or (is_on and state == State.NEW):  # The latter was switched on by a command.
        at = len(STEPS)
    here = {State.RUNNING: "running", State.FAILED: "failed"}.get(state, "waiting")
    states = ["done"] * at + [here] + ["waiting"] * len(STEPS)
    return [StepLine(str(step.label), state) for step, state in zip(STEPS, states, strict=False)]


def cause(row: Activation) -> Finding | None:
    """Return why an activation stopped; None where it did not."""
    check = CHECKS.get(row.code)
    return Finding(check, is_ok=False, about=row.about) if check else None


def is_well(tenant: Tenant, found: Iterable[Finding]) -> bool:
    """Say whether he is on and a press could mend nothing, by what the last look found."""
    is_in = tenant.activated_at is not None and not tenant.uis.denied_at and not tenant.crm.denied_at
    return is_in and all(finding.is_ok or finding.check not in MENDED for finding in found)


def _found(tenant: Tenant) -> list[Finding]:
    return checkup.kept(CheckUp.objects.filter(tenant=tenant).first())


def _row(tenant: Tenant) -> Activation:
    return Activation.objects.select_for_update().get_or_create(tenant=tenant)[0]


@transaction.atomic
def _advance(row: Activation, step: Activation.Step, *, now: datetime) -> None:
    """Go to the next step, once: two workers at the same step are harmless, two at different ones would not be."""
    here = Activation.objects.filter(pk=row.pk, state=State.RUNNING, step=step, pressed_at=row.pressed_at)
    if step is STEPS[-1]:
        if here.update(state=State.DONE, ended_at=now, next_attempt_at=None):
            checkup.ask(row.tenant, now=now)
    elif here.update(step=STEPS[STEPS.index(step) + 1], next_attempt_at=now + LEASE):
        enqueue(TASK, row.tenant_id, queue="fast")


@transaction.atomic
def _stop(row: Activation, step: Activation.Step, finding: Finding, *, now: datetime) -> None:
    here = Activation.objects.filter(pk=row.pk, state=State.RUNNING, step=step, pressed_at=row.pressed_at)
    cause = {"code": finding.check.code, "about": dict(finding.about)}
    if here.update(state=State.FAILED, ended_at=now, next_attempt_at=None, **cause):
        checkup.ask(row.tenant, now=now)  # Whatever else is wrong is better known now than press by press.
