"""What a person does about incidents: acknowledge, resolve, mute, reopen. Each action is written to the audit log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from connector_project.operations.models import Incident
from tenants import audit
from tenants.models import AuditLogEntry

State, Action = Incident.State, AuditLogEntry.Action


@dataclass(frozen=True, kw_only=True)
class IncidentAction:
    name: str
    label: Text
    audit_action: AuditLogEntry.Action
    to_state: Incident.State
    from_states: frozenset[Incident.State]
    permission: str
    css_class: str = "quiet"  # style: "main" or "quiet"


_ALL = (
    IncidentAction(
        name="acknowledge",
        label=_("Acknowledge"),
        audit_action=Action.ACKNOWLEDGED,
        to_state=State.ACKNOWLEDGED,
        from_states=frozenset({State.OPEN, State.ACKNOWLEDGED, State.MUTED}),
        permission="operations.acknowledge_incident",
        css_class="main",
    ),
    IncidentAction(
        name="resolve",
        label=_("Resolved"),
        audit_action=Action.RESOLVED,
        to_state=State.RESOLVED,
        from_states=frozenset({State.OPEN, State.ACKNOWLEDGED, State.MUTED}),
        permission="operations.change_incident",
    ),
    IncidentAction(
        name="mute",
        label=_("Mute until resolved"),
        audit_action=Action.MUTED,
        to_state=State.MUTED,
        from_states=frozenset({State.OPEN, State.ACKNOWLEDGED}),
        permission="operations.change_incident",
    ),
    IncidentAction(
        name="reopen",
        label=_("Reopen"),
        audit_action=Action.REOPENED,
        to_state=State.OPEN,
        from_states=frozenset({State.ACKNOWLEDGED, State.MUTED, State.RESOLVED}),
        permission="operations.change_incident",
    ),
)
ACTIONS: Mapping[str, IncidentAction] = {action.name: action for action in _ALL}


@transaction.atomic
def apply(action: IncidentAction, pks: Iterable[int], *, by: audit.Actor, note: str, now: datetime) -> int:
    """Apply an action to those of the incidents whose state allows it; return how many."""
    rows = Incident.objects.filter(pk__in=list(pks), state__in=action.from_states).select_related("tenant")
    changes = []
    for row in rows.select_for_update(of=("self",)).order_by("pk"):
        _set_state(row, action, by=by, note=note, now=now)
        if _save(row):
            changes.append(audit.build_entry(row.tenant, action.audit_action, now=now, by=by, target=row, new=note))
    AuditLogEntry.objects.bulk_create(changes)
    return len(changes)


def is_possible(action: IncidentAction, incident: Incident) -> bool:
    return State(incident.state) in action.from_states


def _save(row: Incident) -> bool:
    """Save a row, unless a newer unresolved incident has the same key; return whether it was saved."""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        return False
    return True


def _set_state(row: Incident, action: IncidentAction, *, by: audit.Actor, note: str, now: datetime) -> None:
    is_resolved = action.to_state == State.RESOLVED
    if row.state == State.RESOLVED:
        row.last_seen_at, row.resolution_notified_at = now, None
    if is_resolved and row.notified_at is None:
        row.resolution_notified_at = now  # No notification about the start, so none about the end.
    row.state, row.note = action.to_state, note or row.note
    row.acknowledged_by = (
        by if action.to_state == State.ACKNOWLEDGED and isinstance(by, get_user_model()) else row.acknowledged_by
    )
    row.resolved_at, row.resolved_manually = (now, True) if is_resolved else (None, False)
