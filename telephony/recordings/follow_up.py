"""Asks UIS again for the recordings of uploaded calls that it should have: a notification of one may be lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from telephony import client_factory
from telephony.calls import late_recordings
from telephony.calls.recording_selection import EXPECTED_FOR
from telephony.calls.sources import Sources
from telephony.models import Call, State
from telephony.uis.types import CallLeg
from tenants.models import Tenant

# Each hour on the first day, then once a day; later only a notification, a click or a person brings one.
FOLLOWED_FOR = timedelta(days=7)
BATCH = 100


def follow_up(tenant: Tenant, *, now: datetime) -> None:
    """Look for the recordings of one tenant's uploaded calls, without the reserve of API points. Raises RemoteError."""
    awaiting = Call.objects.filter(tenant=tenant, state=State.UPLOADED, awaits_recording=True, is_erased=False)
    awaiting.filter(ended_at__lt=now - FOLLOWED_FOR).update(awaits_recording=False)
    is_turn = Q(ended_at__gte=now - EXPECTED_FOR) | Q(ended_at__hour=timezone.localtime(now).hour)
    due = list(awaiting.filter(is_turn).order_by("ended_at").only("session_id", "started_at", "ended_at"))
    for first in range(0, len(due), BATCH):
        _ask(tenant, due[first : first + BATCH], now=now)


def _ask(tenant: Tenant, batch: Sequence[Call], *, now: datetime) -> None:
    since, till = min(call.started_at for call in batch), max(call.ended_at for call in batch)
    found: dict[int, list[CallLeg]] = {call.session_id: [] for call in batch}
    for leg in client_factory.uis_client(tenant.uis).call_legs(list(found), since=since, till=till):
        found[leg.session_id].append(leg)
    recorded = {session_id: legs for session_id, legs in found.items() if any(leg.record_ids for leg in legs)}
    if not recorded:
        return
    known = Sources.load(tenant, recorded)
    for session_id, legs in recorded.items():
        with transaction.atomic():
            if call := Call.objects.locked(tenant, session_id):
                late_recordings.apply_report(call, None, known, legs=legs, now=now)
