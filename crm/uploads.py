"""Uploads finished calls to the CRM's history: in batches, each call once."""

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from structlog.contextvars import bind_contextvars

from connector_project.core import http_client, phone_numbers, task_queue
from crm import call_records, client_factory, upload_versions
from crm.call_records import Prepared
from crm.retailcrm import errors
from crm.retailcrm.client import LARGEST_UPLOAD, MANAGER_RIGHT
from crm.retailcrm.types import UploadAnswer
from telephony import outgoing_requests
from telephony.calls import pipeline, steps
from telephony.calls.steps import Denied, Failed, Moved, Outcome, Postponed, Unavailable, Unexpected
from telephony.models import Call, FailureReason, State, Step
from telephony.models.retries import SUSPECT_AFTER_ATTEMPTS
from telephony.reconciliation import import_choice
from tenants.field_map.facts import Fact
from tenants.field_map.targets import Record
from tenants.models import CrmConnection, Tenant
from tenants.transfer_rules import SkipReason

BATCH = LARGEST_UPLOAD
OWNERS_BATCH = 10
# How long a task may upload batches of one tenant while nothing else is queued.
TURN_SECONDS = 1.0


def upload_due(tenant_id: int, *, now: datetime) -> None:
    """Upload a tenant's due calls for one turn, and keep its queue going.

    Two tasks work on a long queue: while one waits for the CRM's answer, the other one prepares its next batch. Each
    batch is claimed when it is prepared, so that live calls are in the next request.
    """
    ends_at, moment = time.monotonic() + TURN_SECONDS, now
    batch = _claim(tenant_id, now=moment)
    if len(batch) == BATCH:
        steps.enqueue_if_due(tenant_id, State.READY, now=moment)
    while batch:
        upload(batch, now=moment)
        moment = timezone.now()
        may_go_on = len(batch) == BATCH and time.monotonic() < ends_at and not task_queue.depth("default")
        batch = _claim(tenant_id, now=moment) if may_go_on else []
        if not batch:
            # A task that found no free slot has ended without work, so each running one queues the next.
            steps.enqueue_if_due(tenant_id, State.READY, now=moment)


def _claim(tenant_id: int, *, now: datetime) -> list[Call]:
    return Call.objects.claim(tenant_id, State.READY, limit=BATCH, now=now)


def upload(batch: Sequence[Call], *, now: datetime) -> None:
    """Upload claimed calls of one tenant, and store the outcome of each."""
    tenant = batch[0].tenant
    bind_contextvars(tenant=tenant.slug)
    current, window = batch, tenant.upload_window_start(now=now)
    if any(call.started_at < window for call in batch):
        current = steps.skip_expired(batch, before=window, now=now)
    if any(call.import_choice for call in current):
        current = _without_left_out(tenant, current, now=now)
    is_sent = False
    for group in upload_versions.split(tenant, current, now=now):
        if not (is_sent and _left_for_later(group, tenant.crm, Step.UPLOAD, now=now)):
            is_sent = _prepare_and_upload(group, now=now) or is_sent
    if not is_sent:
        tenant.crm.return_half_open()


def _prepare_and_upload(batch: Sequence[Call], *, now: datetime) -> bool:
    """Upload calls by the version of the rules that their `tenant` has; return whether a request was made."""
    records, broken = steps.prepare(batch, functools.partial(call_records.records, now=now))
    if broken:
        steps.finish(broken, Step.UPLOAD, started=time.monotonic(), now=now)
    sound = [call for call in batch if call.pk in records]
    if sound:
        with outgoing_requests.kept(batch[0].tenant_id, sessions=[call.session_id for call in sound]):
            _upload(sound, records, now=now)
    return bool(sound)


def _without_left_out(tenant: Tenant, batch: Sequence[Call], *, now: datetime) -> list[Call]:
    """Skip the imported calls that the choice of their import leaves out by now; return the others."""
    left_out = import_choice.find_left_out(tenant, batch)
    skipped = Moved(state=State.SKIPPED, changes={"skip_reason": SkipReason.NOT_IMPORTED})
    steps.finish([(call, skipped) for call in left_out], Step.UPLOAD, started=time.monotonic(), now=now)
    return [call for call in batch if call not in left_out]


def _left_for_later(batch: Sequence[Call], connection: CrmConnection, step: Step, *, now: datetime) -> bool:
    """Leave calls for later, without an attempt, if the CRM has stopped answering; return whether it has.

    `connection` is the one whose requests were sent before these.
    """
    if not connection.consecutive_failures:
        return False
    until = connection.retry_at or now
    waiting = [(call, Postponed(until=until, reason=FailureReason.CRM_UNAVAILABLE)) for call in batch]
    steps.finish(waiting, step, started=time.monotonic(), now=now)
    return True


def find_owners_due(tenant_id: int, *, now: datetime) -> None:
    """Look up the managers of one tenant's missed callers, a few at a time."""
    if batch := Call.objects.claim(tenant_id, State.RESOLVING_OWNER, limit=OWNERS_BATCH, now=now):
        tenant = batch[0].tenant
        current = steps.skip_expired(batch, before=tenant.upload_window_start(now=now), now=now)
        for number, call in enumerate(current):
            started = time.monotonic()
            with outgoing_requests.kept(tenant_id, sessions=[call.session_id]):
                outcome = steps.isolate(call, functools.partial(_find_owner, tenant, call, now=now))
                steps.finish([(call, outcome)], Step.RESOLVE_OWNER, started=started, now=now)
            if _left_for_later(current[number + 1 :], tenant.crm, Step.RESOLVE_OWNER, now=now):
                break
        if not current:
            tenant.crm.return_half_open()
        steps.enqueue_if_due(tenant_id, State.RESOLVING_OWNER, now=timezone.now())


