"""Manual actions on a call that is not in the CRM: retry, or skip permanently."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import attrgetter

from django.contrib.auth import get_user_model

from connector_project.core import logging
from connector_project.core.jobs import DATABASE_FAULTS
from connector_project.core.redaction import redact
from connector_project.core.transactions import atomic
from telephony.calls import steps
from telephony.models import Call, FailureReason, State, Step
from telephony.models.bulk_action import Seen
from telephony.models.call_queryset import LIVE_WINDOW
from tenants import audit
from tenants.audit import Actor
from tenants.models import AuditLogEntry, Tenant, User
from tenants.transfer_rules import SkipReason

logger = logging.logger(__name__)
CallAction = Callable[[Call], bool]


def may_retry(call: Call, *, now: datetime) -> bool:
    """Whether a retry makes sense: a skipped call is evaluated again, a claimed one is left alone."""
    if call.is_erased:
        return False
    if call.state == State.SKIPPED or (call.failed_at and call.state in steps.TASKS):
        return True
    return call.state in steps.TASKS and call.state != State.DEBOUNCING and not is_claimed(call, now=now)


def may_skip(call: Call, *, now: datetime) -> bool:
    """Whether the call can still be skipped: not while a worker is sending it."""
    return call.state in steps.TASKS and not is_claimed(call, now=now)


def is_claimed(call: Call, *, now: datetime) -> bool:
    """Whether a worker has an unexpired claim on the call."""
    return call.claim_token is not None and call.next_attempt_at is not None and call.next_attempt_at > now


@atomic
def retry(
    call: Call, *, is_one_of_many: bool = False, seen: Seen | None = None, by: Actor = None, now: datetime
) -> bool:
    """Retry a call from its current state; return whether that was possible. One that is not as `seen` is left alone.

    A repeat creates no duplicate: the CRM knows a call by its externalId. With `is_one_of_many` an old call gets low
    priority, and the caller enqueues all of them with `calls.resume_due`.
    """
    fresh = Call.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=call.pk)
    if not may_retry(fresh, now=now) or _has_changed(fresh, seen):
        return False
    if fresh.state == State.SKIPPED:
        # Evaluate all evidence again with the current rules.
        fresh.skip_reason, fresh.has_legs, fresh.import_choice = "", False, ""
        fresh.move_to(State.DEBOUNCING, now=now)
    # The call log keeps the earlier reason.
    fresh.reason, fresh.detail = FailureReason.NONE, ""
    fresh.attempts, fresh.first_attempt_at, fresh.failed_at, fresh.claim_token = 0, None, None, None
    fresh.next_attempt_at, fresh.retry_window_started_at = now, now
    fresh.is_low_priority = fresh.is_low_priority or (is_one_of_many and fresh.ended_at < now - LIVE_WINDOW)
    fresh.save()
    fresh.log(Step.RETRIED, by=_user_or_none(by), now=now)
    if not is_one_of_many:
        steps.enqueue(fresh, now=now)
    return True


@atomic
def skip(call: Call, reason: str, *, seen: Seen | None = None, by: Actor = None, now: datetime) -> bool:
    """Skip a call permanently; return whether that was possible. One that is not as `seen` is left alone."""
    fresh = Call.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=call.pk)
    if not may_skip(fresh, now=now) or _has_changed(fresh, seen):
        return False
    fresh.skip_reason = SkipReason.MANUAL
    fresh.move_to(State.SKIPPED, now=now)
    fresh.save()
    fresh.log(Step.SKIP, reason, by=_user_or_none(by), now=now)
    return True


def _has_changed(call: Call, seen: Seen | None) -> bool:
    return seen is not None and Seen.of_call(call) != seen


def apply_to_each(chosen: Iterable[Call], act: CallAction) -> Counter[int]:
    """Apply the action to each call; return the number of successes by tenant.

    One that breaks our code is left as it is; only if all do, that is raised. In the order of primary keys, as
    everybody who locks several calls, whatever order the page shows them in.
    """
    done, errors = Counter[int](), list[Exception]()
    rows = sorted(chosen, key=attrgetter("pk"))
    for call in rows:
        try:
            done[call.tenant_id] += act(call)
        except DATABASE_FAULTS:
            raise
        except Exception as exc:
            logger.exception("action failed", row=call.pk)
            errors.append(exc)
    if errors and len(errors) == len(rows):
        raise errors[0]
    return +done


def log_per_tenant(
    done: Mapping[int, object],
    action: AuditLogEntry.Action,
    *,
    by: Actor,
    now: datetime,
    part: str = "",
    reason: str = "",
) -> None:
    """Write to the audit log of each tenant how many calls were changed, which ones (`part`) and why.

    Every user can read the audit log, so phone numbers in the reason are masked; the call's page has them in full.
    """
    redacted = redact(reason)[:100]
    for tenant in Tenant.objects.filter(pk__in=done):
        audit.log(tenant, action, now=now, by=by, target=part, field=redacted, new=done[tenant.pk])


def _user_or_none(by: Actor) -> User | None:
    return by if isinstance(by, get_user_model()) else None
