"""What a person may do with a call that is not in the CRM: set it going again, or skip it for good."""

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
    """Whether a second try makes sense: a skipped call is decided anew, one in a worker's hand is left alone."""
    if call.state == State.SKIPPED or (call.stopped_at and call.state in calls.NEXT):
        return True
    return call.state in calls.NEXT and call.state != State.SETTLING and not is_in_hand(call, now=now)


def may_skip(call: Call, *, now: datetime) -> bool:
    """Whether a call can still be kept out of the CRM: what a worker is sending at this moment cannot."""
    return call.state in calls.NEXT and not is_in_hand(call, now=now)


def is_in_hand(call: Call, *, now: datetime) -> bool:
    """Whether a worker has the call at this moment."""
    return call.claim_token is not None and call.next_attempt_at is not None and call.next_attempt_at > now


@transaction.atomic
def try_again(call: Call, *, is_one_of_many: bool = False, by: By = None, now: datetime) -> bool:
    """Put a call back on its way, from where it stood; say whether it could be done.

    A repeat makes no second record: the CRM knows a call by its externalId. Of many, old ones stand behind calls of
    today, and whoever sends them nudges them together with `calls.resume_due`.
    """
    fresh = Call.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=call.pk)
    if not may_try_again(fresh, now=now):
        return False
    if fresh.state == State.SKIPPED:
        # All the facts are weighed up anew, by the rules of now.
        fresh.kept_back_by, fresh.is_collected = "", False
        fresh.move_to(State.SETTLING, now=now)
    # Why it stood still is told by its history; from now on it only waits for its turn.
    fresh.cause, fresh.says = Cause.NONE, ""
    fresh.attempts, fresh.stopped_at, fresh.claim_token = 0, None, None
    fresh.next_attempt_at, fresh.recorded_at = now, now
    fresh.is_backlog = fresh.is_backlog or (is_one_of_many and fresh.ended_at < now - LIVELY)
    fresh.save()
    fresh.note(Step.PERSON, by=_person(by), now=now)
    if not is_one_of_many:
        calls.nudge(fresh, now=now)
    return True


@transaction.atomic
def skip(call: Call, reason: str, *, by: By = None, now: datetime) -> bool:
    """Keep a call out of the CRM for good; say whether it could be done."""
    fresh = Call.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=call.pk)
    if not may_skip(fresh, now=now):
        return False
    fresh.kept_back_by = KeptBack.BY_HAND
    fresh.move_to(State.SKIPPED, now=now)
    fresh.save()
    fresh.note(Step.SKIP, reason, by=_person(by), now=now)
    return True


def each(chosen: Iterable[Call], act: Act) -> Counter[int]:
    """Do it with each call; return with how many of which client it could be done."""
    return Counter(call.tenant_id for call in chosen if act(call))


def write_down(
    done: Mapping[int, int], verb: Change.Verb, *, by: By, now: datetime, part: str = "", reason: str = ""
) -> None:
    """Write into each client's journal with how many of his calls something was done, or with which one and why.

    The journal is read by everybody: a number in the reason stands whole on the pages of the calls alone.
    """
    why = hide(reason)[:100]
    for tenant in Tenant.objects.filter(pk__in=done):
        journal.note(tenant, verb, now=now, by=by, part=part, field=why, new="" if part else done[tenant.pk])


def _person(by: By) -> User | None:
    return by if isinstance(by, User) else None
