"""Statistics of one tenant and of all: each figure equals the test's own count, in the tenant's time zone."""

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.urls import reverse

from connector_project.operations.retention import purge
from crm import popup_stats
from crm import tasks as crm_tasks
from crm.models import DailyPopups, DailyPopupsOfAll, Popup, PopupDelta
from telephony import tasks as telephony_tasks
from telephony.models import Call, CallDelta, DailyCalls, DailyEmployeeCalls, DailyReconciliation
from tenants.models import Employee, Tenant, User
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import begin_rules

# Summer time began on 29 March in Berlin, and on 8 March in New York; Kolkata is half an hour off.
NOW = datetime(2026, 3, 31, 22, 40, tzinfo=UTC)
ZONES = ("Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Vladivostok")
OF_ONE, OF_ALL = 13, 14  # queries of the page of one client and of all
OUTCOMES = ("answered", "missed", "reached", "not_reached", "unknown")
# The order of the summary and of each table's columns; the headings are translated texts.
SUMMARY = (
    *("uis_calls", "share_delivered", "incoming", "share_answered"),
    *("median", "p95", "worst", "ours_median", "refused"),
)
COLUMNS = {
    "delivered": ("uis_calls", "uploaded", "skipped", "waiting", "failed", "unexplained", "share_delivered"),
    "ended": (*OUTCOMES, "share_answered"),
    "popups": ("median", "p95", "worst", "popups"),
    "steps": ("popups", "share"),
    "people": ("answered", "missed", "share_answered"),
    "clients": ("share_delivered", "share_answered", "uis_calls", "answered", "missed"),
    "hours": ("missed", "answered", "share_answered"),
}
COLOURS = {"answered": "good", "missed": "bad", "failed": "bad", "unexplained": "worst"}


@pytest.fixture
def _now():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def open_statistics(admin_client):
    """Open the page; return its charts and summary."""

    def open_statistics_page(tenant=None, days=30, language="en"):
        name = "admin:tenants_tenant_statistics" if tenant else "admin:tenants_statistics"
        url = reverse(name, args=[tenant.pk] if tenant else [])
        response = admin_client.get(url, {"days": days}, headers={"accept-language": language})
        assert response.status_code == 200
        return StatisticsPage(response)

    return open_statistics_page


class StatisticsPage:
    """The contents of a page, read from its HTML as a browser would."""

    def __init__(self, response):
        self.html = response.content.decode()
        self.summary = dict(zip(SUMMARY, re.findall(r"<dt>.*?</dt><dd>(.*?)</dd>", self.html), strict=True))
        self.titles = re.findall(r'<h2 id="statistics-\w+">(.*?)</h2>', self.html)
        self.tables = {}
        for part in self.html.split('aria-labelledby="statistics-')[1:]:
            name = part.split('"', 1)[0]
            head, *lines = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL) or [""]
            columns = COLUMNS[name]
            if lines:
                _check_colours(columns, re.findall(r"<th([^>]*)>", head)[1:])
            self.tables[name] = {_row(line): dict(zip(columns, _cells(line), strict=True)) for line in lines}


def _check_colours(columns, headings):
    """Check that each column has the colour of its outcome."""
    for column, attributes in zip(columns, headings, strict=True):
        colour = COLOURS.get(column)
        assert colour is None or "data-colour" not in attributes or f'data-colour="{colour}"' in attributes


def _row(line):
    return re.sub(r"<[^>]+>", "", re.search(r"<th[^>]*>(.*?)</th>", line)[1])


def _cells(line):
    return [float(value) if value else None for value in re.findall(r'data-value="([^"]*)"', line)]


def create_tenant(zone, people=0):
    tenant = begin_rules(
        Tenant.objects.create(name=zone, slug=zone.replace("/", "-").lower(), time_zone=zone, activated_at=NOW)
    )
    for number in range(people):
        Employee.objects.create(tenant=tenant, uis_id=number, full_name=f"Person {number}", extension=str(100 + number))
    return tenant