def _find_owner(tenant: Tenant, call: Call, *, now: datetime) -> Outcome:
    """Ask the CRM for a missed caller's manager, and whether it knows the customer, where the rules need that.

    Without a manager the employee whose phone rang stays the owner.
    """
    needs_manager = pipeline.needs_manager(call, tenant.rules)
    unowned = Moved(state=State.READY, changes={"crm_user_id": None} if needs_manager else {})
    if MANAGER_RIGHT in tenant.crm.denials and not tenant.crm.try_right(MANAGER_RIGHT, now=now):
        tenant.crm.return_half_open()
        return unowned
    try:
        client, phone = client_factory.crm_client(tenant.crm), phone_numbers.e164(call.contact)
        asks_customer = Fact.CUSTOMER in tenant.rules.field_map.needs(Record.UPLOAD)
        answer = client.manager(phone, is_customer_asked=asks_customer)
    except (http_client.RemoteUnavailable, http_client.AccessDenied) as exc:
        # A missing scope must not stop missed calls from being uploaded; an invalid key does.
        outcome = _on_error(tenant, exc, now=now)
        return unowned if exc.code == errors.SCOPE else outcome
    except http_client.UnexpectedReply as exc:
        # One garbled answer does not say who the manager is; an account without this method has none to tell.
        is_verdict = bool(exc.code) or call.attempts >= SUSPECT_AFTER_ATTEMPTS
        return unowned if is_verdict else Unexpected(detail=str(exc))
    except http_client.RemoteError:
        return unowned
    changes: dict[str, Any] = {"crm_user_id": answer.manager.user_id if answer.manager else None}
    if not needs_manager:
        changes = {}
    if asks_customer:
        changes["crm_customer"] = "known" if answer.is_known or answer.manager else "new"
    return Moved(state=State.READY, changes=changes)


def _upload(batch: Sequence[Call], records: Mapping[int, Prepared], *, is_repeat: bool = False, now: datetime) -> None:
    """Upload a batch, and store the outcome of each call.

    One bad call fails a whole batch, and of a batch that the CRM took in part it does not say which calls it lacks:
    both are found by halves. What it took before is named then, and not stored twice.
    """
    started, tenant = time.monotonic(), batch[0].tenant
    try:
        answer = client_factory.crm_client(tenant.crm).upload_calls([records[call.pk].record for call in batch])
    except http_client.RemoteError as exc:
        if isinstance(exc, http_client.RemoteRejected) and len(batch) > 1:
            return _upload_in_halves(batch, records, is_repeat=is_repeat, now=now)
        outcome = _on_error(tenant, exc, now=now)
        return _finish(batch, outcome, records, (), started=started, now=now)
    left = _not_taken(batch, records, answer)
    taken = [call for call in batch if call not in left]
    # What a repeat names was taken a moment ago, and is no news.
    _finish(taken, steps.UPLOADED, records, () if is_repeat else answer.duplicates, started=started, now=now)
    if not left:
        return None
    if len(batch) > 1 or not (is_repeat or answer.processed == 0):
        return _upload_in_halves(left, records, is_repeat=True, now=now)
    refusal = Unexpected(reason=FailureReason.CRM_NOT_TAKEN, detail=f"processedCallsCount: {answer.processed}")
    return _finish(left, refusal, records, (), started=started, now=now)


def _not_taken(batch: Sequence[Call], records: Mapping[int, Prepared], answer: UploadAnswer) -> list[Call]:
    """Return the calls of an uploaded batch that the answer does not show to be in the CRM.

    It counts the calls it stored, and names those it had before. A count that cannot be, or none, shows nothing; one
    of all calls includes those named.
    """
    unnamed = [call for call in batch if records[call.pk].record.external_id not in answer.duplicates]
    return [] if answer.processed in {len(unnamed), len(batch)} else unnamed


def _upload_in_halves(
    batch: Sequence[Call], records: Mapping[int, Prepared], *, is_repeat: bool, now: datetime
) -> None:
    """Upload each half of a batch, unless the CRM has stopped answering; of one call, that call."""
    middle = len(batch) // 2
    for half in (batch[:middle], batch[middle:]):
        if half and not _left_for_later(half, batch[0].tenant.crm, Step.UPLOAD, now=now):
            _upload(half, records, is_repeat=is_repeat, now=now)


def _finish(
    batch: Sequence[Call],
    outcome: Outcome,
    records: Mapping[int, Prepared],
    known: Collection[str],
    *,
    started: float,
    now: datetime,
) -> None:
    """Store one outcome of several calls; `known` are the external IDs that the CRM had already."""
    details = {call.pk: call_records.upload_details(records[call.pk], known) for call in batch}
    steps.finish([(call, outcome) for call in batch], Step.UPLOAD, started=started, now=now, details=details)


def _on_error(tenant: Tenant, exc: http_client.RemoteError, *, now: datetime) -> Outcome:
    """Return what becomes of calls that were not accepted."""
    match exc:
        case http_client.RemoteUnavailable():
            return Unavailable(vendor=tenant.crm, error=exc, reason=FailureReason.CRM_UNAVAILABLE)
        case http_client.AccessDenied():
            tenant.crm.record_denial(exc, now=now)
            return Denied(vendor=tenant.crm, error=exc, reason=FailureReason.CRM_DENIED)
        case http_client.UnexpectedReply():
            return Unexpected(detail=str(exc))
    return Failed(reason=FailureReason.CRM_REFUSED, detail=str(exc))
