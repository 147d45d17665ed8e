"""What a person does about incidents: acknowledge, resolve, mute, reopen. Each action is written to the audit log."""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from connector_project.core.redaction import redact
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
    from_states: Set[Incident.State]
    permission: str = "operations.change_incident"
    css_class: str = "quiet"  # style: "main" or "quiet"

    def is_possible(self, incident: Incident) -> bool:
        return incident.state in self.from_states


_UNRESOLVED = set(State) - {State.RESOLVED}
_ACKNOWLEDGE = IncidentAction(
    name="acknowledge",
    label=_("Acknowledge"),
    audit_action=Action.ACKNOWLEDGED,
    to_state=State.ACKNOWLEDGED,
    from_states=_UNRESOLVED,
    permission="operations.acknowledge_incident",
    css_class="main",
)
_RESOLVE = IncidentAction(
    name="resolve", label=_("Resolved"), audit_action=Action.RESOLVED, to_state=State.RESOLVED, from_states=_UNRESOLVED
)
_MUTE = IncidentAction(
    name="mute",
    label=_("Mute until resolved"),
    audit_action=Action.MUTED,
    to_state=State.MUTED,
    from_states=_UNRESOLVED - {State.MUTED},
)
_REOPEN = IncidentAction(
    name="reopen",
    label=_("Reopen"),
    audit_action=Action.REOPENED,
    to_state=State.OPEN,
    from_states=set(State) - {State.OPEN},
)
ACTIONS = {action.name: action for action in (_ACKNOWLEDGE, _RESOLVE, _MUTE, _REOPEN)}


@transaction.atomic
def apply(
    action: IncidentAction, pks: Iterable[int], *, seen: str | None = None, by: audit.Actor, note: str, now: datetime
) -> int:
    """Apply an action to those of the incidents whose state allows it; return how many.

    With the version that a page showed, not to one that has changed since. Every user can read the note and the audit
    log, so phone numbers in it are masked.
    """
    note = redact(note)
    rows = Incident.objects.filter(pk__in=list(pks), state__in=action.from_states).select_related("tenant")
    changes = []
    for row in rows.select_for_update(of=("self",)).order_by("pk"):
        if seen not in {None, row.version}:
            continue
        _set_state(row, action, by=by, note=note, now=now)
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            continue  # A newer unresolved incident has the same key.
        changes.append(audit.build_entry(row.tenant, action.audit_action, now=now, by=by, target=row, new=note))
    AuditLogEntry.objects.bulk_create(changes)
    return len(changes)


def _set_state(row: Incident, action: IncidentAction, *, by: audit.Actor, note: str, now: datetime) -> None:
    is_resolved = action.to_state == State.RESOLVED
    if row.state == State.RESOLVED:
        row.last_seen_at, row.resolution_notified_at = now, None
    if is_resolved and row.notified_at is None:
        row.resolution_notified_at = now  # No notification about the start, so none about the end.
    if action.to_state == State.ACKNOWLEDGED and isinstance(by, get_user_model()):
        row.acknowledged_by = by
    row.state, row.note = action.to_state, note or row.note
    row.resolved_at, row.resolved_manually = (now, True) if is_resolved else (None, False)
