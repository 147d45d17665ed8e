"""The one check after every fault: each call of UIS's list has come to one end, and to the CRM once."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.processes.installation import Plant
from tests.simulator.fixtures import USERS

SETTLED_MINUTES = 6.0  # UIS's list is compared without its last five
PATIENCE_SECONDS = 20.0
ENDS = ("uploaded", "skipped", "waiting", "failed")


@dataclass
class Line:
    """What a fault came to."""

    fault: str
    variant: str
    calls: int = 0
    lost: int = 0
    doubled: int = 0
    longest: timedelta = timedelta()
    ends: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        seconds = self.longest.total_seconds()
        delay = f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
        return f"{self.fault:<66} {self.variant:<7} {self.calls:>6} {self.lost:>5} {self.doubled:>7} {delay:>10}"


HEAD = f"{'fault':<66} {'on':<7} {'calls':>6} {'lost':>5} {'doubled':>7} {'longest':>10}"
LINES: list[Line] = []


def check(
    plant: Plant, fault: str, *, clients: Collection[int] | None = None, absent: Mapping[str, int] | None = None
) -> Line:
    """Compare UIS's list with the CRM's history and with the connector's own account, and note what it came to.

    It looks at all clients, or at some. `absent` says how many calls may have come to another end than “uploaded”.
    Raises AssertionError with all that is wrong.
    """
    line, absent = Line(fault, plant.variant), dict(absent or {})
    accounts = _await_ends(plant, clients, absent)
    busy = [account for account in accounts if account["sessions"]]
    for account in accounts:
        _compare(line, account)
    plant.turn_clock(minutes=SETTLED_MINUTES)
    for account, said in zip(busy, _reconciled(plant, busy), strict=True):
        _explained(line, account, said, plant.ask("calls", account["client"]))
    _settle(line, absent)
    LINES.append(line)
    assert not line.problems, f"{fault}: {'; '.join(line.problems[:10])}"
    return line


def _accounts(plant: Plant, clients: Collection[int] | None) -> list[dict[str, Any]]:
    return [account for account in plant.vendors() if clients is None or account["client"] in clients]


def _await_ends(plant: Plant, clients: Collection[int] | None, absent: Mapping[str, int]) -> list[dict[str, Any]]:
    """Wait for the last rows to be written: the CRM has a call before the connector has its answer."""
    accounts = _accounts(plant, clients)
    sessions = [[account["client"], [one["session"] for one in account["sessions"]]] for account in accounts]
    still_open = sum(absent.get(end, 0) for end in ("waiting", "failed"))
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while plant.ask("count_open", sessions) > still_open and time.monotonic() < ends_at:
        time.sleep(0.1)
    return _accounts(plant, clients)


def _compare(line: Line, account: Mapping[str, Any]) -> None:
    """Look for calls in the CRM that are of somebody else, there twice, or somebody else's."""
    sessions = {f"uis-{one['session']}": one for one in account["sessions"]}
    calls = account["calls"]
    counted = Counter(call["phone"] for call in calls) + Counter(call["externalId"] for call in calls)
    line.calls += len(sessions)
    line.lost += len(sessions.keys() - {call["externalId"] for call in calls})
    line.doubled += sum(count > 1 for count in counted.values())
    for call in calls:
        session = sessions.get(call["externalId"])
        if session is None:
            line.problems.append(f"client {account['client']}: {call['externalId']} is nobody's call")
            continue
        line.longest = max(line.longest, _moment(call["at"]) - _moment(session["ended_at"]))
        if call["manager"] != manager_of(session):
            line.problems.append(f"{call['externalId']} is user {call['manager']}'s, not {manager_of(session)}'s")


def manager_of(session: Mapping[str, Any]) -> int | None:
    """Return whose call it is: who talked last, else whose phone rang last."""
    people = session["talked"] or session["rung"]
    return USERS.get(people[-1]) if people else None


def _reconciled(plant: Plant, busy: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    moments = [_moment(session["ended_at"]) for account in busy for session in account["sessions"]]
    if not moments:
        return []
    since, till = min(moments) - timedelta(hours=1), max(moments) + timedelta(minutes=SETTLED_MINUTES)
    clients = [account["client"] for account in busy]
    said: list[dict[str, Any]] = plant.ask("reconcile", clients, since.isoformat(), till.isoformat())
    return said


def _explained(line: Line, account: Mapping[str, Any], said: Mapping[str, Any], rows: Mapping[str, list[str]]) -> None:
    """Hold what `reconcile_calls` prints against UIS's list and the CRM's history."""
    client, sessions = account["client"], [str(one["session"]) for one in account["sessions"]]
    line.ends += Counter({end: said[end] for end in ENDS})
    if (said["uis_calls"], said["unexplained"]) != (len(sessions), 0):
        line.problems.append(f"client {client}: {len(sessions)} calls in UIS, and the ledger says {said}")
    if sum(said[end] for end in ENDS) != len(sessions):
        line.problems.append(f"client {client}: not every call has one end: {said}")
    if without := [session for session in sessions if session not in rows]:
        line.problems.append(f"client {client}: no row of {without}")
    in_crm = {call["externalId"] for call in account["calls"]}
    told = {f"uis-{session}" for session in sessions if rows.get(session, [""])[0] == "UPLOADED"}
    if told != in_crm & {f"uis-{session}" for session in sessions}:
        line.problems.append(f"client {client}: uploaded, but not in the CRM, or the other way round: {told ^ in_crm}")


def _settle(line: Line, absent: dict[str, int]) -> None:
    if (line.lost, line.doubled) != (sum(absent.values()), 0):
        line.problems.append(f"{line.lost} lost, {line.doubled} doubled of {line.calls}")
    found = {end: count for end, count in line.ends.items() if count and end != "uploaded"}
    if found != {end: count for end, count in absent.items() if count}:
        line.problems.append(f"ends {dict(line.ends)}, beside “uploaded” there were to be {absent}")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def as_table(lines: Iterable[Line]) -> list[str]:
    """Return the lines as a table."""
    return [HEAD, *map(str, lines)]
