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

from connector_project.core.check_results import CheckResult, Responsible
from connector_project.operations import tenant_status
from connector_project.operations.alerts import evaluate
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.tenant_status import TenantStatus
from telephony.models import Call, Notification
from tenants.models import AccessError, CheckRun, CrmConnection, Tenant, UisConnection

pytestmark = pytest.mark.sql

HOUR = timedelta(hours=1)
ZONES = ["Europe/Moscow", "Asia/Kamchatka", "Asia/Kolkata", "America/New_York", "Pacific/Apia", "Europe/London"]
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 -- naive by its rule
CLOCKS = st.one_of(st.times(), st.sampled_from([time(0), time(9), time(18), time(22), time(6), time(23, 59)]))
AGES = st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=3)), st.just(HOUR))


@dataclass(frozen=True)
class Case:
    """What the decision looks at of one client."""

    zone: str
    opens_at: time
    closes_at: time
    works_weekends: bool
    is_paused: bool
    has_left: bool
    activated: timedelta | None
    denied: str
    failing: int
    activation: str
    heard: timedelta | None


CASES = st.builds(
    Case,
    zone=st.sampled_from(ZONES),
    opens_at=CLOCKS,
    closes_at=CLOCKS,
    works_weekends=st.booleans(),
    is_paused=st.sampled_from([False, False, False, True]),
    has_left=st.sampled_from([False, False, False, True]),
    activated=AGES,
    denied=st.sampled_from(["", "", "", "uis", "crm"]),
    failing=st.integers(0, 1),
    activation=st.sampled_from(["", *Activation.State.values]),
    heard=AGES,
)


def expected(case, now):
    """Apply the rules again, the slow way."""
    if case.has_left:
        return TenantStatus.OFFBOARDED
    if case.is_paused:
        return TenantStatus.PAUSED
    if case.activated is None:
        return TenantStatus.ACTIVATION_FAILED if case.activation == "FAILED" else TenantStatus.NOT_ACTIVATED
    if case.denied:
        return TenantStatus.ACCESS_DENIED
    quiet_for = min(case.activated, case.heard if case.heard is not None else case.activated)
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


def looked_at(now):
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
        offboarded_at=now if case.has_left else None,
        activated_at=None if case.activated is None else now - case.activated,
        activation_expires_at=now,
    )
    UisConnection.objects.create(tenant=tenant, denied_at=now if case.denied == "uis" else None)
    CrmConnection.objects.create(tenant=tenant, denied_at=now if case.denied == "crm" else None)
    if case.failing:
        CheckRun.objects.create(tenant=tenant, failed_count=case.failing)
    if case.activation:
        Activation.objects.create(tenant=tenant, state=case.activation, step="UIS", started_at=now)
    if case.heard is not None:
        Notification.objects.create(tenant=tenant, received_at=now - case.heard, digest=str(number))
    return tenant


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=st.lists(CASES, min_size=1, max_size=6), now=MOMENTS)
def test_state_in_sql_is_the_state_the_rules_tell(db, cases, now):
    with transaction.atomic():
        written = [write(case, number, now).pk for number, case in enumerate(cases)]
        found = {one.pk: tenant_status.state(one) for one in looked_at(now)}
        transaction.set_rollback(True)
    assert [found[pk] for pk in written] == [expected(case, now) for case in cases]


@pytest.fixture
def state_at(db):
    """The state of an active client without events, at a moment of their local time."""

    def look(moment, *, zone="Europe/Moscow", **hours):
        now = moment.replace(tzinfo=ZoneInfo(zone))
        with transaction.atomic():
            tenant = write(QUIET, 1, now)
            Tenant.objects.update(time_zone=zone, **hours)
            found = looked_at(now).get(pk=tenant.pk)
            transaction.set_rollback(True)
        return tenant_status.state(found)

    return look


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
def test_silence_counts_an_hour_after_work_began_and_lasts(state_at, hour, minute, state):
    assert state_at(MONDAY.replace(hour=hour, minute=minute)) == state


def test_silence_is_told_by_the_clients_clock(state_at):
    assert state_at(MONDAY.replace(hour=12), zone="Asia/Kamchatka") == TenantStatus.NO_EVENTS
    assert state_at(MONDAY.replace(hour=3), zone="America/New_York") == TenantStatus.ACTIVE


def test_weekend_counts_only_where_it_is_worked(state_at):
    assert state_at(SUNDAY.replace(hour=12)) == TenantStatus.ACTIVE
    assert state_at(SUNDAY.replace(hour=12), works_weekends=True) == TenantStatus.NO_EVENTS


def english(text):
    with translation.override("en"):
        return str(text)


def failed(code, **about):
    """Return the text of a failed check."""
    with translation.override("en"):
        return CheckResult(runner.CHECKS[code], ok=False, params=about).message


