"""The missed-callers board equals the test's own count, call by call, in the client's time zone."""

import itertools
import random
import re
from datetime import UTC, datetime, time, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.core import phone_numbers
from connector_project.operations.admin import missed_callers as callers_page
from telephony.missed_callers import queries
from telephony.models import AccessLogEntry, Call, Step
from tenants import rule_versions
from tenants.models import CrmConnection, CrmUser, Employee, Tenant, UisConnection, User, VirtualNumber
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules
from tests.users import create_user

# Summer time began on 29 March in Berlin, and on 8 March in New York; Kolkata is half an hour off.
NOW = datetime(2026, 3, 31, 22, 40, tzinfo=UTC)
ZONES = ("Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Vladivostok")
DAYS = (1, 7, 30, 90)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OTHER, BLOCKED, OWN = "79990000002", "79990000003", "79990000011"
SUMMARY = ("waiting", "after hours", "over a day", "closed today", "median", "hidden")  # in the order of the board
ANSWERED = {"result": "ANSWERED", "is_lost": False, "talk_seconds": 60, "wait_seconds": 10, "state": "UPLOADED"}
MISSED = {"direction": "in", "result": "NO_ANSWER", "is_lost": True, "state": "UPLOADED"}
KINDS = {
    "missed": MISSED,
    "answered": ANSWERED | {"direction": "in"},
    "reached": ANSWERED | {"direction": "out", "state": "SKIPPED", "skip_reason": "OUTGOING_OFF"},
    "not reached": {"direction": "out", "result": "BUSY", "state": "UPLOADED"},
    "talk reported": ANSWERED | {"direction": "in", "result": "", "state": "FETCHING_LEGS"},
    "unknown": {"direction": "in", "is_lost": None, "state": "FETCHING_LEGS"},
    "debouncing": MISSED | {"state": "DEBOUNCING"},
    "skipped": MISSED | {"state": "SKIPPED", "skip_reason": "MISSED_OFF"},
    "old": MISSED | {"state": "SKIPPED", "skip_reason": "EXPIRED"},
    "blocked": MISSED | {"state": "SKIPPED", "skip_reason": "CONTACT"},
    "other company": MISSED | {"state": "SKIPPED", "skip_reason": "NUMBER"},
    "rejected": MISSED | {"result": "NOT_ALLOWED"},
    "internal": MISSED | {"is_internal": True},
    "internal talk": ANSWERED | {"direction": "in", "is_internal": True},
}
MISSES, TALKS = {"missed", "skipped", "old"}, {"answered", "reached", "talk reported"}


@pytest.fixture
def _now():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def open_board(admin_client):
    """Open a client's board; return what it shows."""

    def open_board_page(tenant, *, client=None, language="en", **query):
        url = reverse("admin:tenants_tenant_missed_callers", args=[tenant.pk])
        response = (client or admin_client).get(url, query, headers={"accept-language": language})
        assert response.status_code == 200
        return BoardPage(response)

    return open_board_page


