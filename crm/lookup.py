"""Verifies that uploaded calls exist in the CRM; a missing one is uploaded once more."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from connector_project import remote
from crm import clients, lines
from crm.models import Lookup
from crm.retailcrm import refusals
from crm.retailcrm.types import HistoryCall
from telephony import late
from telephony.models import Call
from tenants.models import Tenant

PAGES = 3
SAMPLE = 200
LATELY = timedelta(hours=24)
SETTLED = timedelta(minutes=10)  # the CRM may list a call with a delay
ASK_AGAIN = timedelta(days=7)  # keys may get more rights, accounts newer versions
# Calls that started in the same second may be before or after the page boundary.
MARGIN = timedelta(minutes=1)
_NOT_SERVED = {refusals.SCOPE, refusals.ACCOUNT, refusals.METHOD_ABSENT, refusals.NOT_FOUND}

logger = logging.getLogger(__name__)


def is_due(tenant: Tenant, *, now: datetime) -> bool:
    """Whether to verify now; a CRM that does not support the list is tried again after ASK_AGAIN."""
    last = Lookup.objects.filter(tenant=tenant).first()
    return last is None or last.is_served or last.looked_at <= now - ASK_AGAIN


def look(tenant: Tenant, *, now: datetime) -> int:
    """Compare recent uploads with the newest pages of the CRM's list; return how many calls are uploaded again.

    Raises RemoteError, except for an unsupported list, which is stored.
    """
    sample = _sample(tenant, now=now)
    if not sample or not is_due(tenant, now=now):
        return 0
    try:
        listed = list(clients.crm_client(tenant.crm).history(pages=PAGES))
    except remote.RemoteError as exc:
        if isinstance(exc, remote.RemoteUnavailable) or exc.code not in _NOT_SERVED:
            raise
        _save(tenant, is_served=False, now=now)
        return 0
    expected = [call for call in sample if _is_in_reach(call, listed)]
    lost = find_lost(expected, listed)
    _save(tenant, sampled=len(expected), lost=len(lost), now=now)
    if not lost:
        return 0
    logger.warning("tenant=%s: the CRM does not list %s of %s uploaded calls", tenant.slug, len(lost), len(expected))
    return late.upload_again(tenant, [call.session_id for call in lost], now=now)


def find_lost(expected: Iterable[Call], listed: Iterable[HistoryCall]) -> list[Call]:
    known = {call.external_id for call in listed}
    return [call for call in expected if lines.external_id(call.session_id) not in known]


def _sample(tenant: Tenant, *, now: datetime) -> list[Call]:
    """Return the newest calls uploaded at least SETTLED ago; the CRM lists the newest first, too."""
    done = Call.objects.filter(tenant=tenant, state=Call.State.UPLOADED, uploaded_at__lte=now - SETTLED)
    return list(done.filter(started_at__gte=now - LATELY).order_by("-started_at")[:SAMPLE])


def _is_in_reach(call: Call, listed: Sequence[HistoryCall]) -> bool:
    """Whether the pages read must include the call: it is younger than their oldest one."""
    started = [one.began_at for one in listed if one.began_at is not None]
    return not started or call.started_at > min(started) + MARGIN


def _save(tenant: Tenant, *, is_served: bool = True, sampled: int = 0, lost: int = 0, now: datetime) -> None:
    found = {"is_served": is_served, "sampled": sampled, "lost": lost, "looked_at": now}
    Lookup.objects.update_or_create(tenant=tenant, defaults=found)
