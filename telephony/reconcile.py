"""Calls that no webhook told us about: UIS's own list against ours."""

import itertools
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count

from telephony import calls, clients, days, facts, ledger
from telephony.facts import Staff
from telephony.ledger import Tally
from telephony.models import Call, Step, Takeover
from telephony.uis import windows
from telephony.uis.client import UisClient
from telephony.uis.types import FinishedCall
from tenants.models import Tenant

BACK = calls.LIVE_FOR
SETTLED = timedelta(minutes=5)  # younger calls are still being told of
NIGHT = timedelta(hours=3)  # a day is compared as a whole when so much of the next one is over
CHUNK = 500
SAMPLE = 5
# A long period is compared in parts of so many calls, just under a page of UIS's list: what is read beyond them, to see
# where a second ends, costs no page more.
A_PART = 900

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Compared:
    """What UIS lists of a period, and what was found that nobody had told us of."""

    till: datetime  # what began before this moment is compared
    tally: Tally = field(default_factory=Tally)
    found: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # those of them that a rule keeps back, by the rule
    sample: list[Call] = field(default_factory=list)
    missing: Counter[date] = field(default_factory=Counter)  # by day: listed calls without a row of ours

    def show(self, call: Call) -> None:
        """Put a call into the sample while there is room; one that goes to the CRM drives out one that does not."""
        kept_back = next((one for one in self.sample if one.kept_back_by), None)
        if len(self.sample) >= SAMPLE and kept_back is not None and not call.kept_back_by:
            self.sample.remove(kept_back)
        if len(self.sample) < SAMPLE:
            self.sample.append(call)


def find_missed(reported: Iterable[FinishedCall], known: Iterable[int]) -> list[FinishedCall]:
    """Return the calls whose session is not among the known ones."""
    seen = set(known)
    return [call for call in reported if call.session_id not in seen]


def recent(tenant: Tenant, *, now: datetime) -> Compared:
    """Compare the last three hours. Raises the errors of connector_project.remote."""
    return reconcile(tenant, since=now - BACK, till=now, now=now)


def reconcile(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    now: datetime,
    client: UisClient | None = None,
    settled: Collection[date] | None = None,
    is_dry_run: bool = False,
) -> Compared:
    """Record the calls that began in a period and that we do not know; say how all of them stand.

    They take the same way as those a webhook told of, but never pop up. A dry run writes nothing and says what would
    be. Raises the errors of connector_project.remote; what was found until then stays.
    """
    compared = _compare_all(
        tenant, since=since, till=min(till, now - SETTLED), client=client, is_dry_run=is_dry_run, now=now
    )
    if not is_dry_run:
        whole = settled if settled is not None else days.whole(since, min(till, now - NIGHT), zone=tenant.zone)
        ledger.count(tenant, missing=compared.missing, settled=whole, now=now)
    return compared


def go_on(row: Takeover, *, now: datetime) -> Compared:
    """Compare the next part of a period that a person takes over, or looks at: what one task has time for.

    A part that was begun before, by a worker that was killed, is counted as if it had not been. Raises the errors of
    connector_project.remote.
    """
    tenant, since, is_dry_run = row.tenant, row.compared_until, row.state == Takeover.State.LOOKING
    compared = _compare_all(
        tenant,
        since=since,
        till=min(row.till, since + windows.LONGEST),
        at_most=A_PART,
        found_since=row.moved_at,
        is_dry_run=is_dry_run,
        now=now,
    )
    if not is_dry_run:
        day = days.day_of(since, zone=tenant.zone)
        compared.missing[day] += row.missing
        began_at = max(row.since, days.begin(day, zone=tenant.zone))  # the parts before saw the rest of that day
        whole = days.whole(began_at, min(compared.till, now - NIGHT), zone=tenant.zone)
        ledger.count(tenant, missing=compared.missing, settled=whole, now=now)
    return compared


def _compare_all(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    now: datetime,
    client: UisClient | None = None,
    is_dry_run: bool,
    at_most: int | None = None,
    found_since: datetime | None = None,
) -> Compared:
    """Compare UIS's list, or the begin of it; a call that began at the very end belongs to the next period."""
    client = client or clients.uis_client(tenant.uis)
    compared, unread = Compared(till=till), client.unread
    listed = client.calls(since=since, till=till) if since < till else iter(())
    if at_most is not None:
        part, cut = whole_seconds(listed, at_most=at_most)
        listed, compared.till = iter(part), cut or till
    for some in _chunks(listed):
        settled = [said for said in some if _is_settled(said, now=now) and (said.started_at or now) < compared.till]
        _compare(tenant, settled, compared, found_since=found_since or now, is_dry_run=is_dry_run, now=now)
    if lost := client.unread - unread:  # Listed, but not as documented: nobody can say which calls these are.
        compared.tally += Tally(uis_calls=lost, unexplained=lost)
        compared.missing[days.day_of(compared.till, zone=tenant.zone)] += lost
    return compared