@pytest.fixture
def told(tenant):
    """The status report of the client now."""

    def ask(now=None):
        now = now or timezone.now()
        found = looked_at(now).get(pk=tenant.pk)
        pulse = tenant_status.recent_activity([found], now=now)[tenant.pk]
        with translation.override("en"):
            return tenant_status.describe(found, pulse=pulse, now=now)

    return ask


def test_denial_names_the_menu_path_and_both_sides(told, tenant):
    tenant.uis.suspend("ip_not_whitelisted", "no", now=timezone.now())
    assert told().reason == english(AccessError.ADDRESS_NOT_LISTED.label)
    assert told().responsible == Responsible.CLIENT
    tenant.crm.suspend("odd_code", "The CRM's own words.", now=timezone.now())
    assert told().reason == f"{english(AccessError.ADDRESS_NOT_LISTED.label)} The CRM's own words."
    tenant.uis.suspend("account_inactive", "no", now=timezone.now())
    assert told().responsible == Responsible.UIS


def test_first_check_that_fails_is_the_cause(told, tenant):
    stored = [
        {"check": "UIS_KEY_GIVEN", "ok": True, "about": {}},
        {"check": "UIS_EMPLOYEES", "ok": False, "about": {"count": "0"}},
        {"check": "CRM_KEY_GIVEN", "ok": False, "about": {}},
    ]
    CheckRun.objects.update_or_create(tenant=tenant, defaults={"results": stored, "failed_count": 2})
    assert (told().state, told().responsible) == (TenantStatus.FAILING, Responsible.CLIENT)
    assert told().reason == failed("UIS_EMPLOYEES", count="0")
    CheckRun.objects.update(results=[{"check": "GONE", "ok": False, "about": {}}])
    assert (told().state, told().reason, told().responsible) == (TenantStatus.FAILING, "", None)


def test_activation_that_stopped_says_why(told, tenant):
    Tenant.objects.update(activated_at=None)
    Activation.objects.create(
        tenant=tenant, state="FAILED", step="UIS", started_at=timezone.now(), code="UIS_KEY_TERM", context={}
    )
    assert (told().state, told().responsible) == (TenantStatus.ACTIVATION_FAILED, Responsible.CLIENT)
    assert told().reason == failed("UIS_KEY_TERM")
    Activation.objects.update(code="GONE")
    assert told().reason == ""


def test_client_who_is_not_on_says_what_he_waits_for(told, tenant):
    Tenant.objects.update(activated_at=None)
    assert told().responsible == Responsible.CLIENT
    Tenant.objects.update(activation_expires_at=None)
    assert told().responsible == Responsible.OPERATOR
    Activation.objects.create(tenant=tenant, state="RUNNING", step="PEOPLE", started_at=timezone.now())
    assert told().responsible is None
    assert english(Activation.Step.PEOPLE.label) in told().reason


def test_pause_and_leaving_are_said(told, tenant):
    tenant.pause()
    assert (told().state, told().responsible) == (TenantStatus.PAUSED, Responsible.OPERATOR)
    offboarded_at = timezone.now()
    Tenant.objects.update(offboarded_at=offboarded_at)
    assert told().state == TenantStatus.OFFBOARDED
    assert f"{offboarded_at.astimezone(tenant.zone):%M}" in told().reason


def test_silence_says_since_when(told, tenant):
    noon = datetime(2026, 11, 24, 12, tzinfo=tenant.zone)
    Tenant.objects.update(activated_at=noon - timedelta(days=30))
    assert (told(noon).state, re.findall(r"\d+", told(noon).reason)) == (TenantStatus.NO_EVENTS, [])
    heard = Notification.objects.create(tenant=tenant, received_at=noon - 2 * HOUR, digest="x")
    assert (told(noon).state, told(noon).responsible) == (TenantStatus.NO_EVENTS, Responsible.CLIENT)
    assert "10" in told(noon).reason
    heard.received_at = noon - 2 * HOUR - timedelta(days=3)
    heard.save()
    assert "21" in told(noon).reason


def test_pulse_counts_the_clients_own_day(tenant, stranger):
    Tenant.objects.filter(pk=stranger.pk).update(time_zone="Asia/Kamchatka")
    now = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)  # half past midnight in Moscow, half past nine in Kamchatka
    whose = [(tenant, timedelta(minutes=10)), (tenant, HOUR), (stranger, HOUR), (stranger, timedelta(hours=10))]
    for number, (client, ago) in enumerate(whose):
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


def test_state_costs_one_question_however_many_zones_clients_live_in(db):
    for number, zone in enumerate(ZONES):
        write(Case(zone, time(9), time(18), False, False, False, HOUR, "", 0, "", None), number, timezone.now())
    with CaptureQueriesContext(connection) as asked:
        list(tenant_status.with_status(Tenant.objects.all()))
    assert len(asked) == 1
