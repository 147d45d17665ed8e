"""Uploaded calls looked for in the CRM's own list: one it lost goes the same way once more."""

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
SETTLED = timedelta(minutes=10)  # the CRM may need a moment to show what it took
ASK_AGAIN = timedelta(days=7)  # keys get rights, accounts get newer
# Calls of one second may stand on either side of the end of what was read.
MARGIN = timedelta(minutes=1)
_NOT_SERVED = {refusals.SCOPE, refusals.ACCOUNT, refusals.METHOD_ABSENT, refusals.NOT_FOUND}

logger = logging.getLogger(__name__)


def is_due(tenant: Tenant, *, now: datetime) -> bool:
    """Whether this client's CRM may be asked: one that does not serve its list is left alone for a week."""
    last = Lookup.objects.filter(tenant=tenant).first()
    return last is None or last.is_served or last.looked_at <= now - ASK_AGAIN


def look(tenant: Tenant, *, now: datetime) -> int:
    """Compare what was uploaded lately with the newest pages of the CRM's list; return how many go once more.

    Raises the errors of connector_project.remote, but for a list that is not served: that is remembered.
    """
    sample = _sample(tenant, now=now)
    if not sample or not is_due(tenant, now=now):
        return 0
    try:
        shown = list(clients.crm_client(tenant.crm).history(pages=PAGES))
    except remote.RemoteError as exc:
        if isinstance(exc, remote.RemoteUnavailable) or exc.code not in _NOT_SERVED:
            raise
        _remember(tenant, is_served=False, now=now)
        return 0
    expected = [call for call in sample if _is_in_reach(call, shown)]
    lost = find_lost(expected, shown)
    _remember(tenant, sampled=len(expected), lost=len(lost), now=now)
    if not lost:
        return 0
    logger.warning("tenant=%s: the CRM does not show %s of %s uploaded calls", tenant.slug, len(lost), len(expected))
    return late.upload_again(tenant, [call.session_id for call in lost], now=now)


def find_lost(expected: Iterable[Call], shown: Iterable[HistoryCall]) -> list[Call]:
    """Return the calls that are not among the shown ones."""
    known = {call.external_id for call in shown}
    return [call for call in expected if lines.external_id(call.session_id) not in known]


def _sample(tenant: Tenant, *, now: datetime) -> list[Call]:
    """Return the newest calls that have been in the CRM for some minutes; the CRM shows the newest first, too."""
    done = Call.objects.filter(tenant=tenant, state=Call.State.UPLOADED, uploaded_at__lte=now - SETTLED)
    return list(done.filter(started_at__gte=now - LATELY).order_by("-started_at")[:SAMPLE])


def _is_in_reach(call: Call, shown: Sequence[HistoryCall]) -> bool:
    """Whether a call must be on the pages that were read: it is younger than the oldest one there."""
    began = [one.began_at for one in shown if one.began_at is not None]
    return not began or call.started_at > min(began) + MARGIN


def _remember(tenant: Tenant, *, is_served: bool = True, sampled: int = 0, lost: int = 0, now: datetime) -> None:
    found = {"is_served": is_served, "sampled": sampled, "lost": lost, "looked_at": now}
    Lookup.objects.update_or_create(tenant=tenant, defaults=found)
