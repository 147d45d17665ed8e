"""Hand over finished calls to the CRM's history: together, and each once."""

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
    """Hand over claimed calls of one tenant, or leave each with the reason why not."""
    batch = late.keep_back_old(batch, now=now)
    if not batch:
        return
    connection = batch[0].tenant.crm
    client, told = clients.crm_client(connection), _lines(batch, now=now)
    for number, part in enumerate(_apart(batch)):
        if number and connection.failures:
            _leave(part, now=now)
        else:
            _upload(part, client, told, now=now)


def find_owners(batch: Sequence[Call], *, now: datetime) -> None:
    """Ask the CRM for the manager of each missed caller; where it names none, the one whose phone rang stays."""
    client = clients.crm_client(batch[0].tenant.crm)
    for call in batch:
        began = time.monotonic()
        try:
            settle = _owned_by(client.manager(phones.e164(call.contact)), now=now)
        except (remote.RemoteUnavailable, remote.AccessDenied) as exc:
            # A key without this right must not keep missed calls out of the history; one that opens nothing does.
            is_missing_right = exc.code == refusals.SCOPE
            settle = _owned_by(None, now=now) if is_missing_right else _not_handed_over(call.tenant, exc, now=now)
        except remote.RemoteError:
            settle = _owned_by(None, now=now)
        calls.finish([call], settle, step=Step.OWNER, now=now, began=began)


def _apart(batch: Sequence[Call]) -> list[list[Call]]:
    """Put calls that were tried in vain several times each by itself: one of them may be what the CRM stumbles over."""
    fresh = [call for call in batch if call.attempts < SUSPECT]
    suspects = [[call] for call in batch if call.attempts >= SUSPECT]
    return [fresh, *suspects] if fresh else suspects


def _leave(batch: Sequence[Call], *, now: datetime) -> None:
    """Put calls back whose turn did not come: the CRM ceased to answer."""

    def settle(call: Call) -> None:
        call.wait_until(call.tenant.crm.retry_at or now, Cause.CRM_UNAVAILABLE)

    calls.finish(batch, settle, step=Step.UPLOAD, now=now, began=time.monotonic())


def _lines(batch: Sequence[Call], *, now: datetime) -> dict[int, CallRecord]:
    """Return each call as the history is to show it, by its key; from here on the links in it open."""
    connection = batch[0].tenant.crm
    sites, heard_at = lines.sites(connection), links.addresses(batch, now=now)
    return {
        call.pk: lines.record(call, site=sites.get(call.number, connection.site), record_url=heard_at.get(call.pk, ""))
        for call in batch
    }


def _upload(batch: Sequence[Call], client: RetailCrmClient, told: Mapping[int, CallRecord], *, now: datetime) -> None:
    began = time.monotonic()
    tenant = batch[0].tenant
    known: tuple[str, ...] = ()
    try:
        known = client.upload_calls([told[call.pk] for call in batch]).duplicates
    except remote.RemoteRejected as exc:
        if len(batch) > 1:  # One bad call refuses all: halves, until it is alone.
            middle = len(batch) // 2
            _upload(batch[:middle], client, told, now=now)
            return _upload(batch[middle:], client, told, now=now)
        settle = _not_handed_over(tenant, exc, now=now)
    except remote.RemoteError as exc:
        settle = _not_handed_over(tenant, exc, now=now)
    else:
        settle = _uploaded(now=now)
    about = {call.pk: lines.note(told[call.pk], known) for call in batch}
    calls.finish(batch, settle, step=Step.UPLOAD, now=now, began=began, about=about)


def _uploaded(*, now: datetime) -> Callable[[Call], None]:
    return lambda call: call.move_to(Call.State.UPLOADED, now=now)


def _owned_by(manager: Manager | None, *, now: datetime) -> Callable[[Call], None]:
    def settle(call: Call) -> None:
        call.crm_user_id = manager.user_id if manager else None
        call.move_to(Call.State.READY, now=now)

    return settle


def _not_handed_over(tenant: Tenant, exc: remote.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return what becomes of each call when the CRM did not take it."""
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
