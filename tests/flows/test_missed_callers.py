"""The missed-callers board: it equals what the test counts itself, call by call, in the client's time zone."""

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
from django.utils import translation

from connector_project.core import phone_numbers
from connector_project.operations.admin import missed_callers as callers_page
from telephony.missed_callers import queries
from telephony.models import AccessLogEntry, Call, Step
from tenants.models import CrmConnection, CrmUser, Employee, Tenant, TransferRules, UisConnection, User, VirtualNumber
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.users import create_user

# Summer time began on 29 March in Berlin, and on 8 March in New York; Kolkata is half an hour off.
NOW = datetime(2026, 3, 31, 22, 40, tzinfo=UTC)
ZONES = ("Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Vladivostok")
DAYS = (1, 7, 30, 90)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OTHER, BLOCKED, OWN = "79990000002", "79990000003", "79990000011"
FACTS = ("waiting", "after hours", "over a day", "closed today", "median", "hidden")  # in the order of the board
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
    "turned away": MISSED | {"result": "NOT_ALLOWED"},
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

    def open_page(tenant, *, client=None, language="en", **query):
        where = reverse("admin:tenants_tenant_missed_callers", args=[tenant.pk])
        answer = (client or admin_client).get(where, query, headers={"accept-language": language})
        assert answer.status_code == 200
        return BoardPage(answer)

    return open_page


class BoardPage:
    """What the board shows, parsed from its HTML."""

    def __init__(self, answer):
        self.html, self.words = answer.content.decode(), html_text.words(answer)
        self.facts = dict(zip(FACTS, re.findall(r"<dt>.*?</dt><dd>(.*?)</dd>", self.html), strict=True))
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


def client_of(zone, **more):
    name = zone.split("/")[1]
    tenant = Tenant.objects.create(name=name, slug=name.lower(), time_zone=zone, activated_at=NOW, **more)
    UisConnection.objects.create(tenant=tenant)
    CrmConnection.objects.create(tenant=tenant, address=f"https://{name.lower()}.retailcrm.ru")
    TransferRules.objects.create(tenant=tenant)
    return tenant


def call(tenant, at, *, contact=CONTACT, kind="missed", **more):
    """Create a call that began at a moment."""
    facts = {"started_at": at, "ended_at": at + timedelta(seconds=70), "retry_window_started_at": at, "number": NUMBER}
    session = Call.objects.filter(tenant=tenant).count() + 1
    return Call.objects.create(tenant=tenant, session_id=session, contact=contact, **facts | KINDS[kind] | more)


