"""Calls that no webhook told us about: UIS's own list against ours."""

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from telephony import calls, clients
from telephony.models import Call
from telephony.uis.types import FinishedCall
from tenants.models import Tenant

BACK = timedelta(hours=3)
SETTLED = timedelta(minutes=5)  # younger calls are still being told of


def find_missed(reported: Iterable[FinishedCall], known: Iterable[int]) -> list[FinishedCall]:
    """Return the calls whose session is not among the known ones."""
    seen = set(known)
    return [call for call in reported if call.session_id not in seen]


def reconcile(tenant: Tenant, *, now: datetime) -> int:
    """Record the calls of the last three hours that we do not know; return how many.

    They take the same way as those a webhook told of, but never pop up. Raises the errors of connector_project.remote.
    """
    reported = list(clients.uis_client(tenant.uis).calls(since=now - BACK, till=now - SETTLED))
    ended = [call for call in reported if call.happened_at is None or call.happened_at <= now - SETTLED]
    sessions = [call.session_id for call in ended]
    known = Call.objects.filter(tenant=tenant, session_id__in=sessions).values_list("session_id", flat=True)
    found = find_missed(ended, known)
    for said in found:
        # A webhook may tell of the call at this very moment; then it is recorded, which is all that was wanted.
        with contextlib.suppress(IntegrityError), transaction.atomic():
            calls.record(tenant, said, origin=Call.Origin.REPORT, now=now)
    return len(found)
