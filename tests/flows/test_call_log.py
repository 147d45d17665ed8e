"""The list of calls: search by any form of a number, by employee and session; keyset pages without a count."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from telephony.models import Call, FailureReason, Result, State
from tenants import rule_labels, rule_versions
from tenants.models import Employee, Tenant, VirtualNumber
from tenants.transfer_rules import SkipReason
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.users import create_user

LOG = "/admin/telephony/call/"
ENGLISH = {"accept-language": "en"}
NOON = datetime(2026, 11, 24, 9, tzinfo=UTC)  # noon in Moscow


@pytest.fixture(autouse=True)
def _support(client, tenant):
    user = create_user("sveta", "Support")
    client.force_login(user)


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False):
        yield NOON


@pytest.fixture
def add(tenant):
    """Create a call; returns it."""
    numbers = itertools.count(9_100_000_001)

    def create(**values):
        at = values.pop("at", timezone.now())
        defaults = {"tenant": tenant, "session_id": next(numbers), "state": "UPLOADED", "direction": "in"}
        defaults |= {
            "contact": "74951112233",
            "number": NUMBER,
            "started_at": at,
            "ended_at": at,
            "retry_window_started_at": at,
        }
        return Call.objects.create(**(defaults | values))

    return create


def found(client, **query):
    """Return the sessions the list shows."""
    answer = client.get(LOG, query, headers=ENGLISH)
    assert answer.status_code == 200
    return [row.session_id for row in answer.context["cl"].result_list]


@pytest.mark.parametrize(
    "typed",
    [
        *("+79990000001", "79990000001", "89990000001", "9990000001", "0001", "001"),
        *("8 (999) 000-00-01", "+7 999 000 00 01", "+7(999)0000001", "999.000.00.01", " 8 999 000–00–01 "),
    ],
)
def test_contact_is_found_by_any_form_of_the_number(client, add, typed):
    wanted = add(contact=CONTACT)
    add(contact="79990000012"), add(contact=""), add(contact="102")
    assert found(client, q=typed) == [wanted.session_id]


def test_number_with_plus_eight_is_not_searched_as_russian(client, add):
    japanese = add(contact="81312345678")
    add(contact="71312345678")
    assert found(client, q="+81312345678") == [japanese.session_id]
    assert len(found(client, q="81312345678")) == 2


@pytest.mark.parametrize("digits", ["999", "0999", "9", "99", "a", "+", "9" * 30, "uis-", "'; DROP TABLE"])
def test_search_finds_numbers_ending_in_three_or_more_digits_only(client, add, digits):
    call = add(contact="79990000999")
    assert found(client, q=digits) == ([call.session_id] if digits in {"999", "0999"} else [])


def test_call_is_found_by_session_and_by_its_id_in_the_crm(client, add):
    wanted, _other = add(), add()
    assert found(client, q=str(wanted.session_id)) == [wanted.session_id]
    assert found(client, q=f"uis-{wanted.session_id}") == [wanted.session_id]


@pytest.mark.parametrize("typed", ["Петров", "петров пётр", "ПЁТР", "102"])
def test_call_is_found_by_its_employee(client, add, typed):
    wanted = add(employee=Employee.objects.get(uis_id=PETR))
    add(employee=Employee.objects.get(uis_id=IVAN)), add()
    assert found(client, q=typed) == [wanted.session_id]


def test_number_that_is_also_a_contact_elsewhere_finds_both_calls(client, add, db):
    other = Tenant.objects.create(name="Other", slug="other")
    rule_versions.begin(other, {}, now=timezone.now())
    called, elsewhere = add(), add(tenant=other, contact=NUMBER, number="74950000099")
    assert set(found(client, q=NUMBER)) == {called.session_id, elsewhere.session_id}


def test_virtual_number_finds_the_calls_on_it(client, add, tenant):
    assert VirtualNumber.objects.filter(number=NUMBER).exists()
    wanted = add(number=NUMBER)
    add(number="74950000002")
    for typed in (f"+{NUMBER}", "8 (495) 000-00-01"):
        assert found(client, q=typed) == [wanted.session_id]


@pytest.mark.parametrize(
    ("query", "values", "others"),
    [
        ({"direction": "out"}, {"direction": "out"}, {}),
        ({"outcome": "answered"}, {"result": "ANSWERED"}, {"is_lost": True}),
        ({"outcome": "missed"}, {"is_lost": True, "result": "NO_ANSWER"}, {"result": "ANSWERED", "talk_seconds": 5}),
        ({"outcome": "not_reached"}, {"direction": "out", "result": "BUSY"}, {"is_lost": True, "result": "BUSY"}),
        ({"status": "failed"}, {"state": "READY", "failed_at": NOON}, {"state": "READY"}),
        ({"status": "waiting"}, {"state": "FETCHING_LEGS"}, {"state": "READY", "failed_at": NOON}),
        ({"status": "SKIPPED"}, {"state": "SKIPPED", "skip_reason": "CONTACT"}, {}),
        ({"reason": "CRM_REFUSED"}, {"reason": "CRM_REFUSED"}, {"reason": "CRM_DENIED"}),
        ({"rule": "INTERNAL_OFF"}, {"skip_reason": "INTERNAL_OFF"}, {"skip_reason": "NUMBER"}),
        ({"number": "+7 495 000-00-02"}, {"number": "74950000002"}, {}),
        ({"number": "8 (495) 000-00-02"}, {"number": "74950000002"}, {}),
        ({"recording": "yes"}, {"recording_url": "https://example.com/a"}, {}),
        ({"recording": "no"}, {}, {"recording_url": "https://example.com/a"}),
        ({"day": "2026-11-24"}, {"at": NOON}, {"at": NOON - timedelta(hours=12, seconds=1)}),
        ({"day": "2026-11-23"}, {"at": NOON - timedelta(hours=12, seconds=1)}, {"at": NOON - timedelta(hours=12)}),
    ],
)
def test_filter_keeps_matching_calls(client, add, query, values, others):
    wanted = add(**values)
    add(**others)
    assert found(client, **query) == [wanted.session_id]


def test_filters_combine_and_respect_the_tenant(client, add, tenant, stranger):
    wanted = add(direction="out", contact=CONTACT)
    add(contact=CONTACT), add(direction="out")
    assert found(client, direction="out", q="0001", tenant__id__exact=tenant.pk) == [wanted.session_id]
    assert found(client, direction="out", q="0001", tenant__id__exact=stranger.pk) == []


def test_day_filter_uses_each_tenants_time_zone(client, add, tenant, stranger):
    Tenant.objects.filter(pk=stranger.pk).update(time_zone="Asia/Vladivostok")
    late = NOON.replace(hour=20)  # 23 in Moscow, six in the morning of the next day in Vladivostok
    call = add(at=late)
    assert found(client, day="2026-11-24") == [call.session_id]
    Call.objects.update(tenant=stranger)
    assert found(client, day="2026-11-24") == []
    assert found(client, day="2026-11-25") == [call.session_id]
    Call.objects.all().delete()


@pytest.mark.parametrize(
    "query",
    [
        *({"day": "yesterday"}, {"day": "0001-01-01"}, {"tenant__id__exact": "x"}, {"status": "x"}, {"reason": "x"}),
        *({"number": "abc"}, {"pks": "x,"}, {"outcome": "x"}, {"rule": "x"}, {"recording": "x"}),
    ],
)
def test_filter_with_an_invalid_value_finds_nothing(client, add, query):
    add()
    assert found(client, **query) == []


EDGE = {"after": "0001-01-01T00:00:00+23:59_5"}


@pytest.mark.parametrize("query", [{"after": "x"}, {"before": "2026_x"}, EDGE, {"p": "7"}, {"o": "1.2"}])
def test_unknown_parameters_change_nothing(client, add, query):
    assert found(client, **query) == [] == list(Call.objects.all())
    call = add()
    assert found(client, **query) == [call.session_id]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"detail__contains": "a"}, "detail__contains"),
        ({"pks": ""}, "Selected"),
        ({"day": "yesterday"}, "Day"),
        ({"session_id": "x"}, "Session"),
    ],
)
def test_list_with_an_invalid_parameter_is_empty_and_names_it(client, add, query, named):
    add()
    answer = client.get(LOG, query, headers=ENGLISH)
    assert list(answer.context["cl"].result_list) == []
    [message] = re.findall(r'<p class="errornote">(.*?)</p>', answer.content.decode())
    assert message.startswith(named)


def test_unknown_filter_is_rejected_by_bulk_actions_and_exports_too(client, add):
    add()
    for kind in ("RETRY", "SKIP"):
        url = reverse("admin:telephony_bulkaction_preview", args=[kind])
        assert client.get(url, {"detail__contains": "a"}).status_code == 404
    answer = client.post(f"{LOG}export/csv/?detail__contains=a")
    assert (answer.status_code, answer.url) == (302, f"{LOG}?detail__contains=a")


@pytest.mark.slow
def test_pages_list_every_call_once_newest_first(client, add, noon):
    moments = [NOON - timedelta(seconds=number // 3) for number in range(120)]  # three calls a second
    calls = sorted((add(at=at) for at in moments), key=lambda call: (call.started_at, call.pk), reverse=True)
    pages, address = [], LOG
    while address:
        cl = client.get(address).context["cl"]
        pages.append([row.pk for row in cl.result_list])
        assert bool(cl.newer) == (len(pages) > 1)
        address = cl.older and f"{LOG}{cl.older}"
        if len(pages) == 1:
            add(at=NOON + timedelta(seconds=1))  # A new call must not shift the pages.
    assert [len(page) for page in pages] == [50, 50, 20]
    assert list(itertools.chain.from_iterable(pages)) == [call.pk for call in calls]
    back = [row.pk for row in client.get(f"{LOG}{cl.newer}").context["cl"].result_list]
    assert back == pages[1]
    first = client.get(f"{LOG}{client.get(LOG + cl.newer).context['cl'].newer}").context["cl"]
    assert ([row.pk for row in first.result_list], bool(first.newer)) == (pages[0], True)


@pytest.mark.slow
def test_page_links_keep_the_filters_and_the_filter_form_resets_the_page(client, add, noon):
    for number in range(60):
        add(at=NOON - timedelta(minutes=number), direction="out")
    answer = client.get(LOG, {"direction": "out"})
    older = answer.context["cl"].older
    assert re.match(r"\?after=[^&]+&direction=out$", older)
    html = client.get(f"{LOG}{older}").content.decode()
    assert 'name="after"' not in html
    assert 'value="out" selected' in html


@pytest.mark.slow
def test_page_has_a_fixed_query_count_without_a_count_query(client, add, tenant):
    queries_by_filter = [
        {},
        {"q": "0001"},
        {"q": "Петров"},
        {"status": "failed", "reason": "CRM_REFUSED"},
        {"day": "2026-11-24"},
        {"tenant__id__exact": tenant.pk},
    ]
    costs = []
    for count in (2, 70):
        for _call in range(count):
            add(contact=CONTACT, employee=Employee.objects.get(uis_id=PETR), at=NOON)
        client.get(LOG)
        for filters in queries_by_filter:
            with CaptureQueriesContext(connection) as queries:
                client.get(LOG, filters)
            costs.append(len(queries))
            assert not [query for query in queries if "COUNT(" in query["sql"]]
    assert costs[: len(queries_by_filter)] == costs[len(queries_by_filter) :]
    assert max(costs) <= 8


def rows_of(answer):
    """Return the text of each row, and the CSS class of its state."""
    table = answer.content.decode().split('id="result_list"')[1].split("<tbody>")[1].split("</tbody>")[0]
    for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL):
        text = " ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split())
        result = re.search(r'class="field-duration">(.*?)</td>', row, re.DOTALL)[1]
        yield text, re.search(r'class="admin-state admin-(\w+)"', row)[1], result


def test_row_shows_call_result_state_and_reason(client, add, noon):
    petr = Employee.objects.get(uis_id=PETR)
    add(contact=CONTACT, employee=petr, talk_seconds=65, result="ANSWERED")
    add(state="READY", reason="CRM_REFUSED", failed_at=NOON, is_lost=True, result="NO_ANSWER", wait_seconds=12)
    add(state="SKIPPED", skip_reason="INTERNAL_OFF", contact="", direction="out", result="BUSY")
    add(state="FETCHING_LEGS", reason="LEGS_NOT_READY")
    collecting, skipped, failed, uploaded = rows_of(client.get(LOG, headers=ENGLISH))
    with translation.override("en"):
        expected = (
            (uploaded, ("12:00 Ромашка ← 7999***0001 +74950000001", "Петров Пётр (102)", "1:05", State.UPLOADED.label)),
            (failed, ("0:12", FailureReason.CRM_REFUSED.label)),
            (skipped, (Result.BUSY.label, State.SKIPPED.label, rule_labels.label(SkipReason.INTERNAL_OFF))),
            (collecting, (State.FETCHING_LEGS.label, FailureReason.LEGS_NOT_READY.label)),
        )
        for (text, _state, _result), values in expected:
            assert all(str(value) in text for value in values), text
    assert [state for _text, state, _result in (uploaded, failed, skipped)] == ["active", "failed", "quiet"]
    assert all(result.strip() for _text, _state, result in (uploaded, failed, skipped, collecting))
    assert re.search(r"→ \S.* \+74950000001", skipped[0])  # a text in place of the hidden number


def test_list_offers_the_actions_for_selected_calls(client, add):
    add()
    (offered,) = re.findall(r'<select name="action"[^>]*>(.*?)</select>', client.get(LOG).content.decode(), re.DOTALL)
    assert {"retry", "skip_selected"} <= set(re.findall(r'<option value="(\w*)"', offered))


def test_empty_list_links_to_unreadable_notifications(client, add):
    html = client.get(LOG, {"q": "+7 111 222-33-44"}, headers=ENGLISH).content.decode()
    empty = html.split('class="admin-empty"')[1].split("</div>")[0]
    assert reverse("admin:telephony_notification_unreadable") in empty
