"""Manual actions on a call that is not in the CRM: retry, or skip permanently."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from connector_project.logs import hide
from telephony import calls
from telephony.models import Call, Cause, State, Step
from telephony.models.due import LIVELY
from tenants import journal
from tenants.journal import By
from tenants.models import Change, Tenant
from tenants.transfer import KeptBack

Act = Callable[[Call], bool]


def may_try_again(call: Call, *, now: datetime) -> bool:
    """Whether a retry makes sense: a skipped call is evaluated again, a claimed one is left alone."""
    if call.state == State.SKIPPED or (call.stopped_at and call.state in calls.NEXT):
        return True
    return call.state in calls.NEXT and call.state != State.SETTLING and not is_in_hand(call, now=now)


def may_skip(call: Call, *, now: datetime) -> bool:
    """Whether the call can still be skipped: not while a worker is sending it."""
    return call.state in calls.NEXT and not is_in_hand(call, now=now)


def is_in_hand(call: Call, *, now: datetime) -> bool:
    """Whether a worker has an unexpired claim on the call."""
    return call.claim_token is not None and call.next_attempt_at is not None and call.next_attempt_at > now


@transaction.atomic
def try_again(call: Call, *, is_one_of_many: bool = False, by: By = None, now: datetime) -> bool:
    """Retry a call from its current state; return whether that was possible.

    A repeat creates no duplicate: the CRM knows a call by its externalId. With `is_one_of_many` an old call gets low
    priority, and the caller enqueues all of them with `calls.resume_due`.
    """
    fresh = Call.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=call.pk)
    if not may_try_again(fresh, now=now):
        return False
    if fresh.state == State.SKIPPED:
        # Evaluate all evidence again with the current rules.
        fresh.kept_back_by, fresh.is_collected = "", False
        fresh.move_to(State.SETTLING, now=now)
    # The call log keeps the earlier reason.
    fresh.cause, fresh.says = Cause.NONE, ""
    fresh.attempts, fresh.stopped_at, fresh.claim_token = 0, None, None
    fresh.next_attempt_at, fresh.recorded_at = now, now
    fresh.is_backlog = fresh.is_backlog or (is_one_of_many and fresh.ended_at < now - LIVELY)
    fresh.save()
    fresh.note(Step.PERSON, by=_user_or_none(by), now=now)
    if not is_one_of_many:
        calls.nudge(fresh, now=now)
    return True


@transaction.atomic
def skip(call: Call, reason: str, *, by: By = None, now: datetime) -> bool:
    """Skip a call permanently; return whether that was possible."""
    fresh = Call.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=call.pk)
    if not may_skip(fresh, now=now):
        return False
    fresh.kept_back_by = KeptBack.BY_HAND
    fresh.move_to(State.SKIPPED, now=now)
    fresh.save()
    fresh.note(Step.SKIP, reason, by=_user_or_none(by), now=now)
    return True


def each(chosen: Iterable[Call], act: Act) -> Counter[int]:
    """Apply the action to each call; return the number of successes by tenant."""
    return Counter(call.tenant_id for call in chosen if act(call))


def write_down(
    done: Mapping[int, int], verb: Change.Verb, *, by: By, now: datetime, part: str = "", reason: str = ""
) -> None:
    """Write to the audit log of each tenant how many calls were changed, or which one and why.

    Every user can read the audit log, so phone numbers in the reason are masked; the call's page has them in full.
    """
    redacted = hide(reason)[:100]
    for tenant in Tenant.objects.filter(pk__in=done):
        journal.note(tenant, verb, now=now, by=by, part=part, field=redacted, new="" if part else done[tenant.pk])


def _user_or_none(by: By) -> User | None:
    return by if isinstance(by, User) else None
