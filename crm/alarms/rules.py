"""What is wrong, seen from the facts: troubles by kind, cause and client. Pure; the limits stand here."""

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
# So many calls, and such a part of all, of the last two hours; or of the last day, for those who have few.
FAILED_LATELY, SHARE_LATELY = 5, 0.1
FAILED_IN_A_DAY, SHARE_IN_A_DAY = 3, 0.2
# The same thing with so many clients, and half of all, is one of the whole.
SEVERAL, MANY = 3, 0.5

COUNTS = ("calls", "usual", "failed", "of")

Key = tuple[int | None, str, str]


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong, with one client or with the whole; `about` holds what its sentence names."""

    kind: Incident.Kind
    cause: str
    tenant_id: int | None = None
    about: About = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What tells it from every other trouble."""
        return self.tenant_id, self.kind, self.cause


def find(facts: Facts) -> list[Trouble]:
    """Return everything that is wrong, each key once."""
    of_clients = [
        *_silences(facts),
        *_denials(facts),
        *_late(facts),
        *_failing(facts),
        *_unexplained(facts),
    ]
    live = {client.pk for client in facts.clients}
    of_clients = [trouble for trouble in of_clients if trouble.tenant_id in live]
    found: dict[Key, Trouble] = {}
    for trouble in (*_dead(facts), *_silence_of_all(facts), *_of_many(of_clients, live=len(live)), *of_clients):
        found.setdefault(trouble.key, trouble)
    return list(found.values())


def silence_of(client: Client, *, now: datetime) -> About | None:
    """Return what makes a client's silence one, None where it is none: the one place that decides.

    What was a silence is one until an event comes, though its reasons fade: calls of the list grow old, habits change.
    """
    begun, lasts = _silence_begun(client, now=now), client.silence
    if begun is None and lasts is not None and lasts.get("since") == _said(client.heard_at):
        return dict(lasts)
    return begun


def _silence_begun(client: Client, *, now: datetime) -> About | None:
    since = max(client.heard_at or client.activated_at, client.activated_at)
    if now - since < silence.SHORTEST:
        return None
    about: About = {"since": _said(client.heard_at)}
    if client.untold >= silence.UNTOLD:
        return about | {"by": "list", "calls": client.untold}
    habit = client.habit
    if habit is None or client.heard_at is None:
        quiet_work = client.work.longest_in(max(since, now - silence.LONGEST), now, zone=client.zone)
        return about | {"by": "hours"} if quiet_work >= silence.OF_WORK else None
    heard = habit.heard_in(since, now, zone=client.zone)
    if silence.is_unlikely(heard, habit.weeks, yearly=habit.yearly):
        return about | {"by": "habit", "usual": round(heard / habit.weeks)}
    return None


def _silences(facts: Facts) -> Iterator[Trouble]:
    for client in facts.clients:
        about = silence_of(client, now=facts.now)
        if about is not None:
            yield Trouble(Kind.SILENCE, NO_EVENTS, client.pk, about)


def _silence_of_all(facts: Facts) -> Iterator[Trouble]:
    """Say that nobody is heard, where several should have been: it shows long before any one of them stands out."""
    since = facts.heard_at
    if since is None or facts.now - since < silence.SHORTEST_OF_ALL:
        return
    habits = [(client, client.habit) for client in facts.clients if client.habit]
    usual = sorted(habit.heard_in(since, facts.now, zone=one.zone) / habit.weeks for one, habit in habits)
    if sum(count > 0 for count in usual) < silence.SEVERAL:
        return
    # Without the busiest: his silence is his own.
    weeks = min(habit.weeks for _one, habit in habits)
    yearly = sum(habit.yearly for _one, habit in habits)
    if silence.is_unlikely(sum(usual[:-1]) * weeks, weeks, yearly=yearly):
        yield Trouble(Kind.SILENCE, NO_EVENTS, None, {"since": _said(since), "by": "all", "usual": round(sum(usual))})


