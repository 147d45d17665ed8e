"""The alert rules and their thresholds: problems by kind, reason and client, found in a snapshot. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connector_project.operations.alerts import no_events
from connector_project.operations.alerts.snapshot import Failed, Snapshot, TenantSnapshot
from connector_project.operations.models import Incident

Kind = Incident.Kind
Context = dict[str, Any]

NO_EVENTS, OVERDUE, NO_HEARTBEAT, NOT_IN_REPORT = "NO_EVENTS", "OVERDUE", "NO_HEARTBEAT", "NOT_IN_REPORT"
OVERDUE_AFTER, AWAY_AFTER = timedelta(minutes=15), timedelta(minutes=30)
# Minimum failed calls and their share in the last two hours; or in the last day, for clients with few calls.
FAILED_RECENTLY, SHARE_RECENTLY = 5, 0.1
FAILED_IN_A_DAY, SHARE_IN_A_DAY = 3, 0.2
# A problem of this many clients, and of this share of all, is system-wide.
SEVERAL, MANY = 3, 0.5

COUNTS = ("calls", "usual", "failed", "of")

Key = tuple[int | None, str, str]


@dataclass(frozen=True)
class Problem:
    """A problem of one client or of the whole service; `context` holds the parameters of its message."""

    kind: Incident.Kind
    reason: str
    tenant_id: int | None = None
    context: Context = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.tenant_id, self.kind, self.reason


def find_problems(snapshot: Snapshot) -> list[Problem]:
    """Return all problems, each key once."""
    of_clients = [
        *_no_events(snapshot),
        *_denials(snapshot),
        *_backlogs(snapshot),
        *_failure_rates(snapshot),
        *_unexplained(snapshot),
    ]
    live = {client.pk for client in snapshot.tenants}
    of_clients = [problem for problem in of_clients if problem.tenant_id in live]
    found: dict[Key, Problem] = {}
    for problem in (
        *_dead_workers(snapshot),
        *_no_events_at_all(snapshot),
        *_group_system_wide(of_clients, live=len(live)),
        *of_clients,
    ):
        found.setdefault(problem.key, problem)
    return list(found.values())


def no_events_of(client: TenantSnapshot, *, now: datetime) -> Context | None:
    """Return the context of a client's "no events" problem, or None. The only place that decides it.

    Once found, it lasts until an event comes, although its evidence may expire: reported calls age, profiles change.
    """
    context, previous = _no_events_context(client, now=now), client.no_events
    if context is None and previous is not None and previous.get("since") == _isoformat(client.last_event_at):
        return dict(previous)
    return context


def _no_events_context(client: TenantSnapshot, *, now: datetime) -> Context | None:
    since = max(client.last_event_at or client.activated_at, client.activated_at)
    if now - since < no_events.MIN_DURATION:
        return None
    context: Context = {"since": _isoformat(client.last_event_at)}
    if client.unreported_calls >= no_events.MIN_UNREPORTED_CALLS:
        return context | {"by": "report", "calls": client.unreported_calls}
    profile = client.profile
    if profile is None or client.last_event_at is None:
        without_events = client.business_hours.longest_overlap(
            max(since, now - no_events.LONGEST), now, zone=client.zone
        )
        return context | {"by": "hours"} if without_events >= no_events.OF_WORK else None
    expected = profile.expected_calls(since, now, zone=client.zone)
    if no_events.is_unlikely(expected, profile.weeks, yearly=profile.yearly):
        return context | {"by": "profile", "usual": round(expected / profile.weeks)}
    return None


def _no_events(snapshot: Snapshot) -> Iterator[Problem]:
    for client in snapshot.tenants:
        context = no_events_of(client, now=snapshot.now)
        if context is not None:
            yield Problem(Kind.NO_EVENTS, NO_EVENTS, client.pk, context)


def _no_events_at_all(snapshot: Snapshot) -> Iterator[Problem]:
    """Find missing events of all clients together, long before they are unlikely for any single client."""
    since = snapshot.last_event_at
    if since is None or snapshot.now - since < no_events.MIN_DURATION_OF_ALL:
        return
    profiles = [(client, client.profile) for client in snapshot.tenants if client.profile]
    usual = sorted(
        profile.expected_calls(since, snapshot.now, zone=one.zone) / profile.weeks for one, profile in profiles
    )
    if sum(count > 0 for count in usual) < no_events.SEVERAL:
        return
    # Without the busiest client, whose missing events may be their own problem.
    weeks = min(profile.weeks for _one, profile in profiles)
    yearly = sum(profile.yearly for _one, profile in profiles)
    if no_events.is_unlikely(sum(usual[:-1]) * weeks, weeks, yearly=yearly):
        yield Problem(
            Kind.NO_EVENTS, NO_EVENTS, None, {"since": _isoformat(since), "by": "all", "usual": round(sum(usual))}
        )


def _denials(snapshot: Snapshot) -> Iterator[Problem]:
    for client in snapshot.tenants:
        for denial in client.denied:
            context = {"side": denial.system, "code": denial.code, "since": _isoformat(denial.since)}
            yield Problem(Kind.ACCESS_DENIED, f"{denial.system}:{denial.code}"[:80], client.pk, context)


def _backlogs(snapshot: Snapshot) -> Iterator[Problem]:
    for pk, since in snapshot.overdue.items():
        if snapshot.now - since >= OVERDUE_AFTER:
            yield Problem(Kind.BACKLOG, OVERDUE, pk, {"since": _isoformat(since)})
    for row in snapshot.waiting:
        if snapshot.now - row.since >= AWAY_AFTER:
            yield Problem(Kind.BACKLOG, row.reason, row.tenant_id, {"since": _isoformat(row.since), "calls": row.count})


def _failure_rates(snapshot: Snapshot) -> Iterator[Problem]:
    for row in snapshot.failed:
        context = _share(row, snapshot)
        if context:
            yield Problem(Kind.FAILURE_RATE, row.reason, row.tenant_id, context)


def _share(row: Failed, snapshot: Snapshot) -> Context:
    totals = snapshot.call_totals.get(row.tenant_id)
    if totals is None:
        return {}
    if row.recent >= FAILED_RECENTLY and row.recent >= SHARE_RECENTLY * totals.recent:
        return {"failed": row.recent, "of": totals.recent, "hours": 2}
    if row.in_a_day >= FAILED_IN_A_DAY and row.in_a_day >= SHARE_IN_A_DAY * totals.in_a_day:
        return {"failed": row.in_a_day, "of": totals.in_a_day, "hours": 24}
    return {}


def _unexplained(snapshot: Snapshot) -> Iterator[Problem]:
    for row in snapshot.unexplained:
        context = {"calls": row.count, "first": row.first.isoformat(), "last": row.last.isoformat()}
        yield Problem(Kind.UNEXPLAINED, NOT_IN_REPORT, row.tenant_id, context)


def _dead_workers(snapshot: Snapshot) -> Iterator[Problem]:
    for queue, heartbeat_at in snapshot.queues_without_workers.items():
        yield Problem(Kind.WORKER, f"{NO_HEARTBEAT}:{queue}", None, {"queue": queue, "since": _isoformat(heartbeat_at)})


def _group_system_wide(problems: Iterable[Problem], *, live: int) -> Iterator[Problem]:
    """Turn a problem that many clients share into one system-wide problem."""
    groups: dict[tuple[Incident.Kind, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.kind, problem.reason].append(problem)
    for (kind, reason), group in groups.items():
        # Overdue work is never one client's own fault.
        share = 0.0 if reason == OVERDUE else MANY
        if len(group) >= SEVERAL and len(group) >= share * live:
            yield Problem(kind, reason, None, _merge_contexts(group) | {"clients": len(group), "live": live})


def _merge_contexts(group: Sequence[Problem]) -> Context:
    """Merge the contexts of several problems: the earliest time, and the sums of the counts."""
    since = [moment for problem in group if (moment := problem.context.get("since"))]
    counts = {
        name: sum(problem.context.get(name, 0) for problem in group) for name in COUNTS if name in group[0].context
    }
    return group[0].context | counts | ({"since": min(since)} if since else {})


def is_part_of(system_wide: Iterable[Key], key: Key) -> bool:
    """Return whether a client's problem is part of one of these system-wide ones."""
    tenant_id, kind, reason = key
    return tenant_id is not None and (None, kind, reason) in set(system_wide)


def is_explained_by(keys: Iterable[Key], key: Key) -> bool:
    """Return whether one of these problems explains this one, which then needs no notification."""
    tenant_id, kind, reason = key
    if kind == Kind.BACKLOG and reason == OVERDUE:
        return any(other == Kind.WORKER for _pk, other, _reason in keys)
    if kind == Kind.NO_EVENTS and tenant_id is not None:
        return any(pk == tenant_id and other == Kind.ACCESS_DENIED and _is_of_uis(of) for pk, other, of in keys)
    return False


def _is_of_uis(reason: str) -> bool:
    return reason.startswith("uis:")


def _isoformat(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
