"""Compares UIS's call report with our rows, and creates the calls that no webhook reported."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db import IntegrityError
from django.db.models import Count

from connector_project.core import local_dates, logging
from connector_project.core.transactions import atomic
from telephony import client_factory
from telephony.calls import pipeline, steps
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, Step
from telephony.reconciliation import stats
from telephony.reconciliation.stats import ReconciliationStats
from telephony.uis.client import UisClient
from telephony.uis.types import EndedEvent
from tenants.models import Tenant

RECENT_WINDOW = pipeline.LOW_PRIORITY_AFTER
REPORT_LAG = timedelta(minutes=5)  # events of younger calls may still arrive
NIGHT = timedelta(hours=3)  # a day is compared as a whole once this much of the next one has passed
CHUNK = 500
SAMPLE = 5

logger = logging.logger(__name__)


@dataclass(kw_only=True)
class ComparisonResult:
    """The result of comparing a period."""

    till: datetime  # calls that began before this are compared
    stats: ReconciliationStats = field(default_factory=ReconciliationStats)
    found: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # of the found ones, by skip reason
    sample: list[Call] = field(default_factory=list)
    missing: Counter[date] = field(default_factory=Counter)  # reported calls without a row, by day

    def show(self, call: Call) -> None:
        """Add a call to the sample; if it is full, a call for the CRM replaces a skipped one."""
        skipped = next((one for one in self.sample if one.skip_reason), None)
        if len(self.sample) >= SAMPLE and skipped is not None and not call.skip_reason:
            self.sample.remove(skipped)
        if len(self.sample) < SAMPLE:
            self.sample.append(call)


def find_missing(reported: Iterable[EndedEvent], known: Iterable[int]) -> list[EndedEvent]:
    """Return the calls whose session is not among the known ones."""
    known_ids = set(known)
    return [call for call in reported if call.session_id not in known_ids]


def recent(tenant: Tenant, *, now: datetime) -> ComparisonResult:
    """Compare the last three hours. Raises RemoteError."""
    return reconcile(tenant, since=now - RECENT_WINDOW, till=now, now=now)


def reconcile(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    now: datetime,
    client: UisClient | None = None,
    settled: Collection[date] | None = None,
    is_dry_run: bool = False,
) -> ComparisonResult:
    """Create the calls of a period that we do not have; return the status of all calls.

    They are processed like calls from webhooks, but open no pop-up. A dry run writes nothing and returns what would
    happen. Raises RemoteError; calls created before it stay.
    """
    compared = compare_period(
        tenant, since=since, till=min(till, now - REPORT_LAG), client=client, is_dry_run=is_dry_run, now=now
    )
    if not is_dry_run:
        whole = settled if settled is not None else local_dates.whole(since, min(till, now - NIGHT), zone=tenant.zone)
        stats.count(tenant, missing=compared.missing, settled=whole, now=now)
    return compared


def compare_period(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    now: datetime,
    client: UisClient | None = None,
    is_dry_run: bool,
    at_most: int | None = None,
    found_since: datetime | None = None,
) -> ComparisonResult:
    """Compare the report, or its first `at_most` calls, without closing days. Raises RemoteError.

    A call that began exactly at the end belongs to the next period.
    """
    client = client or client_factory.uis_client(tenant.uis)
    compared, unread_before = ComparisonResult(till=till), client.unread
    reported_calls = client.calls(since=since, till=till) if since < till else iter(())
    if at_most is not None:
        part, cut = whole_seconds(reported_calls, at_most=at_most)
        reported_calls, compared.till = iter(part), cut or till
    for chunk in _chunks(reported_calls):
        began = [reported for reported in chunk if (reported.started_at or now) < compared.till]
        settled = [reported for reported in began if _is_settled(reported, now=now)]
        _compare(tenant, settled, compared, found_since=found_since or now, is_dry_run=is_dry_run, now=now)
    if unparsed := client.unread - unread_before:  # Rows not as documented: we do not know which calls they are.
        compared.stats += ReconciliationStats(uis_calls=unparsed, unexplained=unparsed)
        compared.missing[local_dates.day_of(compared.till, zone=tenant.zone)] += unparsed
    return compared


def whole_seconds(reported_calls: Iterable[EndedEvent], *, at_most: int) -> tuple[list[EndedEvent], datetime | None]:
    """Take `at_most` calls from a sorted list, plus all that began in the same second as the last one.

    Return them and the start of the next call, None if there is none.
    """
    chosen: list[EndedEvent] = []
    for started_at, same_second in itertools.groupby(reported_calls, key=lambda reported: reported.started_at):
        if len(chosen) >= at_most:
            return chosen, started_at
        chosen += same_second
    return chosen, None


def _compare(
    tenant: Tenant,
    reported_calls: list[EndedEvent],
    compared: ComparisonResult,
    *,
    found_since: datetime,
    is_dry_run: bool,
    now: datetime,
) -> None:
    """Compare part of the report, and create the missing calls."""
    sessions = {reported.session_id: reported for reported in reported_calls}
    found = find_missing(reported_calls, _known(tenant, sessions, now=now))
    if is_dry_run:
        return _preview(tenant, sessions, found, compared, now=now)
    staff = StaffDirectory.for_tenant(tenant)
    for reported in found:
        call = _record(tenant, reported, staff=staff, now=now)
        if call is not None:
            compared.show(call)
    stats.set_report_dates(tenant, reported_calls)
    if found:
        steps.resume_due(tenant_id=tenant.pk, now=now)
    _count_recovered(tenant, sessions, compared, since=found_since)
    compared.stats += stats.count_calls(tenant, sessions)
    rows = set(Call.objects.filter(tenant=tenant, session_id__in=sessions).values_list("session_id", flat=True))
    for reported in reported_calls:
        compared.missing[stats.listed_day(reported, zone=tenant.zone)] += reported.session_id not in rows


def _preview(
    tenant: Tenant, sessions: Collection[int], found: list[EndedEvent], compared: ComparisonResult, *, now: datetime
) -> None:
    """Count what would happen: missing calls count with the state they would get."""
    unknown = {reported.session_id for reported in found}
    compared.stats += stats.count_calls(tenant, set(sessions) - unknown)
    compared.found += len(found)
    known = Sources.load(tenant, unknown)
    for reported in found:
        call = pipeline.preview(tenant, reported, known, now=now)
        is_skipped = call.state == Call.State.SKIPPED
        compared.stats += ReconciliationStats(uis_calls=1, recovered=1, skipped=is_skipped, waiting=not is_skipped)
        compared.skipped.update([call.skip_reason] if is_skipped else [])
        compared.show(call)


def _count_recovered(tenant: Tenant, sessions: Collection[int], compared: ComparisonResult, *, since: datetime) -> None:
    """Count found calls by their rows: a killed worker did not report its progress."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=sessions, history__step=Step.RECONCILE)
    new = rows.filter(history__at__gte=since).order_by().values_list("skip_reason").annotate(Count("pk", distinct=True))
    counts = dict(new)
    compared.found += sum(counts.values())
    compared.skipped.update({rule: count for rule, count in counts.items() if rule})


def _known(tenant: Tenant, sessions: Collection[int], *, now: datetime) -> list[int]:
    """Return the sessions that need nothing: all with a row, except those back inside an extended upload window."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=sessions).select_related("tenant")
    plain = rows.only("session_id", "skip_reason", "started_at", "tenant")
    return [call.session_id for call in plain if not pipeline.is_within_term_again(call, now=now)]


def _record(tenant: Tenant, reported: EndedEvent, *, staff: StaffDirectory, now: datetime) -> Call | None:
    try:
        return atomic(pipeline.create_from_report)(tenant, reported, staff=staff, now=now)
    except IntegrityError:
        return None  # A webhook created it concurrently.
    except Exception:
        # It stays visible as unexplained; the others must not wait for it.
        logger.exception("call could not be created", tenant=tenant.slug, call=reported.session_id)
        return None


def _is_settled(reported: EndedEvent, *, now: datetime) -> bool:
    return reported.happened_at is None or reported.happened_at <= now - REPORT_LAG


def _chunks(reported_calls: Iterator[EndedEvent]) -> Iterator[list[EndedEvent]]:
    while chunk := list(itertools.islice(reported_calls, CHUNK)):
        yield chunk