def _denials(facts: Facts) -> Iterator[Trouble]:
    for client in facts.clients:
        for door in client.denied:
            about = {"side": door.side, "code": door.code, "since": _said(door.since)}
            yield Trouble(Kind.KEY, f"{door.side}:{door.code}"[:80], client.pk, about)


def _late(facts: Facts) -> Iterator[Trouble]:
    for pk, since in facts.overdue.items():
        if facts.now - since >= OVERDUE_AFTER:
            yield Trouble(Kind.BACKLOG, OVERDUE, pk, {"since": _said(since)})
    for row in facts.waiting:
        if facts.now - row.since >= AWAY_AFTER:
            yield Trouble(Kind.BACKLOG, row.cause, row.tenant_id, {"since": _said(row.since), "calls": row.count})


def _failing(facts: Facts) -> Iterator[Trouble]:
    for row in facts.failed:
        about = _share(row, facts)
        if about:
            yield Trouble(Kind.SHARE_FAILED, row.cause, row.tenant_id, about)


def _share(row: Failed, facts: Facts) -> About:
    begun = facts.begun.get(row.tenant_id)
    if begun is None:
        return {}
    if row.lately >= FAILED_LATELY and row.lately >= SHARE_LATELY * begun.lately:
        return {"failed": row.lately, "of": begun.lately, "hours": 2}
    if row.in_a_day >= FAILED_IN_A_DAY and row.in_a_day >= SHARE_IN_A_DAY * begun.in_a_day:
        return {"failed": row.in_a_day, "of": begun.in_a_day, "hours": 24}
    return {}


def _unexplained(facts: Facts) -> Iterator[Trouble]:
    for row in facts.unexplained:
        about = {"calls": row.count, "first": row.first.isoformat(), "last": row.last.isoformat()}
        yield Trouble(Kind.UNEXPLAINED, NOT_IN_LEDGER, row.tenant_id, about)


def _dead(facts: Facts) -> Iterator[Trouble]:
    for queue, beat in facts.unserved.items():
        yield Trouble(Kind.WORKER, f"{NO_BEAT}:{queue}", None, {"queue": queue, "since": _said(beat)})


def _of_many(troubles: Iterable[Trouble], *, live: int) -> Iterator[Trouble]:
    """Say of what many clients have that it is one thing, and no fault of theirs."""
    having: dict[tuple[Incident.Kind, str], list[Trouble]] = defaultdict(list)
    for trouble in troubles:
        having[trouble.kind, trouble.cause].append(trouble)
    for (kind, cause), alike in having.items():
        # Work that nobody takes is never one client's own fault.
        part = 0.0 if cause == OVERDUE else MANY
        if len(alike) >= SEVERAL and len(alike) >= part * live:
            yield Trouble(kind, cause, None, _together(alike) | {"clients": len(alike), "live": live})


def _together(alike: Sequence[Trouble]) -> About:
    """Return the figures of many: the earliest moment, and counts added up."""
    since = [moment for trouble in alike if (moment := trouble.about.get("since"))]
    counts = {name: sum(trouble.about.get(name, 0) for trouble in alike) for name in COUNTS if name in alike[0].about}
    return alike[0].about | counts | ({"since": min(since)} if since else {})


def is_part_of(wholes: Iterable[Key], key: Key) -> bool:
    """Say whether a client's trouble belongs to one of these of the whole."""
    tenant_id, kind, cause = key
    return tenant_id is not None and (None, kind, cause) in set(wholes)


def explains(there: Iterable[Key], key: Key) -> bool:
    """Say whether another trouble that is there is the reason of this one, which then need not be told of."""
    tenant_id, kind, cause = key
    if kind == Kind.BACKLOG and cause == OVERDUE:
        return any(other == Kind.WORKER for _pk, other, _cause in there)
    if kind == Kind.SILENCE and tenant_id is not None:
        return any(pk == tenant_id and other == Kind.KEY and _is_of_uis(of) for pk, other, of in there)
    return False


def _is_of_uis(cause: str) -> bool:
    return cause.startswith("uis:")


def _said(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
