"""The check after every fault: each call of UIS's report has exactly one outcome, and is in the CRM once."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.processes.installation import Installation
from tests.simulator.fixtures import USERS

REPORT_LAG_MINUTES = 6.0  # UIS's report is compared without its last five
TIMEOUT_SECONDS = 20.0
SWEEP_SECONDS = 4.0
# For what is queued, on a busy machine.
LONGEST_SECONDS = 120.0
DONE = {"UPLOADED", "SKIPPED"}
OUTCOMES = ("uploaded", "skipped", "waiting", "failed")


@dataclass
class Line:
    """The result of one fault."""

    fault: str
    variant: str
    calls: int = 0
    lost: int = 0
    duplicates: int = 0
    longest: timedelta = timedelta()
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # the rows of calls without an end, to find out why

    def __str__(self) -> str:
        seconds = self.longest.total_seconds()
        delay = f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
        return f"{self.fault:<66} {self.variant:<7} {self.calls:>6} {self.lost:>5} {self.duplicates:>7} {delay:>10}"


HEAD = f"{'fault':<66} {'on':<7} {'calls':>6} {'lost':>5} {'doubled':>7} {'longest':>10}"
LINES: list[Line] = []


def check(
    installation: Installation,
    fault: str,
    *,
    clients: Collection[int] | None = None,
    absent: Mapping[str, int] | None = None,
) -> Line:
    """Compare UIS's report with the CRM's history and with the connector's own statistics, and record the result.

    Checks all clients, or `clients`. `absent` says how many calls may have another outcome than “uploaded”.
    Raises AssertionError with all problems.
    """
    line, absent = Line(fault, installation.variant), dict(absent or {})
    accounts = _wait_for_outcomes(installation, clients, absent)
    busy = [account for account in accounts if account["sessions"]]
    for account in accounts:
        _compare(line, account)
    installation.turn_clock(minutes=REPORT_LAG_MINUTES)
    for account, counts in zip(busy, _reconcile(installation, busy), strict=True):
        _compare_reconciliation(line, account, counts, installation.ask("calls", account["client"]))
    _check_totals(line, absent)
    LINES.append(line)
    assert not line.problems, "\n".join([fault, *line.problems[:10], *line.waiting, *installation.ask("unfinished")])
    return line


def _accounts(installation: Installation, clients: Collection[int] | None) -> list[dict[str, Any]]:
    return [account for account in installation.vendors() if clients is None or account["client"] in clients]


def _wait_for_outcomes(
    installation: Installation, clients: Collection[int] | None, absent: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Wait for the last rows to be written: the CRM has a call before the connector has its answer.

    A call that found no free turn at UIS waits for the next sweep: every few seconds a minute passes, but none before
    the workers have taken everything that is queued.
    """
    accounts = _accounts(installation, clients)
    sessions = [[account["client"], [one["session"] for one in account["sessions"]]] for account in accounts]
    still_open = sum(absent.get(end, 0) for end in ("waiting", "failed"))
    began_at = idle_since = sweep_at = time.monotonic()
    while installation.ask("count_open", sessions) > still_open and time.monotonic() < idle_since + TIMEOUT_SECONDS:
        if installation.ask("count_queued") and time.monotonic() < began_at + LONGEST_SECONDS:
            idle_since = time.monotonic()
        elif time.monotonic() > sweep_at + SWEEP_SECONDS:
            installation.pass_time(minutes=1)
            sweep_at = time.monotonic()
        time.sleep(0.1)
    return _accounts(installation, clients)


def _compare(line: Line, account: Mapping[str, Any]) -> None:
    """Find calls in the CRM that UIS does not have, that are there twice, or that have the wrong owner."""
    sessions = {f"uis-{one['session']}": one for one in account["sessions"]}
    calls = account["calls"]
    counted = Counter(call["phone"] for call in calls) + Counter(call["externalId"] for call in calls)
    line.calls += len(sessions)
    line.lost += len(sessions.keys() - {call["externalId"] for call in calls})
    line.duplicates += sum(count > 1 for count in counted.values())
    for call in calls:
        session = sessions.get(call["externalId"])
        if session is None:
            line.problems.append(f"client {account['client']}: {call['externalId']} is not a call of UIS")
            continue
        line.longest = max(line.longest, _moment(call["at"]) - _moment(session["ended_at"]))
        if call["manager"] != manager_of(session):
            line.problems.append(f"{call['externalId']} belongs to user {call['manager']}, not {manager_of(session)}")


def manager_of(session: Mapping[str, Any]) -> int | None:
    """Return the expected owner: the employee who talked last, else the one whose phone rang last."""
    people = session["talked"] or session["rung"]
    return USERS.get(people[-1]) if people else None


def _reconcile(installation: Installation, busy: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    moments = [_moment(session["ended_at"]) for account in busy for session in account["sessions"]]
    if not moments:
        return []
    since, till = min(moments) - timedelta(hours=1), max(moments) + timedelta(minutes=REPORT_LAG_MINUTES)
    clients = [account["client"] for account in busy]
    counts: list[dict[str, Any]] = installation.ask("reconcile", clients, since.isoformat(), till.isoformat())
    return counts


def _compare_reconciliation(
    line: Line, account: Mapping[str, Any], counts: Mapping[str, Any], rows: Mapping[str, list[str]]
) -> None:
    """Compare the output of `reconcile_calls` with UIS's report and the CRM's history."""
    client, sessions = account["client"], [str(one["session"]) for one in account["sessions"]]
    line.outcomes += Counter({end: counts[end] for end in OUTCOMES})
    if (counts["uis_calls"], counts["unexplained"]) != (len(sessions), 0):
        line.problems.append(f"client {client}: {len(sessions)} calls in UIS, but the reconciliation counted {counts}")
    if sum(counts[end] for end in OUTCOMES) != len(sessions):
        line.problems.append(f"client {client}: not every call has one outcome: {counts}")
    if missing := [session for session in sessions if session not in rows]:
        line.problems.append(f"client {client}: no row for {missing}")
    if waiting := {session: rows[session] for session in sessions if rows.get(session, ["UPLOADED"])[0] not in DONE}:
        line.waiting.append(f"client {client}: {waiting}")
    in_crm = {call["externalId"] for call in account["calls"]}
    uploaded = {f"uis-{session}" for session in sessions if rows.get(session, [""])[0] == "UPLOADED"}
    if uploaded != in_crm & {f"uis-{session}" for session in sessions}:
        line.problems.append(f"client {client}: marked as uploaded or in the CRM, but not both: {uploaded ^ in_crm}")


def _check_totals(line: Line, absent: dict[str, int]) -> None:
    if (line.lost, line.duplicates) != (sum(absent.values()), 0):
        line.problems.append(f"{line.lost} lost, {line.duplicates} duplicates of {line.calls}")
    found = {end: count for end, count in line.outcomes.items() if count and end != "uploaded"}
    if found != {end: count for end, count in absent.items() if count}:
        line.problems.append(f"outcomes {dict(line.outcomes)}, expected apart from “uploaded”: {absent}")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