def busy(tenant, *, seed, count=250):
    """Create calls of five weeks, many within minutes of midnight or of the end of business hours."""
    dice, zone = random.Random(seed), ZoneInfo(tenant.time_zone)
    contacts = [f"7999100{number:04}" for number in range(count // 4)] + [""]
    calls = []
    for session in range(count):
        day = NOW.astimezone(zone).date() - timedelta(days=dice.randrange(0, 36))
        hour = dice.choice([0, 0, 9, 18, dice.randrange(24)])
        near = datetime.combine(day, time(hour), tzinfo=zone).astimezone(UTC)
        at = min(near + timedelta(minutes=dice.randrange(-3, 3), seconds=dice.randrange(60)), NOW)
        facts = {
            "started_at": at,
            "ended_at": at + timedelta(seconds=70),
            "retry_window_started_at": at,
            "number": NUMBER,
        }
        kind = KINDS[dice.choice([*KINDS, "missed", "missed", "missed"])]
        calls.append(Call(tenant=tenant, session_id=session, contact=dice.choice(contacts), **facts | kind))
    Call.objects.bulk_create(calls)


def kind_of(call):
    """Return the kind of a call, without the code under test."""
    if call.is_internal or call.state == "DEBOUNCING" or call.skip_reason in {"CONTACT", "NUMBER", "EMPLOYEE"}:
        return None
    if call.direction == "in" and call.is_lost and not call.talk_seconds:
        return None if call.result == "NOT_ALLOWED" else "miss"
    if call.result == "ANSWERED" or (call.result == "" and call.talk_seconds):
        return "talk"
    return "try" if call.direction == "out" and call.result else None


def walk(calls):
    """Go through the calls of one number; return the open missed calls, the callbacks since, and the ended waits."""
    moments = [(one.ended_at if kind_of(one) == "talk" else one.started_at, kind_of(one), one) for one in calls]
    queue, tries, over = [], 0, []
    for _moment, kind, one in sorted(moments, key=lambda event: (event[0], event[1] != "talk")):
        if kind == "talk":
            over += [(queue[0], one.started_at + timedelta(seconds=one.wait_seconds))] if queue else []
            queue, tries = [], 0
        queue += [one.started_at] if kind == "miss" else []
        tries += kind == "try" and bool(queue)
    return queue, tries, over


def is_at_work(here):
    return time(9) <= here.time() < time(18) and here.weekday() < 5


def counted(tenant, today, *, days):
    """Return who waits, who of them only after hours, how many waits ended today, how many hidden numbers called."""
    zone, waiting, after_hours, over = ZoneInfo(tenant.time_zone), {}, set(), 0
    of_number = {}
    for one in Call.objects.filter(tenant=tenant):
        of_number.setdefault(one.contact, []).append(one)
    hidden = [one.started_at.astimezone(zone) for one in of_number.pop("", []) if kind_of(one) == "miss"]
    for contact, calls in of_number.items():
        queue, tries, ended = walk(calls)
        over += sum(began.astimezone(zone).date() == today for _since, began in ended)
        local = [moment.astimezone(zone) for moment in queue]
        if local and today - timedelta(days=days) < local[-1].date():
            waiting[contact] = (len(queue), tries)
            after_hours |= set() if any(map(is_at_work, local)) else {contact}
    return waiting, after_hours, over, sum(today - timedelta(days=days) < here.date() for here in hidden)


# Each zone once in every run; all of them with all periods in the long one.
ONCE = [*zip(ZONES, itertools.cycle(DAYS), strict=False)]
BOARDS = [
    pytest.param(*board, marks=() if board in ONCE else pytest.mark.exhaustive)
    for board in itertools.product(ZONES, DAYS)
]


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize(("zone", "days"), BOARDS)
def test_board_equals_an_independent_count(open_board, monkeypatch, zone, days):
    monkeypatch.setattr("connector_project.operations.admin.missed_callers.PAGE_SIZE", 1000)
    tenant, neighbour = client_of(zone), client_of("Europe/Samara")
    busy(tenant, seed=f"{zone}{days}")
    busy(neighbour, seed=5)
    waiting, after_hours, over, hidden = counted(tenant, NOW.astimezone(ZoneInfo(zone)).date(), days=days)
    board = open_board(tenant, days=days)
    assert board.waiting == {phone_numbers.e164(contact): tries for contact, tries in waiting.items()}
    assert {row[0] for row in board.rows["after"]} == {phone_numbers.e164(contact) for contact in after_hours}
    assert board.counts == {"page": len(waiting) - len(after_hours), "after": len(after_hours)}
    assert (board.facts["waiting"], board.facts["closed today"]) == (str(len(waiting)), str(over))
    assert (board.facts["after hours"], board.facts["hidden"]) == (str(len(after_hours)), str(hidden))


@pytest.mark.slow
@pytest.mark.usefixtures("_now")
def test_caller_is_open_until_someone_talks_to_them(open_board, notify, pbx, tenant, stranger):
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
    assert board.facts["closed today"] == "1"
    assert open_board(stranger).facts["closed today"] == "0"


@pytest.mark.usefixtures("_now", "db")
def test_missed_call_found_after_a_talk_is_closed(open_board):
    tenant = client_of("Europe/Moscow")
    call(tenant, NOW - HOUR, kind="answered")
    call(tenant, NOW - 2 * HOUR, origin="REPORT", is_low_priority=True)
    assert open_board(tenant).waiting == {}
    call(tenant, NOW - HOUR / 2)
    assert open_board(tenant).waiting == {"+79990000001": (1, 0)}


@pytest.mark.usefixtures("_now", "db")
def test_talk_reported_after_the_upload_closes_the_missed_call(open_board):
    tenant = client_of("Europe/Moscow")
    call(tenant, NOW - 2 * HOUR)
    talked = call(tenant, NOW - HOUR)
    talked.log(Step.LATE_ANSWER, now=NOW)
    assert open_board(tenant).waiting == {}
    call(tenant, NOW - HOUR / 2)
    assert open_board(tenant).waiting == {"+79990000001": (1, 0)}


@pytest.mark.usefixtures("_now", "db")
def test_blocked_numbers_and_employees_are_not_listed(open_board):
    tenant = client_of("Europe/Moscow")
    for contact in (CONTACT, BLOCKED, OWN, "74950000002"):
        call(tenant, NOW - HOUR, contact=contact)
    call(tenant, NOW - HOUR, contact=OTHER, number="74950000009")
    assert len(open_board(tenant).waiting) == 5
    Employee.objects.create(tenant=tenant, uis_id=1, full_name="Anna", numbers=[OWN])
    VirtualNumber.objects.create(tenant=tenant, number="74950000002")
    shared = VirtualNumber.objects.create(tenant=tenant, number="74950000009")
    tenant.rules.contact_filter, tenant.rules.contacts = "EXCEPT", "8 999 000-00-03"
    tenant.rules.number_filter = "EXCEPT"
    tenant.rules.save()
    tenant.rules.numbers.add(shared)
    assert open_board(tenant).waiting == {"+79990000001": (1, 0)}


@pytest.mark.usefixtures("_now", "db")
def test_owner_is_shown_and_can_be_filtered(open_board):
    tenant = client_of("Europe/Moscow")
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
def test_longest_waiting_is_first_and_pages_follow(open_board):
    tenant = client_of("Europe/Moscow")
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
def test_period_is_one_of_four_and_a_week_by_default(open_board, query, chosen):
    html = open_board(client_of("Europe/Moscow"), **query).html
    offered = re.findall(r'href="\?days=(\d+)"( aria-current="true")?', html)
    assert [days for days, _is_chosen in offered] == ["1", "7", "30", "90"]
    assert [days for days, is_chosen in offered if is_chosen] == [chosen]


@pytest.mark.usefixtures("_now", "db")
def test_closed_today_shows_the_median_wait(open_board):
    tenant = client_of("Europe/Moscow")
    midnight = datetime(2026, 4, 1, tzinfo=ZoneInfo("Europe/Moscow"))
    lengths = (timedelta(minutes=5), timedelta(minutes=20), timedelta(hours=30))
    for number, length in enumerate(lengths):
        began = midnight + HOUR
        call(tenant, began - length, contact=f"7999000000{number}")
        call(tenant, began - timedelta(seconds=10), contact=f"7999000000{number}", kind="reached")
    call(tenant, midnight - HOUR, contact="79990000007")
    call(tenant, midnight - HOUR / 2, contact="79990000007", kind="answered")  # That was yesterday.
    board = open_board(tenant)
    assert (board.facts["closed today"], median(lengths)) == ("3", timedelta(minutes=20))
    assert board.facts["median"].replace("\xa0", " ") == "20 minutes"


@pytest.mark.usefixtures("_now", "db")
def test_truncated_board_shows_a_notice(open_board, monkeypatch):
    tenant = client_of("Europe/Moscow")
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
    tenant, neighbour = client_of("Europe/Moscow"), client_of("Europe/Samara")
    call(tenant, NOW - 3 * HOUR)
    last = [call(tenant, NOW - HOUR), call(tenant, NOW - 2 * HOUR, contact=OTHER)]
    call(tenant, NOW - 40 * DAY, contact=BLOCKED)
    call(neighbour, NOW - HOUR)
    open_board(tenant)
    entries = AccessLogEntry.objects.order_by("call").values_list("call", "tenant", "kind", "username", "address", "at")
    expected = [(one.pk, tenant.pk, "PHONE_NUMBER", "admin", "127.0.0.x", NOW) for one in last]
    assert list(entries.all()) == expected
    assert all(reverse("admin:telephony_call_change", args=[one.pk]) in open_board(tenant).html for one in last)
    assert list(entries.all()) == expected  # Reloading the page adds no entry.
    with time_machine.travel(NOW + HOUR, tick=False):
        open_board(tenant)
    assert entries.all().count() == 4


def test_board_needs_permission_for_clients_and_calls(client, tenant):
    pages = [reverse("admin:tenants_missed_callers"), reverse("admin:tenants_tenant_missed_callers", args=[tenant.pk])]
    assert [client.get(page).status_code for page in pages] == [302, 302]
    nobody = User.objects.create_user("nobody", is_staff=True)
    client.force_login(nobody)
    for missing in ("view_tenant", "view_call"):
        assert [client.get(page).status_code for page in pages] == [403, 403]
        nobody.user_permissions.add(Permission.objects.get(codename=missing))
    client.force_login(User.objects.get(pk=nobody.pk))
    assert [client.get(page).status_code for page in pages] == [200, 200]
    assert client.get(reverse("admin:tenants_tenant_missed_callers", args=[0])).status_code == 404


@pytest.mark.usefixtures("_now", "db")
@pytest.mark.parametrize("count", [40, 400])
def test_board_needs_a_fixed_number_of_queries(open_board, django_assert_num_queries, count):
    tenant = client_of("Europe/Moscow")
    for number in range(count // 20):
        Employee.objects.create(tenant=tenant, uis_id=number, full_name=f"Person {number}")
    busy(tenant, seed=3, count=count)
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
    tenant = client_of("Europe/Moscow")
    busy(tenant, seed=2, count=40)
    board = open_board(tenant, language=language)
    with translation.override(language):
        assert str(callers_page.ORDERS["newest"]).lower() in board.words.lower()
    assert f'<html lang="{language}"' in board.html
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', board.html) == []
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", board.html) == []