def add_random_calls(tenant, *, seed, count=300):
    """Create random calls of five weeks, many of them within minutes of midnight."""
    random_source, zone = random.Random(seed), ZoneInfo(tenant.time_zone)
    people = [*Employee.objects.filter(tenant=tenant), None]
    for session in range(count):
        day = NOW.astimezone(zone).date() - timedelta(days=random_source.randrange(-1, 36))
        near = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        minutes = random_source.choice([random_source.randrange(-3, 3), random_source.randrange(0, 1440)])
        at = near + timedelta(minutes=minutes, seconds=random_source.randrange(60))
        kind = random_source.choice(["answered", "missed", "reached", "not_reached", "unknown", "internal"])
        Call.objects.create(
            tenant=tenant,
            session_id=session,
            started_at=at,
            ended_at=at,
            retry_window_started_at=at,
            **_kind(kind),
            employee=random_source.choice(people),
        )


def _kind(kind):
    return {
        "answered": {"direction": "in", "result": "ANSWERED", "is_lost": False, "talk_seconds": 9, "state": "UPLOADED"},
        "missed": {"direction": "in", "result": "NO_ANSWER", "is_lost": True, "state": "UPLOADED"},
        "reached": {"direction": "out", "result": "ANSWERED", "talk_seconds": 9, "state": "UPLOADED"},
        "not_reached": {"direction": "out", "result": "BUSY", "state": "SKIPPED", "skip_reason": "OUTGOING_OFF"},
        "unknown": {"direction": "in", "is_lost": None, "state": "FETCHING_LEGS"},
        "internal": {"direction": "in", "is_internal": True, "is_lost": True, "state": "SKIPPED"},
    }[kind]


def outcome_of(call):
    """Return how a call ended, independently of the code under test."""
    if call.is_internal:
        return None
    if call.direction == "in":
        return {"ANSWERED": "answered", "NO_ANSWER": "missed", "": "unknown"}[call.result]
    return "reached" if call.result == "ANSWERED" else "not_reached"


def count_independently(tenants, today, *, days=30, by="day"):
    """Count by day, hour or employee, one call after another."""
    found = {}
    for call in Call.objects.select_related("tenant", "employee").filter(tenant__in=tenants):
        local = call.started_at.astimezone(ZoneInfo(call.tenant.time_zone))
        if outcome_of(call) is None or not today - timedelta(days=days) < local.date() <= today:
            continue
        key = {"day": local.date(), "hour": local.hour, "person": call.employee and call.employee.full_name}[by]
        found.setdefault(key, Counter())[outcome_of(call)] += 1
    return found


def label(day):
    return f"{day.day} {day:%B}"


def outcomes_of(row):
    return {name: row[name] for name in OUTCOMES if row[name]}


@pytest.mark.slow
@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("days", [7, 30])
def test_calls_are_counted_by_local_day_and_hour(open_statistics, zone, days):
    tenant = create_tenant(zone, people=4)
    add_random_calls(tenant, seed=zone)
    today = NOW.astimezone(ZoneInfo(zone)).date()
    page = open_statistics(tenant, days)
    by_day = count_independently([tenant], today, days=days)
    assert {day: outcomes_of(row) for day, row in page.tables["ended"].items() if outcomes_of(row)} == {
        label(day): dict(outcomes) for day, outcomes in by_day.items()
    }
    assert len(page.tables["ended"]) == days
    by_hour = count_independently([tenant], today, days=days, by="hour")
    for hour in range(24):
        row = page.tables["hours"][f"{hour:02}:00"]
        outcomes = by_hour.get(hour, Counter())
        assert (row["missed"], row["answered"]) == (outcomes["missed"], outcomes["answered"])


