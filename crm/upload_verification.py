"""Verifies that uploaded calls exist in the CRM; a missing one is uploaded once more.

One answer is no verdict: a call is missing, or the list unsupported, when two answers some minutes apart say so.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from connector_project.core import http_client, logging
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.task_queue import enqueue
from crm import call_records, client_factory
from crm.models import UploadVerification
from crm.retailcrm import errors
from crm.retailcrm.types import HistoryCall
from telephony.calls import steps
from telephony.models import Call, Step
from tenants.models import Tenant
from tenants.remote_lists import CONFIRMED_AFTER, READ_AGAIN_AFTER

TASK = "crm.tasks.verify_uploads"
PAGES = 3
SAMPLE = 200
RECENT_PERIOD = timedelta(hours=24)
SETTLED = timedelta(minutes=10)  # the CRM may list a call with a delay
RECHECK_AFTER = timedelta(days=7)  # keys may get more rights, accounts newer versions
# Calls that started in the same second may be before or after the page boundary.
MARGIN = timedelta(minutes=1)
_NOT_SERVED = {errors.SCOPE, errors.METHOD_ABSENT, errors.NOT_FOUND}

logger = logging.logger(__name__)


def uploaded_lately(*, now: Any) -> QuerySet[Call]:
    """Return the calls that are looked for in the CRM's list: of all clients, in no order."""
    done = Call.objects.filter(state=Call.State.UPLOADED, uploaded_at__lte=now - SETTLED)
    return done.filter(started_at__gte=now - RECENT_PERIOD)


def has_uploaded_lately(tenant: Tenant, *, now: datetime) -> bool:
    return bool(_LATELY_OF_TENANT.fetch(tenant=tenant.pk, now=now))


_LATELY_OF_TENANT: CompiledSelect[tuple[int]] = CompiledSelect(
    lambda given: (
        uploaded_lately(now=given.moment("now")).filter(tenant=given.integer("tenant")).order_by().values_list("pk")[:1]
    )
)


def is_due(tenant_id: int, *, now: datetime) -> bool:
    """Whether to verify now; a CRM that does not support the list is tried again after RECHECK_AFTER."""
    last = UploadVerification.objects.filter(tenant=tenant_id).first()
    return last is None or last.is_supported or last.checked_at <= now - RECHECK_AFTER


def verify(tenant: Tenant, *, now: datetime) -> int:
    """Compare recent uploads with the newest pages of the CRM's list; return how many calls are uploaded again.

    Raises RemoteError, except for an unsupported list, which is stored.
    """
    sample = _sample(tenant, now=now)
    if not sample or not is_due(tenant.pk, now=now):
        return 0
    try:
        listed = list(client_factory.crm_client(tenant.crm).history(pages=PAGES))
    except http_client.RemoteError as exc:
        if isinstance(exc, http_client.RemoteUnavailable) or exc.code not in _NOT_SERVED:
            raise
        _save_refusal(tenant, now=now)
        return 0
    expected = [call for call in sample if _is_in_reach(call, listed)]
    lost = _save_missing(tenant, find_missing(expected, listed), sampled=len(expected), now=now)
    if not lost:
        return 0
    logger.warning("the CRM does not list uploaded calls", tenant=tenant.slug, lost=len(lost), of=len(expected))
    return requeue_lost_uploads(tenant, [call.session_id for call in lost], now=now)


@transaction.atomic
def enqueue_due(*, now: datetime) -> None:
    """Read the list again where it lacked calls, or was refused, some minutes ago."""
    due = UploadVerification.objects.filter(read_again_at__lte=now)
    accessible = Tenant.objects.live().filter(crm__denied_at=None)
    found = list(due.filter(tenant__in=accessible).order_by("tenant").values_list("tenant", flat=True))
    due.update(read_again_at=None)  # The hourly verification covers a lost push.
    for tenant_id in found:
        enqueue(TASK, tenant_id)


def find_missing(expected: Iterable[Call], listed: Iterable[HistoryCall]) -> list[Call]:
    known = {call.external_id for call in listed}
    return [call for call in expected if call_records.external_id(call.session_id) not in known]


@transaction.atomic
def requeue_lost_uploads(tenant: Tenant, session_ids: Sequence[int], *, now: datetime) -> int:
    """Requeue uploaded calls that the CRM lost, once each; return how many. The CRM ignores a repeat."""
    uploaded = Call.objects.filter(
        tenant=tenant, session_id__in=session_ids, state=Call.State.UPLOADED, is_erased=False
    )
    lost = list(uploaded.exclude(history__step=Step.REUPLOAD).order_by("pk").select_for_update(of=("self",)))
    for call in lost:
        call.move_to(Call.State.READY, now=now)
        call.retry_window_started_at, call.is_low_priority, call.uploaded_at = now, True, None
        call.save()
        call.log(Step.REUPLOAD, now=now)
    if lost:
        steps.enqueue(lost[0], now=now)
    return len(lost)


def _sample(tenant: Tenant, *, now: datetime) -> list[Call]:
    """Return the newest calls uploaded at least SETTLED ago; the CRM lists the newest first, too."""
    return list(uploaded_lately(now=now).filter(tenant=tenant).order_by("-started_at")[:SAMPLE])


def _is_in_reach(call: Call, listed: Sequence[HistoryCall]) -> bool:
    """Whether the pages read must include the call: it is younger than their oldest one."""
    starts = [one.started_at for one in listed if one.started_at is not None]
    return not starts or call.started_at > min(starts) + MARGIN


def _save_missing(tenant: Tenant, missing: Sequence[Call], *, sampled: int, now: datetime) -> list[Call]:
    """Store which calls the CRM did not list; return those that it has not listed for some minutes."""
    row = _load(tenant)
    since = {call.pk: datetime.fromisoformat(row.absent.get(str(call.session_id), now.isoformat())) for call in missing}
    lost = [call for call in missing if now - since[call.pk] >= CONFIRMED_AFTER]
    row.absent = {str(call.session_id): since[call.pk].isoformat() for call in missing}
    row.is_supported, row.refused_since = True, None
    row.sampled, row.missing = sampled, len(missing)
    _save(row, is_certain=len(lost) == len(missing), now=now)
    return lost


def _save_refusal(tenant: Tenant, *, now: datetime) -> None:
    row = _load(tenant)
    row.refused_since = row.refused_since or now
    row.is_supported = now - row.refused_since < CONFIRMED_AFTER
    row.sampled, row.missing = 0, 0
    _save(row, is_certain=not row.is_supported, now=now)


def _load(tenant: Tenant) -> UploadVerification:
    return UploadVerification.objects.filter(tenant=tenant).first() or UploadVerification(tenant=tenant)


def _save(row: UploadVerification, *, is_certain: bool, now: datetime) -> None:
    row.checked_at, row.read_again_at = now, None if is_certain else now + READ_AGAIN_AFTER
    row.save()
