"""The alert rules and their thresholds: problems by kind, reason and client, found in a snapshot. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crm.alarms import silence
from crm.alarms.facts import Client, Facts, Failed
from crm.models import Incident

Kind = Incident.Kind
About = dict[str, Any]

NO_EVENTS, OVERDUE, NO_BEAT, NOT_IN_LEDGER = "NO_EVENTS", "OVERDUE", "NO_BEAT", "NOT_IN_LEDGER"
OVERDUE_AFTER, AWAY_AFTER = timedelta(minutes=15), timedelta(minutes=30)
# Minimum failed calls and their share in the last two hours; or in the last day, for clients with few calls.
FAILED_LATELY, SHARE_LATELY = 5, 0.1
FAILED_IN_A_DAY, SHARE_IN_A_DAY = 3, 0.2
# A problem of this many clients, and of this share of all, is system-wide.
SEVERAL, MANY = 3, 0.5

COUNTS = ("calls", "usual", "failed", "of")

Key = tuple[int | None, str, str]


@dataclass(frozen=True)
class Trouble:
    """A problem of one client or of the whole service; `about` holds the parameters of its message."""

    kind: Incident.Kind
    cause: str
    tenant_id: int | None = None
    about: About = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.tenant_id, self.kind, self.cause


def find(facts: Facts) -> list[Trouble]:
    """Return all problems, each key once."""
    of_clients = [
        *_no_events(facts),
        *_denials(facts),
        *_backlogs(facts),
        *_failure_rates(facts),
        *_unexplained(facts),
    ]
    live = {client.pk for client in facts.clients}
    of_clients = [problem for problem in of_clients if problem.tenant_id in live]
    found: dict[Key, Trouble] = {}
    for problem in (*_dead(facts), *_no_events_at_all(facts), *_of_many(of_clients, live=len(live)), *of_clients):
        found.setdefault(problem.key, problem)
    return list(found.values())


def silence_of(client: Client, *, now: datetime) -> About | None:
    """Return the context of a client's "no events" problem, or None. The only place that decides it.

    Once found, it lasts until an event comes, although its evidence may expire: reported calls age, profiles change.
    """
    context, previous = _no_events_context(client, now=now), client.silence
    if context is None and previous is not None and previous.get("since") == _isoformat(client.heard_at):
        return dict(previous)
    return context


def _no_events_context(client: Client, *, now: datetime) -> About | None:
    since = max(client.heard_at or client.activated_at, client.activated_at)
    if now - since < silence.SHORTEST:
        return None
    about: About = {"since": _isoformat(client.heard_at)}
    if client.untold >= silence.UNTOLD:
        return about | {"by": "list", "calls": client.untold}
    habit = client.habit
    if habit is None or client.heard_at is None:
        silent_hours = client.work.longest_in(max(since, now - silence.LONGEST), now, zone=client.zone)
        return about | {"by": "hours"} if silent_hours >= silence.OF_WORK else None
    expected = habit.heard_in(since, now, zone=client.zone)
    if silence.is_unlikely(expected, habit.weeks, yearly=habit.yearly):
        return about | {"by": "habit", "usual": round(expected / habit.weeks)}
    return None


def _no_events(facts: Facts) -> Iterator[Trouble]:
    for client in facts.clients:
        about = silence_of(client, now=facts.now)
        if about is not None:
            yield Trouble(Kind.SILENCE, NO_EVENTS, client.pk, about)


def _no_events_at_all(facts: Facts) -> Iterator[Trouble]:
    """Find missing events of all clients together, long before any single client stands out."""
    since = facts.heard_at
    if since is None or facts.now - since < silence.SHORTEST_OF_ALL:
        return
    profiles = [(client, client.habit) for client in facts.clients if client.habit]
    usual = sorted(profile.heard_in(since, facts.now, zone=one.zone) / profile.weeks for one, profile in profiles)
    if sum(count > 0 for count in usual) < silence.SEVERAL:
        return
    # Without the busiest client, whose missing events may be their own problem.
    weeks = min(profile.weeks for _one, profile in profiles)
    yearly = sum(profile.yearly for _one, profile in profiles)
    if silence.is_unlikely(sum(usual[:-1]) * weeks, weeks, yearly=yearly):
        yield Trouble(
            Kind.SILENCE, NO_EVENTS, None, {"since": _isoformat(since), "by": "all", "usual": round(sum(usual))}
        )


def _denials(facts: Facts) -> Iterator[Trouble]:
    for client in facts.clients:
        for denial in client.denied:
            about = {"side": denial.side, "code": denial.code, "since": _isoformat(denial.since)}
            yield Trouble(Kind.KEY, f"{denial.side}:{denial.code}"[:80], client.pk, about)


def _backlogs(facts: Facts) -> Iterator[Trouble]:
    for pk, since in facts.overdue.items():
        if facts.now - since >= OVERDUE_AFTER:
            yield Trouble(Kind.BACKLOG, OVERDUE, pk, {"since": _isoformat(since)})
    for row in facts.waiting:
        if facts.now - row.since >= AWAY_AFTER:
            yield Trouble(Kind.BACKLOG, row.cause, row.tenant_id, {"since": _isoformat(row.since), "calls": row.count})


def _failure_rates(facts: Facts) -> Iterator[Trouble]:
    for row in facts.failed:
        about = _share(row, facts)
        if about:
            yield Trouble(Kind.SHARE_FAILED, row.cause, row.tenant_id, about)


def _share(row: Failed, facts: Facts) -> About:
    totals = facts.begun.get(row.tenant_id)
    if totals is None:
        return {}
    if row.lately >= FAILED_LATELY and row.lately >= SHARE_LATELY * totals.lately:
        return {"failed": row.lately, "of": totals.lately, "hours": 2}
    if row.in_a_day >= FAILED_IN_A_DAY and row.in_a_day >= SHARE_IN_A_DAY * totals.in_a_day:
        return {"failed": row.in_a_day, "of": totals.in_a_day, "hours": 24}
    return {}


def _unexplained(facts: Facts) -> Iterator[Trouble]:
    for row in facts.unexplained:
        about = {"calls": row.count, "first": row.first.isoformat(), "last": row.last.isoformat()}
        yield Trouble(Kind.UNEXPLAINED, NOT_IN_LEDGER, row.tenant_id, about)


def _dead(facts: Facts) -> Iterator[Trouble]:
    for queue, heartbeat_at in facts.unserved.items():
        yield Trouble(Kind.WORKER, f"{NO_BEAT}:{queue}", None, {"queue": queue, "since": _isoformat(heartbeat_at)})


def _of_many(problems: Iterable[Trouble], *, live: int) -> Iterator[Trouble]:
    """Turn a problem that many clients share into one system-wide problem."""
    groups: dict[tuple[Incident.Kind, str], list[Trouble]] = defaultdict(list)
    for problem in problems:
        groups[problem.kind, problem.cause].append(problem)
    for (kind, cause), group in groups.items():
        # Overdue work is never one client's own fault.
        share = 0.0 if cause == OVERDUE else MANY
        if len(group) >= SEVERAL and len(group) >= share * live:
            yield Trouble(kind, cause, None, _merge_contexts(group) | {"clients": len(group), "live": live})


def _merge_contexts(group: Sequence[Trouble]) -> About:
    """Merge the contexts of several problems: the earliest time, and the sums of the counts."""
    since = [moment for problem in group if (moment := problem.about.get("since"))]
    counts = {name: sum(problem.about.get(name, 0) for problem in group) for name in COUNTS if name in group[0].about}
    return group[0].about | counts | ({"since": min(since)} if since else {})


def is_part_of(system_wide: Iterable[Key], key: Key) -> bool:
    """Return whether a client's problem is part of one of these system-wide ones."""
    tenant_id, kind, cause = key
    return tenant_id is not None and (None, kind, cause) in set(system_wide)


def explains(keys: Iterable[Key], key: Key) -> bool:
    """Return whether one of these problems explains this one, which then needs no notification."""
    tenant_id, kind, cause = key
    if kind == Kind.BACKLOG and cause == OVERDUE:
        return any(other == Kind.WORKER for _pk, other, _cause in keys)
    if kind == Kind.SILENCE and tenant_id is not None:
        return any(pk == tenant_id and other == Kind.KEY and _is_of_uis(of) for pk, other, of in keys)
    return False


def _is_of_uis(cause: str) -> bool:
    return cause.startswith("uis:")


def _isoformat(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