class BoardPage:
    """The contents of the board, parsed from its HTML."""

    def __init__(self, response):
        self.html, self.text = response.content.decode(), html_text.text(response)
        self.summary = dict(zip(SUMMARY, re.findall(r"<dt>.*?</dt><dd>(.*?)</dd>", self.html), strict=True))
        self.rows, self.counts = {}, {}
        for part in self.html.split('aria-labelledby="missed-')[1:]:
            name = part.split('"', 1)[0]
            heading = re.search(r"<h2[^>]*>.*?\((\d+)\)</h2>", part)
            if heading and name not in self.rows:
                self.counts[name], self.rows[name] = int(heading[1]), []
            if "<table>" in part:
                lines = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)[1:]
                self.rows[name] = [
                    [_text(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", line, re.DOTALL)] for line in lines
                ]

    @property
    def waiting(self):
        """Return (missed calls, callback attempts) by number, of both parts."""
        return {row[0]: (_first(row[2]), _first(row[3])) for rows in self.rows.values() for row in rows}


def _text(cell):
    cell = re.sub(r'<span class="admin-label">.*?</span>', "", cell)
    return " ".join(re.sub(r"<[^>]+>", " ", cell).split())


def _first(text):
    return int(re.search(r"\d+", text)[0])


def create_tenant(zone, **more):
    name = zone.split("/")[1]
    tenant = Tenant.objects.create(name=name, slug=name.lower(), time_zone=zone, activated_at=NOW, **more)
    UisConnection.objects.create(tenant=tenant)
    CrmConnection.objects.create(tenant=tenant, address=f"https://{name.lower()}.retailcrm.ru")
    rule_versions.begin(tenant, {}, now=timezone.now())
    return tenant


def call(tenant, at, *, contact=CONTACT, kind="missed", **more):
    """Create a call that began at a moment."""
    values = {"started_at": at, "ended_at": at + timedelta(seconds=70), "retry_window_started_at": at, "number": NUMBER}
    session = Call.objects.filter(tenant=tenant).count() + 1
    return Call.objects.create(tenant=tenant, session_id=session, contact=contact, **values | KINDS[kind] | more)


def add_random_calls(tenant, *, seed, count=250):
    """Create random calls of five weeks, many within minutes of midnight or of the ends of business hours."""
    random_source, zone = random.Random(seed), ZoneInfo(tenant.time_zone)
    contacts = [f"7999100{number:04}" for number in range(count // 4)] + [""]
    calls = []
    for session in range(count):
        day = NOW.astimezone(zone).date() - timedelta(days=random_source.randrange(0, 36))
        hour = random_source.choice([0, 0, 9, 18, random_source.randrange(24)])
        near = datetime.combine(day, time(hour), tzinfo=zone).astimezone(UTC)
        at = min(near + timedelta(minutes=random_source.randrange(-3, 3), seconds=random_source.randrange(60)), NOW)
        values = {
            "started_at": at,
            "ended_at": at + timedelta(seconds=70),
            "retry_window_started_at": at,
            "number": NUMBER,
        }
        kind = KINDS[random_source.choice([*KINDS, "missed", "missed", "missed"])]
        calls.append(Call(tenant=tenant, session_id=session, contact=random_source.choice(contacts), **values | kind))
    Call.objects.bulk_create(calls)


def kind_of(call):
    """Return the kind of a call, without the code under test."""
    if call.is_internal or call.state == "DEBOUNCING" or call.skip_reason in {"CONTACT", "NUMBER", "EMPLOYEE"}:
        return None
    if call.direction == "in" and call.is_lost and not call.talk_seconds:
        return None if call.result == "NOT_ALLOWED" else "miss"
    if call.result == "ANSWERED" or (call.result == "" and call.talk_seconds):
        return "talk"
    return "attempt" if call.direction == "out" and call.result else None


def replay(calls):
    """Replay the calls of one number; return the open missed calls, the callback attempts and the ended waits."""
    events = [(call.ended_at if kind_of(call) == "talk" else call.started_at, kind_of(call), call) for call in calls]
    open_misses, attempts, ended = [], 0, []
    for _at, kind, call in sorted(events, key=lambda event: (event[0], event[1] != "talk")):
        if kind == "talk":
            answered_at = call.started_at + timedelta(seconds=call.wait_seconds)
            ended += [(open_misses[0], answered_at)] if open_misses else []
            open_misses, attempts = [], 0
        open_misses += [call.started_at] if kind == "miss" else []
        attempts += kind == "attempt" and bool(open_misses)
    return open_misses, attempts, ended


def is_in_business_hours(local):
    return time(9) <= local.time() < time(18) and local.weekday() < 5


def count_independently(tenant, today, *, days):
    """Return waiting callers, those of them after hours only, the waits ended today and the hidden-number misses."""
    zone, waiting, after_hours, closed_today = ZoneInfo(tenant.time_zone), {}, set(), 0
    calls_by_contact = {}
    for call in Call.objects.filter(tenant=tenant):
        calls_by_contact.setdefault(call.contact, []).append(call)
    hidden_calls = calls_by_contact.pop("", [])
    hidden = [call.started_at.astimezone(zone) for call in hidden_calls if kind_of(call) == "miss"]
    for contact, calls in calls_by_contact.items():
        open_misses, attempts, ended = replay(calls)
        closed_today += sum(began.astimezone(zone).date() == today for _since, began in ended)
        local = [moment.astimezone(zone) for moment in open_misses]
        if local and today - timedelta(days=days) < local[-1].date():
            waiting[contact] = (len(open_misses), attempts)
            after_hours |= set() if any(map(is_in_business_hours, local)) else {contact}
    return waiting, after_hours, closed_today, sum(today - timedelta(days=days) < at.date() for at in hidden)


# Each zone is tested once in every run; all zones with all periods only in the exhaustive run.
EVERY_RUN = [*zip(ZONES, itertools.cycle(DAYS), strict=False)]
BOARDS = [
    pytest.param(*board, marks=() if board in EVERY_RUN else pytest.mark.exhaustive)
    for board in itertools.product(ZONES, DAYS)
]


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize(("zone", "days"), BOARDS)
def test_board_equals_an_independent_count(open_board, monkeypatch, zone, days):
    monkeypatch.setattr("connector_project.operations.admin.missed_callers.PAGE_SIZE", 1000)
    tenant, other_tenant = create_tenant(zone), create_tenant("Europe/Samara")
    add_random_calls(tenant, seed=f"{zone}{days}")
    add_random_calls(other_tenant, seed=5)
    waiting, after_hours, closed_today, hidden = count_independently(
        tenant, NOW.astimezone(ZoneInfo(zone)).date(), days=days
    )
    board = open_board(tenant, days=days)
    assert board.waiting == {phone_numbers.e164(contact): counts for contact, counts in waiting.items()}
    assert {row[0] for row in board.rows["after"]} == {phone_numbers.e164(contact) for contact in after_hours}
    assert board.counts == {"page": len(waiting) - len(after_hours), "after": len(after_hours)}
    assert (board.summary["waiting"], board.summary["closed today"]) == (str(len(waiting)), str(closed_today))
    assert (board.summary["after hours"], board.summary["hidden"]) == (str(len(after_hours)), str(hidden))


@pytest.mark.slow
@pytest.mark.usefixtures("_now")
def test_caller_is_listed_until_someone_talks_to_them(open_board, notify, pbx, tenant, stranger):
    lost = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=NOW - HOUR)
    notify(lost.notification("waiting", employee_id=IVAN), lost.notification("lost_call"))
    again = pbx.call(contact=CONTACT, number=NUMBER, rings=[PETR], started_at=NOW - HOUR / 2)
    notify(again.notification("waiting", employee_id=PETR), again.notification("lost_call"))
    [row] = open_board(tenant).rows["after"]
    assert (row[0], row[4]) == ("+79990000001", "Петров Пётр (102)")
    assert [re.findall(r"[\d:]*\d", cell) for cell in row[1:4]] == [["1", "0:40"], ["2", "1:10"], ["0"]]
    assert open_board(stranger).waiting == {}
    back = pbx.call(
        contact=CONTACT, number=NUMBER, direction="out", talks=[(PETR, 30)], started_at=NOW - timedelta(minutes=10)
    )
    notify(back.notification("call_end"))
    board = open_board(tenant)
    assert board.waiting == {}
    assert board.summary["closed today"] == "1"
    assert open_board(stranger).summary["closed today"] == "0"


@pytest.mark.usefixtures("_now", "db")
def test_missed_call_found_after_a_talk_is_closed(open_board):
    tenant = create_tenant("Europe/Moscow")
    call(tenant, NOW - HOUR, kind="answered")
    call(tenant, NOW - 2 * HOUR, origin="REPORT", is_low_priority=True)
    assert open_board(tenant).waiting == {}
    call(tenant, NOW - HOUR / 2)
    assert open_board(tenant).waiting == {"+79990000001": (1, 0)}


@pytest.mark.usefixtures("_now", "db")
def test_talk_reported_after_the_upload_closes_the_missed_call(open_board):
    tenant = create_tenant("Europe/Moscow")
    call(tenant, NOW - 2 * HOUR)
    later_call = call(tenant, NOW - HOUR)
    later_call.log(Step.LATE_ANSWER, now=NOW)
    assert open_board(tenant).waiting == {}
    call(tenant, NOW - HOUR / 2)
    assert open_board(tenant).waiting == {"+79990000001": (1, 0)}


@pytest.mark.usefixtures("_now", "db")
def test_filtered_numbers_and_employees_are_not_listed(open_board):
    tenant = create_tenant("Europe/Moscow")
    for contact in (CONTACT, BLOCKED, OWN, "74950000002"):
        call(tenant, NOW - HOUR, contact=contact)
    call(tenant, NOW - HOUR, contact=OTHER, number="74950000009")
    assert len(open_board(tenant).waiting) == 5
    Employee.objects.create(tenant=tenant, uis_id=1, full_name="Anna", numbers=[OWN])
    VirtualNumber.objects.create(tenant=tenant, number="74950000002")
    shared = VirtualNumber.objects.create(tenant=tenant, number="74950000009")
    lists = {"contact_filter": "EXCEPT", "contacts": "8 999 000-00-03", "number_filter": "EXCEPT"}
    publish_rules(tenant, numbers=[shared], **lists)
    assert open_board(tenant).waiting == {"+79990000001": (1, 0)}


@pytest.mark.usefixtures("_now", "db")
def test_owner_is_shown_and_filters_the_board(open_board):
    tenant = create_tenant("Europe/Moscow")
    ivan = Employee.objects.create(tenant=tenant, uis_id=1, full_name="Ivan", extension="101", crm_user_id=27)
    CrmUser.objects.create(tenant=tenant, crm_id=99, name="Olga")
    call(tenant, NOW - 4 * HOUR, contact="79990000001", employee=ivan)
    call(tenant, NOW - 3 * HOUR, contact="79990000001")
    call(tenant, NOW - 3 * HOUR, contact="79990000002", employee=ivan, crm_user_id=99)
    call(tenant, NOW - 2 * HOUR, contact="79990000003", crm_user_id=27)
    call(tenant, NOW - HOUR, contact="79990000004")
    call(tenant, NOW - HOUR, contact="79990000005", crm_user_id=100)
    board = open_board(tenant)
    options = re.findall(r'<option value="([^"]+)"[^>]*>(.*?): (\d+)</option>', board.html)
    assert options[0] == (f"employee-{ivan.pk}", "Ivan (101)", "2")
    assert {option[0] for option in options[1:]} == {"nobody", "user-99", "user-100"}
    names = {key: name for key, name, _count in options}
    assert ("100" in names["user-100"], names["nobody"] not in {"", "Ivan (101)", "Olga"}) == (True, True)
    assert [(row[0][-1], row[4]) for row in board.rows["after"]] == [
        ("1", "Ivan (101)"),
        ("2", "Olga"),
        ("3", "Ivan (101)"),
        ("4", names["nobody"]),
        ("5", names["user-100"]),
    ]
    assert set(open_board(tenant, owner=f"employee-{ivan.pk}").waiting) == {"+79990000001", "+79990000003"}
    assert set(open_board(tenant, owner="nobody").waiting) == {"+79990000004"}
    assert open_board(tenant, owner="nonsense").waiting == {}


@pytest.mark.slow
@pytest.mark.usefixtures("_now", "db")
def test_longest_waiting_caller_is_first_across_pages(open_board):
    tenant = create_tenant("Europe/Moscow")
    for number in range(60):
        call(tenant, NOW - DAY - number * timedelta(minutes=1), contact=f"7999000{number:04}")
    call(tenant, NOW - HOUR, contact="79990000059")
    board = open_board(tenant)
    assert board.counts == {"page": 0, "after": 60}
    assert [row[0] for row in board.rows["after"]][:2] == ["+79990000059", "+79990000058"]
    assert [row[0] for row in open_board(tenant, after=2).rows["after"]][-1] == "+79990000000"
    assert [row[0] for row in open_board(tenant, order="newest").rows["after"]][:2] == ["+79990000059", "+79990000000"]
    query = set(re.findall(r'href="\?([^"]*after=2[^"]*)"', open_board(tenant, order="newest", days=30).html))
    assert query == {"order=newest&amp;days=30&amp;after=2"}


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize(("query", "chosen"), [({}, "7"), ({"days": 30}, "30"), ({"days": 5}, "7")])
def test_period_is_a_week_unless_a_valid_one_is_chosen(open_board, query, chosen):
    html = open_board(create_tenant("Europe/Moscow"), **query).html
    offered = re.findall(r'href="\?days=(\d+)"( aria-current="true")?', html)
    assert [days for days, _is_chosen in offered] == ["1", "7", "30", "90"]
    assert [days for days, is_chosen in offered if is_chosen] == [chosen]


@pytest.mark.usefixtures("_now", "db")
def test_closed_today_shows_the_median_wait(open_board):
    tenant = create_tenant("Europe/Moscow")
    midnight = datetime(2026, 4, 1, tzinfo=ZoneInfo("Europe/Moscow"))
    waits = (timedelta(minutes=5), timedelta(minutes=20), timedelta(hours=30))
    for number, wait in enumerate(waits):
        began = midnight + HOUR
        call(tenant, began - wait, contact=f"7999000000{number}")
        call(tenant, began - timedelta(seconds=10), contact=f"7999000000{number}", kind="reached")
    call(tenant, midnight - HOUR, contact="79990000007")
    call(tenant, midnight - HOUR / 2, contact="79990000007", kind="answered")  # That was yesterday.
    board = open_board(tenant)
    assert (board.summary["closed today"], median(waits)) == ("3", timedelta(minutes=20))
    assert board.summary["median"].replace("\xa0", " ") == "20 minutes"


@pytest.mark.usefixtures("_now", "db")
def test_truncated_board_shows_a_notice(open_board, monkeypatch):
    tenant = create_tenant("Europe/Moscow")
    for number in range(3):
        call(tenant, NOW - number * HOUR, contact=f"7999000000{number}")
    assert "<strong>" not in open_board(tenant).html.partition('id="missed-rules"')[2]
    monkeypatch.setattr(queries, "MAX_MISSED_CALLS", 2)
    board = open_board(tenant)
    assert set(board.waiting) == {"+79990000000", "+79990000001"}
    assert re.search(r"<strong>[^<]*\b2\b", board.html.partition('id="missed-rules"')[2])


@pytest.mark.usefixtures("_now")
def test_numbers_are_masked_for_support_in_text_and_urls(open_board, client, tenant):
    call(tenant, NOW - HOUR)
    support = create_user("support", "Support")
    client.force_login(support)
    board = open_board(tenant, client=client)
    assert set(board.waiting) == {"7999***0001"}
    assert CONTACT not in board.html
    [calls] = re.findall(r'href="([^"]*/telephony/call/\?[^"]*)"', board.html)
    assert not AccessLogEntry.objects.exists()
    assert calls.endswith(f"?q=0001&amp;tenant__id__exact={tenant.pk}")
    assert client.get(calls.replace("&amp;", "&")).status_code == 200
    support.user_permissions.add(Permission.objects.get(codename="view_full_numbers"))
    board = open_board(tenant, client=client)
    assert set(board.waiting) == {"+79990000001"}
    assert f"?q={CONTACT}&amp;tenant__id__exact={tenant.pk}" in board.html


@pytest.mark.usefixtures("_now", "db")
def test_access_to_full_numbers_is_logged(open_board):
    tenant, other_tenant = create_tenant("Europe/Moscow"), create_tenant("Europe/Samara")
    call(tenant, NOW - 3 * HOUR)
    latest = [call(tenant, NOW - HOUR), call(tenant, NOW - 2 * HOUR, contact=OTHER)]
    call(tenant, NOW - 40 * DAY, contact=BLOCKED)
    call(other_tenant, NOW - HOUR)
    open_board(tenant)
    entries = AccessLogEntry.objects.order_by("call").values_list("call", "tenant", "kind", "username", "address", "at")
    expected = [(call.pk, tenant.pk, "PHONE_NUMBER", "admin", "127.0.0.x", NOW) for call in latest]
    assert list(entries.all()) == expected
    assert all(reverse("admin:telephony_call_change", args=[call.pk]) in open_board(tenant).html for call in latest)
    assert list(entries.all()) == expected  # Reloading the page adds no entry.
    with time_machine.travel(NOW + HOUR, tick=False):
        open_board(tenant)
    assert entries.all().count() == 4


def test_board_needs_permission_for_clients_and_calls(client, tenant):
    pages = [reverse("admin:tenants_missed_callers"), reverse("admin:tenants_tenant_missed_callers", args=[tenant.pk])]
    assert [client.get(page).status_code for page in pages] == [302, 302]
    visitor = User.objects.create_user("visitor", is_staff=True)
    client.force_login(visitor)
    for codename in ("view_tenant", "view_call"):
        assert [client.get(page).status_code for page in pages] == [403, 403]
        visitor.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(User.objects.get(pk=visitor.pk))
    assert [client.get(page).status_code for page in pages] == [200, 200]
    assert client.get(reverse("admin:tenants_tenant_missed_callers", args=[0])).status_code == 404


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize("count", [40, 400])
def test_board_has_a_fixed_query_count(open_board, django_assert_num_queries, count):
    tenant = create_tenant("Europe/Moscow")
    for number in range(count // 20):
        Employee.objects.create(tenant=tenant, uis_id=number, full_name=f"Person {number}")
    add_random_calls(tenant, seed=3, count=count)
    call(tenant, NOW, crm_user_id=99)
    with django_assert_num_queries(15):
        open_board(tenant, days=90)


@pytest.mark.usefixtures("_now")
def test_other_pages_link_to_the_board(admin_client, tenant, stranger):
    board = reverse("admin:tenants_tenant_missed_callers", args=[tenant.pk])
    choice = reverse("admin:tenants_missed_callers")
    assert board in admin_client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert choice in admin_client.get(reverse("admin:index")).content.decode()
    assert choice in admin_client.get(reverse("admin:tenants_tenant_changelist")).content.decode()
    page = admin_client.get(choice).content.decode()
    assert board in page
    assert reverse("admin:tenants_tenant_missed_callers", args=[stranger.pk]) in page


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize("language", ["ru", "en"])
def test_board_is_in_both_languages_without_external_hosts(open_board, language):
    tenant = create_tenant("Europe/Moscow")
    add_random_calls(tenant, seed=2, count=40)
    board = open_board(tenant, language=language)
    with translation.override(language):
        assert str(callers_page.ORDERS["newest"]).lower() in board.text.lower()
    assert f'<html lang="{language}"' in board.html
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', board.html) == []
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", board.html) == []
