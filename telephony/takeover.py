"""Imports past calls on request: a preview that writes and sends nothing, then the period in chunks."""

import functools
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction

from connector_project import phones, remote
from connector_project.queue import enqueue
from telephony import actions, days, reconcile, route
from telephony.models import Call, Cause, Takeover
from telephony.reconcile import Compared
from tenants import journal
from tenants.models import Change, Tenant

LONGEST = timedelta(days=366)
PAUSE_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 300.0  # each attempt also probes the access
TRIES = 5  # a chunk that crashes its worker does so every time: the import fails

State, Verb = Takeover.State, Change.Verb


@transaction.atomic
def look(tenant: Tenant, *, first: date, last: date, by: User | AnonymousUser, now: datetime) -> bool:
    """Start the preview of an import of these days, both included; return False if another one is in progress.

    A finished preview that was not started is replaced.
    """
    Tenant.objects.select_for_update().get(pk=tenant.pk)  # A concurrent request waits here and then finds this one.
    before = Takeover.objects.open().filter(tenant=tenant).first()
    if before is not None and not (before.state == State.LOOKED and cancel(before.pk, by=by, now=now)):
        return False
    since, end = (days.begin(day, zone=tenant.zone) for day in (first, last + days.DAY))
    row = Takeover(tenant=tenant, since=since, till=max(since, min(end, now - reconcile.SETTLED)), asked_at=now)
    row.asked_by = by if isinstance(by, User) else None
    _begin(row, State.LOOKING, now=now)
    return True


@transaction.atomic
def look_again(pk: int, *, now: datetime) -> bool:
    """Preview the same period with the current rules and upload window; return whether that was possible."""
    row = _locked(pk)
    if row.state != State.LOOKED:
        return False
    _begin(row, State.LOOKING, now=now)
    return True


@transaction.atomic
def take(pk: int, *, by: User | AnonymousUser, now: datetime) -> bool:
    """Start the previewed import; return whether that was possible."""
    row = _locked(pk)
    if row.state != State.LOOKED:
        return False
    row.foreseen, row.asked_by = row.found, by if isinstance(by, User) else None
    _begin(row, State.RUNNING, now=now)
    _note(row, Verb.TAKE_OVER, by=by, new=row.foreseen, now=now)
    return True


@transaction.atomic
def try_again(pk: int, *, now: datetime) -> bool:
    """Resume a failed import where it stopped; return whether that was possible."""
    row = _locked(pk)
    if row.stopped_at is None:
        return False
    row.go_on(now=now)
    row.save()
    enqueue(route.TAKE_OVER)
    return True


@transaction.atomic
def cancel(pk: int, *, by: User | AnonymousUser, now: datetime) -> bool:
    """Cancel an import, keeping what was imported; return whether it was open."""
    row = _locked(pk)
    if row.state not in Takeover.OPEN:
        return False
    if row.state == State.RUNNING:
        _note(row, Verb.TAKE_ENDED, by=by, new=row.found, now=now)
    row.end(State.CANCELLED, now=now)
    row.save()
    return True


def step(*, now: datetime) -> None:
    """Run a chunk of the import that is due first, and enqueue the next chunk of whichever is due then."""
    row = Takeover.objects.claim(now=now)
    if row is None:
        return
    if row.attempts > TRIES:
        return _finish(row, lambda fresh: fresh.stop(Cause.OUR_FAULT, now=now), now=now)
    uis = row.tenant.uis
    if uis.keeps_out(is_live=False, now=now):
        return _finish(row, lambda fresh: fresh.wait_until(uis.retry_at or now, Cause.UIS_UNAVAILABLE), now=now)
    try:
        compared = reconcile.go_on(row, now=now)
    except remote.RemoteError as exc:
        _handle_error(row, exc, now=now)
    else:
        uis.allow()
        _finish(row, functools.partial(_advance, now=now), compared=compared, now=now)


@transaction.atomic
def resume_due(*, now: datetime) -> None:
    """Enqueue a task if an import is due: its worker died, its push was lost, or its wait is over."""
    if Takeover.objects.due(now=now).exists():
        enqueue(route.TAKE_OVER)


