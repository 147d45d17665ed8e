"""Uploads finished calls to the CRM's history: in batches, each call once."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from connector_project import phones, remote
from crm import clients, lines
from crm.retailcrm import refusals
from crm.retailcrm.client import LARGEST_UPLOAD, RetailCrmClient
from crm.retailcrm.types import CallRecord, Manager
from telephony import calls, late, links
from telephony.models import Call, Cause, Step
from telephony.models.due import SUSPECT
from tenants.models import Tenant

BATCH = LARGEST_UPLOAD
OWNERS_BATCH = 10


def upload(batch: Sequence[Call], *, now: datetime) -> None:
    """Upload claimed calls of one tenant, and store the outcome of each."""
    batch = late.keep_back_old(batch, now=now)
    if not batch:
        return
    connection = batch[0].tenant.crm
    client, records = clients.crm_client(connection), _records(batch, now=now)
    for number, part in enumerate(_apart(batch)):
        if number and connection.failures:
            _leave(part, now=now)
        else:
            _upload(part, client, records, now=now)


def find_owners(batch: Sequence[Call], *, now: datetime) -> None:
    """Look up each missed caller's manager; without one, the employee whose phone rang stays the owner."""
    client = clients.crm_client(batch[0].tenant.crm)
    for call in batch:
        began = time.monotonic()
        try:
            outcome = _with_owner(client.manager(phones.e164(call.contact)), now=now)
        except (remote.RemoteUnavailable, remote.AccessDenied) as exc:
            # A missing scope must not stop missed calls from being uploaded; an invalid key does.
            is_missing_right = exc.code == refusals.SCOPE
            outcome = _with_owner(None, now=now) if is_missing_right else _not_handed_over(call.tenant, exc, now=now)
        except remote.RemoteError:
            outcome = _with_owner(None, now=now)
        calls.finish([call], outcome, step=Step.OWNER, now=now, began=began)


def _apart(batch: Sequence[Call]) -> list[list[Call]]:
    """Put calls that failed several times into batches of their own: one of them may crash the CRM."""
    fresh = [call for call in batch if call.attempts < SUSPECT]
    suspects = [[call] for call in batch if call.attempts >= SUSPECT]
    return [fresh, *suspects] if fresh else suspects


def _leave(batch: Sequence[Call], *, now: datetime) -> None:
    """Postpone calls that were not sent because the CRM stopped answering."""

    def outcome(call: Call) -> None:
        call.wait_until(call.tenant.crm.retry_at or now, Cause.CRM_UNAVAILABLE)

    calls.finish(batch, outcome, step=Step.UPLOAD, now=now, began=time.monotonic())


def _records(batch: Sequence[Call], *, now: datetime) -> dict[int, CallRecord]:
    """Return the record of each call by primary key. This issues the recording links in them."""
    connection = batch[0].tenant.crm
    sites, recording_urls = lines.sites(connection), links.addresses(batch, now=now)
    return {
        call.pk: lines.record(
            call, site=sites.get(call.number, connection.site), record_url=recording_urls.get(call.pk, "")
        )
        for call in batch
    }


def _upload(
    batch: Sequence[Call], client: RetailCrmClient, records: Mapping[int, CallRecord], *, now: datetime
) -> None:
    began = time.monotonic()
    tenant = batch[0].tenant
    known: tuple[str, ...] = ()
    try:
        known = client.upload_calls([records[call.pk] for call in batch]).duplicates
    except remote.RemoteRejected as exc:
        if len(batch) > 1:  # One bad call fails the whole batch: bisect it.
            middle = len(batch) // 2
            _upload(batch[:middle], client, records, now=now)
            return _upload(batch[middle:], client, records, now=now)
        outcome = _not_handed_over(tenant, exc, now=now)
    except remote.RemoteError as exc:
        outcome = _not_handed_over(tenant, exc, now=now)
    else:
        outcome = _uploaded(now=now)
    details = {call.pk: lines.note(records[call.pk], known) for call in batch}
    calls.finish(batch, outcome, step=Step.UPLOAD, now=now, began=began, about=details)


def _uploaded(*, now: datetime) -> Callable[[Call], None]:
    return lambda call: call.move_to(Call.State.UPLOADED, now=now)


def _with_owner(manager: Manager | None, *, now: datetime) -> Callable[[Call], None]:
    def outcome(call: Call) -> None:
        call.crm_user_id = manager.user_id if manager else None
        call.move_to(Call.State.READY, now=now)

    return outcome


def _not_handed_over(tenant: Tenant, exc: remote.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return the outcome for calls that were not uploaded."""
    match exc:
        case remote.RemoteUnavailable():
            return lambda call: call.wait_for(tenant.crm, exc, Cause.CRM_UNAVAILABLE, now=now)
        case remote.AccessDenied():
            tenant.crm.deny(exc.code, str(exc), now=now)
            return lambda call: call.wait_until(now, Cause.CRM_DENIED, str(exc))
        case remote.UnexpectedReply():
            return lambda call: call.stop(Cause.UNEXPECTED_REPLY, str(exc), now=now)
        case _:
            return lambda call: call.stop(Cause.CRM_REFUSED, str(exc), now=now)