@pytest.mark.usefixtures("_now", "db")
def test_answered_and_missed_calls_are_counted_by_employee(open_statistics):
    tenant = create_tenant("Europe/Berlin", people=4)
    add_random_calls(tenant, seed=5)
    table = open_statistics(tenant).tables["people"]
    (unassigned,) = [shown for shown in table if not shown.startswith("Person ")]
    for name, outcomes in count_independently(
        [tenant], NOW.astimezone(ZoneInfo("Europe/Berlin")).date(), by="person"
    ).items():
        row = next(row for shown, row in table.items() if shown.startswith(name or unassigned))
        assert (row["answered"], row["missed"]) == (outcomes["answered"], outcomes["missed"])
        incoming = outcomes["answered"] + outcomes["missed"]
        assert row["share_answered"] == outcomes["answered"] * 1000 // incoming / 10


@pytest.mark.slow
@pytest.mark.usefixtures("_now", "db")
def test_all_tenants_are_counted_in_their_own_time_zones(open_statistics):
    tenants = [create_tenant(zone, people=1) for zone in ZONES]
    for number, tenant in enumerate(tenants):
        add_random_calls(tenant, seed=number, count=120)
    # It is the first of April in Vladivostok already.
    today = max(NOW.astimezone(ZoneInfo(zone)).date() for zone in ZONES)
    page = open_statistics()
    assert {day: outcomes_of(row) for day, row in page.tables["ended"].items() if outcomes_of(row)} == {
        label(day): dict(outcomes) for day, outcomes in count_independently(tenants, today).items()
    }
    for tenant in tenants:
        outcomes = sum(count_independently([tenant], today).values(), Counter())
        row = page.tables["clients"][tenant.name]
        assert (row["answered"], row["missed"]) == (outcomes["answered"], outcomes["missed"])
        assert row["share_answered"] == outcomes["answered"] * 1000 // (outcomes["answered"] + outcomes["missed"]) / 10
        assert reverse("admin:tenants_tenant_statistics", args=[tenant.pk]) in page.html


@pytest.mark.slow
@pytest.mark.usefixtures("_now", "db")
def test_delivery_equals_the_daily_reconciliation(open_statistics):
    moscow, berlin = create_tenant("Europe/Moscow"), create_tenant("Europe/Berlin")
    counts = {"uis_calls": 10, "uploaded": 6, "skipped": 1, "waiting": 1, "failed": 1, "unexplained": 1}
    for tenant, day in ((moscow, 1), (moscow, 31), (berlin, 31)):
        DailyReconciliation.objects.create(tenant=tenant, day=f"2026-03-{day:02}", counted_at=NOW, **counts)
    page = open_statistics(moscow)
    row = page.tables["delivered"]["31 March"]
    assert row == {
        "uis_calls": 10,
        "uploaded": 6,
        "skipped": 1,
        "waiting": 1,
        "failed": 1,
        "unexplained": 1,
        "share_delivered": 66.6,
    }
    assert "1 March" not in page.tables["delivered"]  # in Moscow it is the first of April already
    assert page.summary["uis_calls"] == "10"
    assert open_statistics().summary["uis_calls"] == "20"
    assert open_statistics(moscow, 90).summary["uis_calls"] == "20"
    assert open_statistics(moscow).tables["delivered"]["30 March"]["share_delivered"] is None