def _begin(row: Takeover, state: Takeover.State, *, now: datetime) -> None:
    row.begin(state, now=now)
    row.save()
    enqueue(route.TAKE_OVER)


def _handle_error(row: Takeover, exc: remote.RemoteError, *, now: datetime) -> None:
    """Postpone or fail a chunk after a UIS error."""
    if isinstance(exc, remote.AccessDenied) and actions.shuts_the_connection(exc):
        row.tenant.uis.deny(exc.code, str(exc), now=now)
    error = {"code": exc.code, "says": str(exc)}

    def apply(fresh: Takeover) -> None:
        match exc:
            case remote.RemoteUnavailable():
                earliest = now + timedelta(seconds=exc.wait or PAUSE_SECONDS)
                fresh.wait_until(max(earliest, row.tenant.uis.retry_at or earliest), Cause.UIS_UNAVAILABLE, **error)
            case remote.AccessDenied():
                fresh.wait_until(now + timedelta(seconds=DENIED_PAUSE_SECONDS), Cause.UIS_DENIED, **error)
            case remote.UnexpectedReply():
                fresh.stop(Cause.UNEXPECTED_REPLY, **error, now=now)
            case _:
                fresh.stop(Cause.UIS_REFUSED, **error, now=now)

    _finish(row, apply, now=now)


def _add(row: Takeover, compared: Compared, *, now: datetime) -> None:
    row.uis_calls += compared.tally.uis_calls
    row.unexplained += compared.tally.unexplained
    row.found += compared.found
    row.skipped_by = dict(Counter(row.skipped_by) + compared.skipped)
    row.sample = _sample([*row.sample, *(_sample_row(call) for call in compared.sample)])
    row.missing = compared.missing[days.day_of(compared.till, zone=row.tenant.zone)]
    row.compared_until, row.moved_at = compared.till, now


def _advance(row: Takeover, *, now: datetime) -> None:
    """Continue with the next chunk, or finish."""
    row.go_on(now=now)
    if row.compared_until < row.till:
        return
    row.end(State.LOOKED if row.state == State.LOOKING else State.DONE, now=now)
    if row.state == State.DONE:
        _note(row, Verb.TAKEN_OVER, by=row.asked_by, new=row.found, now=now)


@transaction.atomic
def _finish(
    row: Takeover, apply: Callable[[Takeover], None], *, compared: Compared | None = None, now: datetime
) -> None:
    """Save the result of a chunk, unless another worker has claimed the import; enqueue the next one."""
    claimed = Takeover.objects.filter(pk=row.pk, claim_token=row.claim_token)
    fresh = claimed.select_for_update(of=("self",)).select_related("tenant", "asked_by").first()
    if fresh is not None:
        if compared is not None:
            _add(fresh, compared, now=now)
        if fresh.state in Takeover.OPEN:  # If it was cancelled meanwhile, the chunk is only counted.
            apply(fresh)
        fresh.claim_token = None
        fresh.save()
    resume_due(now=now)


def _locked(pk: int) -> Takeover:
    return Takeover.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=pk)


def _note(row: Takeover, verb: Change.Verb, *, by: Any, new: int, now: datetime) -> None:
    """Write to the audit log who imports which days, and how many calls."""
    period = f"{row.first_day.isoformat()} – {row.last_day.isoformat()}"
    journal.note(row.tenant, verb, now=now, by=by, part=period, new=new)


def _sample_row(call: Call) -> dict[str, str]:
    return {
        "at": call.started_at.isoformat(),
        "direction": call.direction,
        "contact": phones.masked(call.contact),
        "kept_back_by": call.kept_back_by,
    }


def _sample(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """Choose a sample ordered by time, preferring calls that go to the CRM."""
    chosen = sorted(lines, key=lambda line: bool(line["kept_back_by"]))[: reconcile.SAMPLE]
    return sorted(chosen, key=lambda line: datetime.fromisoformat(line["at"]))
