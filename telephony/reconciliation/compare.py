"""Compares UIS's call report with our rows, and creates the calls that no webhook reported."""

import itertools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count

from connector_project.core import local_dates
from telephony import client_factory
from telephony.calls import late_attribution, pipeline, sweep, voice_mail
from telephony.calls.filters import HAS_RECORDING
from telephony.calls.sources import Sources
from telephony.models import Call, Step
from telephony.reconciliation import corrections, recovery, stats
from telephony.reconciliation.comparison_result import ComparisonResult
from telephony.reconciliation.stats import ReconciliationStats
from telephony.uis.call_facts import REPORT_COLUMNS
from telephony.uis.client import UisClient
from telephony.uis.types import EndedEvent
from tenants.models import Tenant

REPORT_LAG = timedelta(minutes=5)  # events of younger calls may still arrive
NIGHT = timedelta(hours=3)  # a day is compared as a whole once this much of the next one has passed
CHUNK = 500
PART_CALLS = 900  # just under one page of the report: the rest of the last second then needs no further page


def find_missing(reported: Iterable[EndedEvent], known: Iterable[int]) -> list[EndedEvent]:
    """Return the calls whose session is not among the known ones."""
    known_ids = set(known)
    return [call for call in reported if call.session_id not in known_ids]


def reconcile(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    now: datetime,
    client: UisClient | None = None,
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
        count_days(tenant, compared, run_since=since, now=now)
    return compared


def count_days(
    tenant: Tenant,
    compared: ComparisonResult,
    *,
    run_since: datetime,
    has_open_days: bool | None = None,
    now: datetime,
) -> None:
    """Count the days of a period, and close those that are compared as a whole.

    The period may be a part of a run that has compared everything from `run_since` up to it.
    """
    first = local_dates.begin(local_dates.day_of(compared.since, zone=tenant.zone), zone=tenant.zone)
    whole = local_dates.whole(max(run_since, first), min(compared.till, now - NIGHT), zone=tenant.zone)
    stats.count(
        tenant,
        since=compared.since,
        till=compared.till,
        days=compared.days,
        missing=compared.missing,
        settled=whole if compared.is_complete else (),
        has_open_days=has_open_days,
        now=now,
    )


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
    choice: str = "",
) -> ComparisonResult:
    """Compare the report, or its first `at_most` calls, without closing days; `choice` is that of an import.

    Raises RemoteError. A call that began at the end belongs to the next period.
    """
    client, since = client or client_factory.uis_client(tenant.uis), since.replace(microsecond=0)
    compared = ComparisonResult(since=since, till=till)
    unread_before, shortfall_before = {*client.unread}, client.shortfall
    reported_calls = client.calls(since=since, till=till, columns=REPORT_COLUMNS) if since < till else iter(())
    if at_most is not None:
        part, cut = whole_seconds(reported_calls, at_most=at_most)
        reported_calls, compared.till = iter(part), cut or till
    for chunk in _chunks(reported_calls):
        settled = [reported for reported in chunk if _is_settled(reported, till=compared.till, now=now)]
        _compare(tenant, settled, compared, found_since=found_since, choice=choice, is_dry_run=is_dry_run, now=now)
    _add_unknown(compared, client, unread_before, zone=tenant.zone)
    compared.is_complete &= client.shortfall == shortfall_before
    shortfall = client.shortfall - shortfall_before
    compared.stats += ReconciliationStats(uis_calls=shortfall, unexplained=shortfall)
    return compared


def _add_unknown(compared: ComparisonResult, client: UisClient, before: Collection[int], *, zone: ZoneInfo) -> None:
    """Add rows that are not as documented: we do not know which calls they are."""
    for key, at in client.unread.items():
        if key not in before and at < compared.till:
            _add_missing(compared, key, max(at, compared.since), zone=zone)
            compared.stats += ReconciliationStats(uis_calls=1, unexplained=1)


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
    found_since: datetime | None,
    choice: str,
    is_dry_run: bool,
    now: datetime,
) -> None:
    """Compare part of the report, and create the missing calls."""
    sessions = {reported.session_id: reported for reported in reported_calls}
    known = _known(tenant, sessions)
    has_row = [call.session_id for call in known if not pipeline.may_be_found_again(call, choice=choice, now=now)]
    found = find_missing(reported_calls, has_row)
    if is_dry_run:
        return _preview(tenant, sessions, found, compared, now=now)
    created, failed = recovery.create(tenant, found, choice=choice, now=now)
    compared.show(created)
    compared.is_complete &= not failed
    corrected = corrections.correct(tenant, known, sessions, now=now)
    late_attribution.apply_report(known, sessions, now=now)
    stats.set_report_dates(tenant, reported_calls)
    voice_mail.learn(tenant, reported_calls)
    if found or corrected:
        sweep.resume_due(tenant_id=tenant.pk, now=now)
    _count_rows(tenant, sessions, compared, since=found_since or now)
    compared.days |= {stats.listed_day(reported, zone=tenant.zone) for reported in reported_calls}
    rows = Call.objects.filter(tenant=tenant, session_id__in=sessions).values_list("session_id", flat=True)
    for reported in find_missing(reported_calls, rows):
        _add_missing(compared, reported.session_id, reported.started_at or now, zone=tenant.zone)
    return None


def _add_missing(compared: ComparisonResult, session_id: int, at: datetime, *, zone: ZoneInfo) -> None:
    compared.missing[session_id] = at
    compared.days.add(local_dates.day_of(at, zone=zone))


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
        compared.show([call])
        compared.previewed.append(call)


def _count_rows(tenant: Tenant, sessions: Collection[int], compared: ComparisonResult, *, since: datetime) -> None:
    """Count calls, and those found, by their rows: a killed worker did not report its progress."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=sessions, history__step=Step.RECONCILE)
    new = rows.filter(history__at__gte=since).order_by().values_list("skip_reason").annotate(Count("pk", distinct=True))
    counts = dict(new)
    compared.stats += stats.count_calls(tenant, sessions)
    compared.found += sum(counts.values())
    compared.skipped.update({rule: count for rule, count in counts.items() if rule})


def _known(tenant: Tenant, sessions: Collection[int]) -> list[Call]:
    """Return the rows of these sessions, with what is compared. One query."""
    fields = (
        "session_id",
        "state",
        "skip_reason",
        "direction",
        "contact",
        "number",
        "result",
        "talk_seconds",
        "is_lost",
        "has_legs",
        "claim_token",
        "awaits_recording",
    )
    found = Call.objects.filter(tenant=tenant, session_id__in=sessions).annotate(has_recording=HAS_RECORDING)
    rows = list(found.only(*fields, *late_attribution.COLUMNS, "started_at"))
    for call in rows:
        call.tenant = tenant
    return rows


def _is_settled(reported: EndedEvent, *, till: datetime, now: datetime) -> bool:
    """Whether the call began before `till`, and ended so long ago that all its events must have arrived."""
    is_old = reported.happened_at is None or reported.happened_at <= now - REPORT_LAG
    return is_old and (reported.started_at or now) < till


def _chunks(reported_calls: Iterator[EndedEvent]) -> Iterator[list[EndedEvent]]:
    while chunk := list(itertools.islice(reported_calls, CHUNK)):
        yield chunk
