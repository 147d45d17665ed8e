"""Which of the calls that an import finds go to the CRM: counted by its preview, decided at its end."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.crypto import salted_hmac

from telephony.calls import sweep
from telephony.missed_callers import unanswered
from telephony.models import Call, ImportChoice, State, Step
from tenants.models import Tenant
from tenants.transfer_rules import SkipReason


def count_kinds(tenant: Tenant, found: Sequence[Call], *, before: dict[str, Any]) -> dict[str, Any]:
    """Add a portion of a preview, whose calls are in order, to what was counted before.

    A later portion may show the talk that closes a missed call of an earlier one: these are counted by a digest of
    their number.
    """
    talks = [call for call in found if unanswered.has_talk(call)]
    open_calls = dict(before.get("unanswered", {}))
    for call in talks:  # They began after all calls of the earlier portions.
        open_calls.pop(_digest(tenant, call.contact), None)
    to_upload = [call for call in found if call.state != State.SKIPPED]
    missed = [call for call in to_upload if call.is_missed]
    still_open = unanswered.find_unanswered(tenant, missed, talks=talks)
    counts = Counter(_digest(tenant, call.contact) for call in still_open)
    return {
        "missed": before.get("missed", 0) + len(missed),
        "others": before.get("others", 0) + len(to_upload) - len(missed),
        "unanswered": dict(Counter(open_calls) + counts),
    }


def take_unanswered(tenant: Tenant, *, since: datetime, till: datetime, now: datetime) -> None:
    """Hand over the missed calls of a compared period that nobody has answered since. Repeating it does no harm."""
    with transaction.atomic():
        left = list(_left_out(tenant, since=since, till=till).missed().order_by("pk").select_for_update(of=("self",)))
        for call in unanswered.find_unanswered(tenant, left):
            call.skip_reason, call.has_legs, call.retry_window_started_at = "", False, now
            call.move_to(State.DEBOUNCING, now=now)
            call.save()
            call.log(Step.REOPENED, now=now)
    sweep.resume_due(tenant_id=tenant.pk, now=now)


def count_skipped(tenant: Tenant, *, since: datetime, till: datetime, skipped_by: dict[str, int]) -> dict[str, int]:
    """Return the counts by rule with those that the choice leaves out in the end."""
    left = _left_out(tenant, since=since, till=till).count()
    others = {rule: count for rule, count in skipped_by.items() if rule != SkipReason.NOT_IMPORTED}
    return others | ({str(SkipReason.NOT_IMPORTED): left} if left else {})


def find_left_out(tenant: Tenant, calls: Sequence[Call]) -> list[Call]:
    """Return the calls that the choice of their import leaves out by what is known when they are uploaded."""
    chosen = [call for call in calls if call.import_choice == ImportChoice.UNANSWERED]
    kept = unanswered.find_unanswered(tenant, chosen) if chosen else []
    missed = [call for call in calls if call.import_choice == ImportChoice.WITHOUT_MISSED and _is_missed(call)]
    return [*(call for call in chosen if call not in kept), *missed]


def _is_missed(call: Call) -> bool:
    """Return whether the CRM would take it for a missed call."""
    return call.direction == "in" and not call.is_answered


def _left_out(tenant: Tenant, *, since: datetime, till: datetime) -> Any:
    left = Call.objects.filter(tenant=tenant, started_at__gte=since, started_at__lt=till)
    return left.filter(skip_reason=SkipReason.NOT_IMPORTED, import_choice=ImportChoice.UNANSWERED)


def _digest(tenant: Tenant, contact: str) -> str:
    return salted_hmac(f"import {tenant.pk}", contact).hexdigest()[:16]
