"""What a person does about incidents: acknowledge, resolve, mute, reopen. Each action is written to the audit log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from crm.models import Incident
from tenants import journal
from tenants.finding import Text
from tenants.models import Change, User

State, Verb = Incident.State, Change.Verb


@dataclass(frozen=True, kw_only=True)
class Act:
    name: str
    label: Text
    verb: Change.Verb
    leads_to: Incident.State
    comes_from: frozenset[Incident.State]
    permission: str
    look: str = "quiet"


_ALL = (
    Act(
        name="take",
        label=_("Acknowledge"),
        verb=Verb.TAKEN,
        leads_to=State.TAKEN,
        comes_from=frozenset({State.OPEN, State.TAKEN, State.IGNORED}),
        permission="crm.take_incident",
        look="main",
    ),
    Act(
        name="resolve",
        label=_("Resolved"),
        verb=Verb.RESOLVED,
        leads_to=State.RESOLVED,
        comes_from=frozenset({State.OPEN, State.TAKEN, State.IGNORED}),
        permission="crm.change_incident",
    ),
    Act(
        name="ignore",
        label=_("Mute until resolved"),
        verb=Verb.IGNORED,
        leads_to=State.IGNORED,
        comes_from=frozenset({State.OPEN, State.TAKEN}),
        permission="crm.change_incident",
    ),
    Act(
        name="reopen",
        label=_("Reopen"),
        verb=Verb.REOPENED,
        leads_to=State.OPEN,
        comes_from=frozenset({State.TAKEN, State.IGNORED, State.RESOLVED}),
        permission="crm.change_incident",
    ),
)
ACTS: Mapping[str, Act] = {act.name: act for act in _ALL}


@transaction.atomic
def do(act: Act, pks: Iterable[int], *, by: journal.By, note: str, now: datetime) -> int:
    """Apply an action to those of the incidents whose state allows it; return how many."""
    rows = Incident.objects.filter(pk__in=list(pks), state__in=act.comes_from).select_related("tenant")
    changes = []
    for row in rows.select_for_update(of=("self",)).order_by("pk"):
        _set_state(row, act, by=by, note=note, now=now)
        if _save(row):
            changes.append(journal.row(row.tenant, act.verb, now=now, by=by, part=row, new=note))
    Change.objects.bulk_create(changes)
    return len(changes)


def can(act: Act, incident: Incident) -> bool:
    return State(incident.state) in act.comes_from


def _save(row: Incident) -> bool:
    """Save a row, unless a newer unresolved incident has the same key; return whether it was saved."""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        return False
    return True


def _set_state(row: Incident, act: Act, *, by: journal.By, note: str, now: datetime) -> None:
    is_resolved = act.leads_to == State.RESOLVED
    if row.state == State.RESOLVED:
        row.last_seen_at, row.end_told_at = now, None
    if is_resolved and row.told_at is None:
        row.end_told_at = now  # No notification about the start, so none about the end.
    row.state, row.note = act.leads_to, note or row.note
    row.taken_by = by if act.leads_to == State.TAKEN and isinstance(by, User) else row.taken_by
    row.resolved_at, row.is_by_hand = (now, True) if is_resolved else (None, False)