@pytest.mark.usefixtures("_now", "db")
def test_popup_latency_equals_the_stored_popups(open_statistics):
    tenant = create_tenant("Europe/Moscow", people=1)
    random_source, person = random.Random(7), Employee.objects.get()
    latencies = [random_source.randrange(10, 900) / 100 for _popup in range(137)]
    for session, seconds in enumerate(latencies):
        ringing_at = NOW - timedelta(hours=session)
        add_popup(person, session, ringing_at, received_after=0.1, accepted=seconds)
    add_popup(person, 999, NOW, accepted=None, state="FAILED")
    add_popup(person, 1000, NOW, accepted=None, state="OPENING")
    page = open_statistics(tenant)
    percentiles = quantiles(latencies, n=100, method="inclusive")
    assert parse_seconds(page.summary["median"]) == pytest.approx(percentiles[49], abs=0.006)
    assert parse_seconds(page.summary["p95"]) == pytest.approx(percentiles[94], abs=0.006)
    assert parse_seconds(page.summary["worst"]) == max(latencies)
    ours = parse_seconds(page.summary["ours_median"])
    assert ours == pytest.approx(percentiles[49] - 0.1, abs=0.006)
    assert page.summary["refused"] == "1"
    days = Counter(
        (NOW - timedelta(hours=session)).astimezone(ZoneInfo("Europe/Moscow")).date() for session in range(137)
    )
    rows = {day: row for day, row in page.tables["popups"].items() if row["popups"]}
    assert {day: row["popups"] for day, row in rows.items()} == {label(day): count for day, count in days.items()}
    since_midnight = [seconds for session, seconds in enumerate(latencies) if session < 2]
    assert rows["1 April"]["worst"] == max(since_midnight)
    assert rows["1 April"]["median"] == pytest.approx(sum(since_midnight) / 2, abs=0.006)
    # "up to 0.5 s" and so on; the last row has no number.
    steps = {(re.findall(r"[\d.]+", name) or [None])[0]: row["popups"] for name, row in page.tables["steps"].items()}
    assert sum(steps.values()) == 137
    assert steps["0.5"] == sum(seconds <= 0.5 for seconds in latencies)
    assert steps["2"] == sum(1 < seconds <= 2 for seconds in latencies)


def parse_seconds(shown):
    return float(shown.split()[0])


def add_popup(person, session, ringing_at, *, accepted, received_after=0.0, state="CLOSED"):
    received_at = ringing_at + timedelta(seconds=received_after)
    accepted_at = ringing_at + timedelta(seconds=accepted) if accepted is not None else None
    Popup.objects.create(
        tenant=person.tenant,
        employee=person,
        session_id=session,
        direction="in",
        contact=CONTACT,
        state=state,
        ringing_at=ringing_at,
        received_at=received_at,
        sent_at=received_at,
        accepted_at=accepted_at,
    )


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95, 1])
def test_percentile_is_interpolated(share):
    values = [3, 3, 7, 10, 10, 10, 40]
    percentiles = quantiles(values, n=1000, method="inclusive")
    expected = [values[0], *percentiles, values[-1]][round(share * 1000)]
    assert popup_stats.percentile(Counter(values), share) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.usefixtures("_now")
def test_page_shows_calls_from_webhooks(open_statistics, notify, pbx, crm, tenant, stranger):
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=NOW)
    notify(ringing.notification("waiting", employee_id=IVAN))
    notify(ringing.notification("lost_call"))
    earlier = NOW - timedelta(minutes=5)
    talk = pbx.call(contact="79990000002", number=NUMBER, talks=[(IVAN, 30)], started_at=earlier)
    notify(talk.notification("call_end"))
    with time_machine.travel(NOW + timedelta(minutes=30), tick=False):
        call_command("reconcile_calls", "--tenant", tenant.slug, "--from", "2026-04-01", "--till", "2026-04-01")
    page = open_statistics(tenant)
    assert (page.summary["uis_calls"], page.summary["incoming"]) == ("2", "2")
    assert page.summary["share_answered"] == "50.0 %"
    [popups] = [row for row in page.tables["popups"].values() if row["popups"]]
    assert popups["popups"] == 1
    other = open_statistics(stranger)
    assert [other.summary[name] for name in ("uis_calls", "incoming", "share_delivered")] == ["0", "0", "–"]
    assert all(not row["popups"] for row in other.tables["popups"].values())
    assert other.tables["people"] == {}


@pytest.mark.slow
@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize("count", [1, 200])
def test_statistics_have_a_fixed_query_count(open_statistics, django_assert_num_queries, count):
    tenants = [create_tenant(zone, people=3) for zone in ZONES[: 1 + count % 5]]
    for tenant in tenants:
        add_random_calls(tenant, seed=2, count=count)
    for _again in ("only deltas", "rolled up"):
        with django_assert_num_queries(OF_ONE):
            open_statistics(tenants[0])
        with django_assert_num_queries(OF_ALL):
            open_statistics()
        roll_up()