def whole_seconds(listed: Iterable[FinishedCall], *, at_most: int) -> tuple[list[FinishedCall], datetime | None]:
    """Take calls off a sorted list until there are so many, and all that began in the same second as the last of them.

    Return them, and the moment the next one began; None where there is no next one.
    """
    taken: list[FinishedCall] = []
    for began_at, of_second in itertools.groupby(listed, key=lambda said: said.started_at):
        if len(taken) >= at_most:
            return taken, began_at
        taken += of_second
    return taken, None


def _compare(
    tenant: Tenant,
    listed: list[FinishedCall],
    compared: Compared,
    *,
    found_since: datetime,
    is_dry_run: bool,
    now: datetime,
) -> None:
    """Compare a part of the list, and record what is missing in one go."""
    sessions = {said.session_id: said for said in listed}
    found = find_missed(listed, _known(tenant, sessions, now=now))
    if is_dry_run:
        return _foresee(tenant, sessions, found, compared, now=now)
    staff = Staff.of(tenant)
    for said in found:
        call = _record(tenant, said, staff=staff, now=now)
        if call is not None:
            compared.show(call)
    ledger.mark(tenant, listed)
    if found:
        calls.resume_due(tenant, now=now)
    _count_found(tenant, sessions, compared, since=found_since)
    compared.tally += ledger.tally(tenant, sessions)
    rows = set(Call.objects.filter(tenant=tenant, session_id__in=sessions).values_list("session_id", flat=True))
    for said in listed:
        compared.missing[ledger.listed_day(said, zone=tenant.zone)] += said.session_id not in rows


def _foresee(
    tenant: Tenant, sessions: Collection[int], found: list[FinishedCall], compared: Compared, *, now: datetime
) -> None:
    """Count what would be: the calls we do not know as what they would become."""
    unknown = {said.session_id for said in found}
    compared.tally += ledger.tally(tenant, set(sessions) - unknown)
    compared.found += len(found)
    heard, staff = facts.heard_of(tenant, unknown), Staff.of(tenant)
    for said in found:
        call = calls.foresee(tenant, said, heard=heard[said.session_id], staff=staff, now=now)
        is_skipped = call.state == Call.State.SKIPPED
        compared.tally += Tally(uis_calls=1, recovered=1, skipped=is_skipped, waiting=not is_skipped)
        compared.skipped.update([call.kept_back_by] if is_skipped else [])
        compared.show(call)


def _count_found(tenant: Tenant, sessions: Collection[int], compared: Compared, *, since: datetime) -> None:
    """Count what was found by the rows: a worker that was killed in the middle has told nobody how far it came."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=sessions, history__step=Step.RECONCILE)
    new = (
        rows.filter(history__at__gte=since).order_by().values_list("kept_back_by").annotate(Count("pk", distinct=True))
    )
    counts = dict(new)
    compared.found += sum(counts.values())
    compared.skipped.update({rule: count for rule, count in counts.items() if rule})


def _known(tenant: Tenant, sessions: Collection[int], *, now: datetime) -> list[int]:
    """Return the sessions that need nothing: all that have a row, but those within a term that was lengthened."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=sessions).select_related("tenant")
    plain = rows.only("session_id", "kept_back_by", "started_at", "tenant")
    return [call.session_id for call in plain if not calls.is_within_term_again(call, now=now)]


def _record(tenant: Tenant, said: FinishedCall, *, staff: Staff, now: datetime) -> Call | None:
    try:
        with transaction.atomic():
            return calls.record(tenant, said, staff=staff, now=now)
    except IntegrityError:
        return None  # A webhook told of it at this very moment: it is recorded, which is all that was wanted.
    except Exception:
        # It stays unexplained, for everybody to see; the others must not wait for it.
        logger.exception("tenant=%s call=%s could not be recorded", tenant.slug, said.session_id)
        return None


def _is_settled(said: FinishedCall, *, now: datetime) -> bool:
    return said.happened_at is None or said.happened_at <= now - SETTLED


def _chunks(listed: Iterator[FinishedCall]) -> Iterator[list[FinishedCall]]:
    while some := list(itertools.islice(listed, CHUNK)):
        yield some
