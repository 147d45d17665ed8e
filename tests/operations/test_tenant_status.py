"""A client's status: decided in SQL, compared here with the same rules written again in plain Python."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_project.core.check_results import CHECKS, CheckResult, Responsible
from connector_project.operations import tenant_status
from connector_project.operations.alerts import evaluate
from connector_project.operations.models import Activation
from connector_project.operations.tenant_status import TenantStatus
from telephony.models import Call, Notification
from tenants.access_errors import AccessError
from tenants.models import CheckRun, CrmConnection, Tenant, UisConnection
from tests.rules import begin_rules

pytestmark = pytest.mark.sql

HOUR = timedelta(hours=1)
ZONES = ["Europe/Moscow", "Asia/Kamchatka", "Asia/Kolkata", "America/New_York", "Pacific/Apia", "Europe/London"]
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 -- naive by its rule
CLOCKS = st.one_of(st.times(), st.sampled_from([time(0), time(9), time(18), time(22), time(6), time(23, 59)]))
AGES = st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=3)), st.just(HOUR))


@dataclass(frozen=True)
class Case:
    """The values that determine the status of one client."""

    zone: str
    opens_at: time
    closes_at: time
    works_weekends: bool
    is_paused: bool
    is_offboarded: bool
    activated_ago: timedelta | None
    denied: str
    failing: int
    activation: str
    last_event_ago: timedelta | None


CASES = st.builds(
    Case,
    zone=st.sampled_from(ZONES),
    opens_at=CLOCKS,
    closes_at=CLOCKS,
    works_weekends=st.booleans(),
    is_paused=st.sampled_from([False, False, False, True]),
    is_offboarded=st.sampled_from([False, False, False, True]),
    activated_ago=AGES,
    denied=st.sampled_from(["", "", "", "uis", "crm"]),
    failing=st.integers(0, 1),
    activation=st.sampled_from(["", *Activation.State.values]),
    last_event_ago=AGES,
)


def expected(case, now):
    """Apply the rules in plain Python."""
    if case.is_offboarded:
        return TenantStatus.OFFBOARDED
    if case.is_paused:
        return TenantStatus.PAUSED
    if case.activated_ago is None:
        return TenantStatus.ACTIVATION_FAILED if case.activation == "FAILED" else TenantStatus.NOT_ACTIVATED
    if case.denied:
        return TenantStatus.ACCESS_DENIED
    quiet_for = min(case.activated_ago, case.last_event_ago if case.last_event_ago is not None else case.activated_ago)
    if longest_shift(case, now - quiet_for, now) >= HOUR:
        return TenantStatus.NO_EVENTS
    return TenantStatus.FAILING if case.failing else TenantStatus.ACTIVE


def longest_shift(case, since, till):
    """Return the longest overlap of a period with one shift that began on any of its days or the day before."""
    zone, found = ZoneInfo(case.zone), timedelta(0)
    day = since.astimezone(zone).date() - timedelta(days=1)
    while day <= till.astimezone(zone).date():
        begins = datetime.combine(day, case.opens_at)
        ends = datetime.combine(day, case.closes_at)
        ends += timedelta(days=0 if ends > begins else 1)
        if case.works_weekends or day.isoweekday() <= 5:
            inside = [moment.replace(tzinfo=zone).astimezone(UTC) for moment in (begins, ends)]
            found = max(found, min(inside[1], till) - max(inside[0], since))
        day += timedelta(days=1)
    return found


def with_status(now):
    """Return all clients with their states, after the alerts have been evaluated."""
    evaluate.evaluate(now=now)
    return tenant_status.with_status(Tenant.objects.all())


def write(case, number, now):
    tenant = Tenant.objects.create(
        name=str(number),
        slug=f"case-{number}",
        time_zone=case.zone,
        opens_at=case.opens_at,
        closes_at=case.closes_at,
        works_weekends=case.works_weekends,
        is_paused=case.is_paused,
        offboarded_at=now if case.is_offboarded else None,
        activated_at=None if case.activated_ago is None else now - case.activated_ago,
        activation_expires_at=now,
    )
    begin_rules(tenant)
    UisConnection.objects.create(tenant=tenant, denied_at=now if case.denied == "uis" else None)
    CrmConnection.objects.create(tenant=tenant, denied_at=now if case.denied == "crm" else None)
    if case.failing:
        CheckRun.objects.create(tenant=tenant, failed_count=case.failing)
    if case.activation:
        Activation.objects.create(tenant=tenant, state=case.activation, step="UIS", started_at=now)
    if case.last_event_ago is not None:
        Notification.objects.create(tenant=tenant, received_at=now - case.last_event_ago, digest=str(number))
    return tenant


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=st.lists(CASES, min_size=1, max_size=6), now=MOMENTS)
def test_status_in_sql_equals_the_rules(db, cases, now):
    with transaction.atomic():
        written = [write(case, number, now).pk for number, case in enumerate(cases)]
        found = {tenant.pk: tenant_status.state(tenant) for tenant in with_status(now)}
        transaction.set_rollback(True)
    assert [found[pk] for pk in written] == [expected(case, now) for case in cases]


@pytest.fixture
def state_at(db):
    """The state of an active client without events, at a moment of their local time."""

    def status_at(moment, *, zone="Europe/Moscow", **hours):
        now = moment.replace(tzinfo=ZoneInfo(zone))
        with transaction.atomic():
            tenant = write(QUIET, 1, now)
            Tenant.objects.update(time_zone=zone, **hours)
            found = with_status(now).get(pk=tenant.pk)
            transaction.set_rollback(True)
        return tenant_status.state(found)

    return status_at


QUIET = Case("Europe/Moscow", time(9), time(18), False, False, False, timedelta(hours=15), "", 0, "DONE", None)
MONDAY, SATURDAY, SUNDAY = datetime(2026, 11, 23), datetime(2026, 11, 28), datetime(2026, 11, 29)  # noqa: DTZ001 -- local


@pytest.mark.parametrize(
    ("hour", "minute", "state"),
    [
        (9, 59, TenantStatus.ACTIVE),
        (10, 0, TenantStatus.NO_EVENTS),
        (17, 59, TenantStatus.NO_EVENTS),
        (18, 0, TenantStatus.NO_EVENTS),
        (3, 0, TenantStatus.ACTIVE),
    ],
)
def test_no_events_counts_after_an_hour_of_work_and_lasts(state_at, hour, minute, state):
    assert state_at(MONDAY.replace(hour=hour, minute=minute)) == state


def test_no_events_uses_tenant_local_time(state_at):
    assert state_at(MONDAY.replace(hour=12), zone="Asia/Kamchatka") == TenantStatus.NO_EVENTS
    assert state_at(MONDAY.replace(hour=3), zone="America/New_York") == TenantStatus.ACTIVE


def test_weekend_counts_only_if_it_is_worked(state_at):
    assert state_at(SUNDAY.replace(hour=12)) == TenantStatus.ACTIVE
    assert state_at(SUNDAY.replace(hour=12), works_weekends=True) == TenantStatus.NO_EVENTS


def english(text):
    with translation.override("en"):
        return str(text)


def failed(code, **params):
    """Return the text of a failed check."""
    with translation.override("en"):
        return CheckResult(CHECKS[code], ok=False, params=params).message


@pytest.fixture
def report(tenant):
    """The status report of the client now."""

    def describe(now=None):
        now = now or timezone.now()
        found = with_status(now).get(pk=tenant.pk)
        activity = tenant_status.recent_activity([found], now=now)[tenant.pk]
        with translation.override("en"):
            return tenant_status.describe(found, activity=activity, now=now)

    return describe


def test_denial_describes_both_connections(report, tenant):
    tenant.uis.suspend("ip_not_whitelisted", "no", now=timezone.now())
    unlisted = f"{english(AccessError.ADDRESS_NOT_LISTED.label)} Ask the operator for the addresses of our server."
    assert report().reason == unlisted
    assert report().responsible == Responsible.CLIENT
    tenant.crm.suspend("odd_code", "The CRM's own words.", now=timezone.now())
    assert report().reason == f"{unlisted} The CRM's own words."
    tenant.uis.suspend("account_inactive", "no", now=timezone.now())
    assert report().responsible == Responsible.UIS


def test_first_failed_check_is_the_reason(report, tenant):
    stored = [
        {"check": "UIS_KEY_GIVEN", "ok": True, "params": {}},
        {"check": "UIS_EMPLOYEES", "ok": False, "params": {"count": "0"}},
        {"check": "CRM_KEY_GIVEN", "ok": False, "params": {}},
    ]
    CheckRun.objects.update_or_create(tenant=tenant, defaults={"results": stored, "failed_count": 2})
    assert (report().state, report().responsible) == (TenantStatus.FAILING, Responsible.CLIENT)
    assert report().reason == failed("UIS_EMPLOYEES", count="0")
    CheckRun.objects.update(results=[{"check": "GONE", "ok": False, "params": {}}])
    assert (report().state, report().reason, report().responsible) == (TenantStatus.FAILING, "", None)


def test_failed_activation_shows_its_reason(report, tenant):
    Tenant.objects.update(activated_at=None)
    Activation.objects.create(
        tenant=tenant, state="FAILED", step="UIS", started_at=timezone.now(), code="UIS_KEY_TERM", context={}
    )
    assert (report().state, report().responsible) == (TenantStatus.ACTIVATION_FAILED, Responsible.CLIENT)
    assert report().reason == failed("UIS_KEY_TERM")
    Activation.objects.update(code="GONE")
    assert report().reason == ""


def test_not_activated_tenant_shows_the_next_step(report, tenant):
    Tenant.objects.update(activated_at=None)
    assert report().responsible == Responsible.CLIENT
    Tenant.objects.update(activation_expires_at=None)
    assert report().responsible == Responsible.OPERATOR
    Activation.objects.create(tenant=tenant, state="RUNNING", step="PEOPLE", started_at=timezone.now())
    assert report().responsible is None
    assert english(Activation.Step.PEOPLE.label) in report().reason


def test_paused_and_offboarded_tenants(report, tenant):
    tenant.pause()
    assert (report().state, report().responsible) == (TenantStatus.PAUSED, Responsible.OPERATOR)
    offboarded_at = timezone.now()
    Tenant.objects.update(offboarded_at=offboarded_at)
    assert report().state == TenantStatus.OFFBOARDED
    assert f"{offboarded_at.astimezone(tenant.zone):%M}" in report().reason


def test_no_events_reason_has_the_last_event_time(report, tenant):
    noon = datetime(2026, 11, 24, 12, tzinfo=tenant.zone)
    Tenant.objects.update(activated_at=noon - timedelta(days=30))
    assert (report(noon).state, re.findall(r"\d+", report(noon).reason)) == (TenantStatus.NO_EVENTS, [])
    notification = Notification.objects.create(tenant=tenant, received_at=noon - 2 * HOUR, digest="x")
    assert (report(noon).state, report(noon).responsible) == (TenantStatus.NO_EVENTS, Responsible.CLIENT)
    assert "10" in report(noon).reason
    notification.received_at = noon - 2 * HOUR - timedelta(days=3)
    notification.save()
    assert "21" in report(noon).reason


def test_recent_activity_counts_the_tenant_local_day(tenant, stranger):
    Tenant.objects.filter(pk=stranger.pk).update(time_zone="Asia/Kamchatka")
    now = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)  # half past midnight in Moscow, half past nine in Kamchatka
    calls = [(tenant, timedelta(minutes=10)), (tenant, HOUR), (stranger, HOUR), (stranger, timedelta(hours=10))]
    for number, (client, ago) in enumerate(calls):
        moment = now - ago
        Call.objects.create(
            tenant=client,
            session_id=number,
            state="SKIPPED",
            started_at=moment,
            ended_at=moment,
            retry_window_started_at=moment,
        )
    found = tenant_status.recent_activity(Tenant.objects.all(), now=now)
    assert (found[tenant.pk].calls_today, found[stranger.pk].calls_today) == (1, 1)
    assert found[tenant.pk].last_event_at is None
    Call.objects.all().delete()


def test_status_takes_one_query_for_any_number_of_zones(db):
    for number, zone in enumerate(ZONES):
        write(Case(zone, time(9), time(18), False, False, False, HOUR, "", 0, "", None), number, timezone.now())
    with CaptureQueriesContext(connection) as queries:
        list(tenant_status.with_status(Tenant.objects.all()))
    assert len(queries) == 1