@pytest.mark.usefixtures("_now", "db")
def test_pages_are_the_same_before_and_after_the_roll_up(open_statistics):
    tenants = [create_tenant(zone, people=3) for zone in ZONES[:2]]
    for tenant in tenants:
        add_random_calls(tenant, seed=3, count=60)
    for session in range(20):
        add_popup(tenants[0].employees.first(), session, NOW - timedelta(hours=session), accepted=session / 7)
    before = [open_statistics(tenants[0]).html, open_statistics().html]
    roll_up()
    assert not CallDelta.objects.exists() | PopupDelta.objects.exists()
    after = [open_statistics(tenants[0]).html, open_statistics().html]
    assert [without_token(html) for html in before] == [without_token(html) for html in after]


def without_token(html):
    return re.sub(r'csrfmiddlewaretoken" value="[^"]*"', "", html)


@pytest.mark.usefixtures("_now")
def test_late_event_purge_and_offboarding_change_what_is_rolled_up(open_statistics, notify, pbx, crm, tenant):
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=NOW)
    notify(ringing.notification("waiting", employee_id=IVAN))
    notify(ringing.notification("lost_call"))
    roll_up()
    assert open_statistics(tenant).summary["share_answered"] == "0.0 %"
    Call.objects.update(result="ANSWERED", is_lost=False, talk_seconds=9)
    assert open_statistics(tenant).summary["share_answered"] == "100.0 %"
    roll_up()
    assert open_statistics(tenant).summary["share_answered"] == "100.0 %"
    with time_machine.travel(NOW + timedelta(days=366), tick=False):
        Call.objects.update(state="UPLOADED", next_attempt_at=None)
        purge.run(now=NOW + timedelta(days=366))
    assert not Call.objects.exists() | Popup.objects.exists()
    assert open_statistics(tenant).summary["incoming"] == "0"
    roll_up()
    assert not any(model.objects.exists() for model in (DailyCalls, DailyEmployeeCalls, DailyPopups, DailyPopupsOfAll))


def roll_up():
    telephony_tasks.roll_up_calls()
    crm_tasks.roll_up_popups()


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize("language", ["ru", "en"])
def test_page_is_in_both_languages_without_external_hosts(open_statistics, language):
    tenant = create_tenant("Europe/Moscow", people=1)
    add_random_calls(tenant, seed=2, count=20)
    page = open_statistics(tenant, language=language)
    assert any(re.search("[а-яё]", title) for title in page.titles) == (language == "ru")
    for text in (page.html, open_statistics(language=language).html):
        assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text) == []
        # The CSP allows no inline script.
        assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []
        assert re.findall(r'\son\w+="', text) == []


@pytest.mark.slow
def test_page_needs_permission(client, tenant):
    pages = [reverse("admin:tenants_statistics"), reverse("admin:tenants_tenant_statistics", args=[tenant.pk])]
    assert [client.get(page).status_code for page in pages] == [302, 302]
    visitor = User.objects.create_user("visitor", is_staff=True)
    client.force_login(visitor)
    assert [client.get(page).status_code for page in pages] == [403, 403]
    visitor.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    assert [client.get(page).status_code for page in pages] == [
        403,
        403,
    ]  # Without permission for calls, no statistics of them.
    visitor.groups.add(Group.objects.get(name="Support"))
    assert [client.get(page).status_code for page in pages] == [200, 200]
    assert client.get(reverse("admin:tenants_tenant_statistics", args=[tenant.pk + 1])).status_code == 404
    # An unknown period is replaced by the default one.
    for page, days in zip(pages, (7, 30), strict=True):
        assert f'?days={days}" aria-current' in client.get(page, {"days": "9999999999"}).content.decode()
    index = client.get(reverse("admin:index")).content.decode()
    assert pages[0] in index
    assert pages[1] in client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
