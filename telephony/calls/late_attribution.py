"""What is told of where a call came from after its row was decided: stored, without touching the upload."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from connector_project.core import transactions
from telephony.calls import attribution
from telephony.models import Call
from telephony.uis.types import CallEvent, EndedEvent

COLUMNS = ("is_erased", *attribution.FIELDS)


def apply_event(call: Call, event: CallEvent) -> bool:
    """Store what a notification tells; return whether that is news. Needs the locked call in a transaction."""
    is_news = not call.is_erased and any(attribution.note(call, told) for told in attribution.told_by([event]))
    if is_news:
        call.save(update_fields=attribution.FIELDS)
    return is_news


def apply_report(calls: Iterable[Call], reported: Mapping[int, EndedEvent], *, now: datetime) -> int:
    """Store what rows of the report tell of these calls, which need `COLUMNS`; return of how many it is news.

    Two statements for any number of them, and none where nothing is new.
    """
    differing = [call.pk for call in calls if _note(call, reported, now=now)]
    return _store(differing, reported, now=now) if differing else 0


@transactions.atomic
def _store(pks: Sequence[int], reported: Mapping[int, EndedEvent], *, now: datetime) -> int:
    rows = Call.objects.filter(pk__in=pks).order_by("pk").select_for_update().only("session_id", *COLUMNS)
    before = {call.pk: attribution.columns_of(call) for call in rows}
    changed = [call for call in rows if _note(call, reported, now=now)]
    names = [
        name for name in attribution.FIELDS if any(getattr(call, name) != before[call.pk][name] for call in changed)
    ]
    if changed:
        Call.objects.bulk_update(changed, names)
    return len(changed)


def _note(call: Call, reported: Mapping[int, EndedEvent], *, now: datetime) -> bool:
    told = attribution.told_by_row(reported[call.session_id], at=now)
    return not call.is_erased and attribution.note(call, told)
