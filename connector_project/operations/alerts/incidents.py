"""Incident rows: opened when a problem is first found, updated while it lasts, resolved when it is gone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from connector_project.operations.alerts.rule import Key
from connector_project.operations.models import Incident
from tenants.models import Tenant

State = Incident.State
# Resolve an incident not seen for this long, which is several evaluations.
GONE_AFTER = timedelta(minutes=5)
# A fix may take this long to show: no reopening before that.
REOPEN_GRACE_PERIOD = timedelta(minutes=15)
BATCH_SIZE = 200


@transaction.atomic
def sync_incidents(problems: Mapping[Key, Incident], *, live: Collection[int], now: datetime) -> None:
    """Open, update and resolve incidents so that they match the problems; `live` are the live clients.

    Safe to run concurrently: the database allows one unresolved row for each key.
    """
    known = {incident.key: incident for incident in unresolved().select_for_update()}
    _update([known[key] for key in problems if key in known], problems, now=now)
    manually = Incident.objects.filter(state=State.RESOLVED, resolved_manually=True)
    recent = {incident.key for incident in manually.filter(resolved_at__gt=now - REOPEN_GRACE_PERIOD)}
    new = [one for key, one in problems.items() if key not in known and key not in recent]
    for incident in new:
        incident.opened_at = incident.last_seen_at = now
    Incident.objects.bulk_create(new, ignore_conflicts=True, batch_size=BATCH_SIZE)
    _resolve([known[key] for key in known.keys() - problems.keys()], live=live, now=now)


def unresolved() -> QuerySet[Incident]:
    return Incident.objects.exclude(state=State.RESOLVED).order_by("pk")


def active() -> QuerySet[Incident]:
    """Return the incidents that need attention: not the muted ones."""
    return Incident.objects.filter(state__in=[State.OPEN, State.ACKNOWLEDGED])


def _update(rows: Sequence[Incident], problems: Mapping[Key, Incident], *, now: datetime) -> None:
    Incident.objects.filter(pk__in=[row.pk for row in rows]).update(last_seen_at=now, seen_count=F("seen_count") + 1)
    changed = [row for row in rows if row.context != problems[row.key].context]
    for row in changed:
        row.context = problems[row.key].context
    Incident.objects.bulk_update(changed, ["context"], batch_size=BATCH_SIZE)


def resolve(tenant: Tenant, kind: Incident.Kind, reason: str, *, now: datetime) -> None:
    """Resolve at once the incidents of a client whose reason begins so: what they are about was put right."""
    rows = unresolved().filter(tenant=tenant, kind=kind, reason__startswith=reason).select_for_update()
    _end(list(rows), live={tenant.pk} if tenant.is_live else set(), now=now)


def _resolve(rows: Iterable[Incident], *, live: Collection[int], now: datetime) -> None:
    """Resolve what has not been found for a while."""
    _end([row for row in rows if now - row.last_seen_at >= GONE_AFTER], live=live, now=now)


def _end(gone: Sequence[Incident], *, live: Collection[int], now: datetime) -> None:
    """Resolve incidents; without a notification where one was muted or the client is not live."""
    unannounced = [row.pk for row in gone if row.state == State.MUTED or row.tenant_id not in {None, *live}]
    ended = Incident.objects.filter(pk__in=[row.pk for row in gone])
    ended.filter(Q(pk__in=unannounced) | Q(notified_at=None)).update(resolution_notified_at=now)
    ended.update(state=State.RESOLVED, resolved_at=now, resolved_manually=False)
