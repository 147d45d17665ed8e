"""Uploads finished calls to the CRM's history: in batches, each call once."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from connector_project.core import http_client, phone_numbers
from crm import call_records, client_factory
from crm.retailcrm import errors
from crm.retailcrm.client import LARGEST_UPLOAD, RetailCrmClient
from crm.retailcrm.types import CallRecord, Manager
from telephony.calls import expiry, pipeline
from telephony.models import Call, FailureReason, Step
from telephony.models.call_queryset import POISON_AFTER_ATTEMPTS
from telephony.recordings import links
from tenants.models import Tenant

BATCH = LARGEST_UPLOAD
OWNERS_BATCH = 10


def upload(batch: Sequence[Call], *, now: datetime) -> None:
    """Upload claimed calls of one tenant, and store the outcome of each."""
    batch = expiry.skip_expired(batch, now=now)
    if not batch:
        return
    connection = batch[0].tenant.crm
    client, records = client_factory.crm_client(connection), _records(batch, now=now)
    for number, part in enumerate(_split_suspects(batch)):
        if number and connection.consecutive_failures:
            _requeue(part, now=now)
        else:
            _upload(part, client, records, now=now)


def find_owners(batch: Sequence[Call], *, now: datetime) -> None:
    """Look up each missed caller's manager; without one, the employee whose phone rang stays the owner."""
    client = client_factory.crm_client(batch[0].tenant.crm)
    for call in batch:
        started = time.monotonic()
        try:
            outcome = _with_owner(client.manager(phone_numbers.e164(call.contact)), now=now)
        except (http_client.RemoteUnavailable, http_client.AccessDenied) as exc:
            # A missing scope must not stop missed calls from being uploaded; an invalid key does.
            is_missing_right = exc.code == errors.SCOPE
            outcome = _with_owner(None, now=now) if is_missing_right else _on_failure(call.tenant, exc, now=now)
        except http_client.RemoteError:
            outcome = _with_owner(None, now=now)
        pipeline.finish_batch([call], outcome, step=Step.RESOLVE_OWNER, now=now, started=started)


def _split_suspects(batch: Sequence[Call]) -> list[list[Call]]:
    """Put calls that failed several times into batches of their own: one of them may crash the CRM."""
    fresh = [call for call in batch if call.attempts < POISON_AFTER_ATTEMPTS]
    suspects = [[call] for call in batch if call.attempts >= POISON_AFTER_ATTEMPTS]
    return [fresh, *suspects] if fresh else suspects


def _requeue(batch: Sequence[Call], *, now: datetime) -> None:
    """Postpone calls that were not sent because the CRM stopped answering."""

    def outcome(call: Call) -> None:
        call.postpone_until(call.tenant.crm.retry_at or now, FailureReason.CRM_UNAVAILABLE)

    pipeline.finish_batch(batch, outcome, step=Step.UPLOAD, now=now, started=time.monotonic())


def _records(batch: Sequence[Call], *, now: datetime) -> dict[int, CallRecord]:
    """Return the record of each call by primary key. This issues the recording links in them."""
    connection = batch[0].tenant.crm
    sites, recording_urls = call_records.store_by_number(connection), links.addresses(batch, now=now)
    return {
        call.pk: call_records.record(
            call, site=sites.get(call.number, connection.site), recording_url=recording_urls.get(call.pk, "")
        )
        for call in batch
    }


def _upload(
    batch: Sequence[Call], client: RetailCrmClient, records: Mapping[int, CallRecord], *, now: datetime
) -> None:
    started = time.monotonic()
    tenant = batch[0].tenant
    known: tuple[str, ...] = ()
    try:
        known = client.upload_calls([records[call.pk] for call in batch]).duplicates
    except http_client.RemoteRejected as exc:
        if len(batch) > 1:  # One bad call fails the whole batch: bisect it.
            middle = len(batch) // 2
            _upload(batch[:middle], client, records, now=now)
            return _upload(batch[middle:], client, records, now=now)
        outcome = _on_failure(tenant, exc, now=now)
    except http_client.RemoteError as exc:
        outcome = _on_failure(tenant, exc, now=now)
    else:
        outcome = _uploaded(now=now)
    details = {call.pk: call_records.upload_details(records[call.pk], known) for call in batch}
    pipeline.finish_batch(batch, outcome, step=Step.UPLOAD, now=now, started=started, details=details)


def _uploaded(*, now: datetime) -> Callable[[Call], None]:
    return lambda call: call.move_to(Call.State.UPLOADED, now=now)


def _with_owner(manager: Manager | None, *, now: datetime) -> Callable[[Call], None]:
    def outcome(call: Call) -> None:
        call.crm_user_id = manager.user_id if manager else None
        call.move_to(Call.State.READY, now=now)

    return outcome


def _on_failure(tenant: Tenant, exc: http_client.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return the outcome for calls that were not uploaded."""
    match exc:
        case http_client.RemoteUnavailable():
            return lambda call: call.postpone_for_vendor(tenant.crm, exc, FailureReason.CRM_UNAVAILABLE, now=now)
        case http_client.AccessDenied():
            tenant.crm.suspend(exc.code, str(exc), now=now)
            return lambda call: call.postpone_until(now, FailureReason.CRM_DENIED, str(exc))
        case http_client.UnexpectedReply():
            return lambda call: call.fail(FailureReason.UNEXPECTED_REPLY, str(exc), now=now)
        case _:
            return lambda call: call.fail(FailureReason.CRM_REFUSED, str(exc), now=now)
