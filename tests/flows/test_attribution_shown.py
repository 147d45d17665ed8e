"""Where calls came from, in the list and its filters, on a call's page, in exports and in the API."""

import csv
import json
from datetime import timedelta
from html import unescape
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from telephony.calls import attribution, filters
from telephony.calls.attribution import Origin, Told
from telephony.models import Call
from tenants import api_keys
from tests import needs
from tests.conftest import CONTACT, NUMBER
from tests.users import create_user

LOG = "/admin/telephony/call/"
ENGLISH = {"accept-language": "en"}
VALUES = {
    "source": "callapi",
    "scenario": "Отдел продаж",
    "campaign": "Весна",
    "tags": ("VIP", "новый"),
    "utm_source": "yandex",
    "rating": 5,
}


@pytest.fixture
def add(tenant):
    """Create a call with what its sources told; returns it."""

    def create(session, *told, owner=tenant, **values):
        at = timezone.now() - timedelta(minutes=session)
        common = {"direction": "in", "contact": CONTACT, "number": NUMBER, "started_at": at, "ended_at": at}
        call = Call(tenant=owner, session_id=session, state="UPLOADED", retry_window_started_at=at, **common | values)
        for one in told:
            attribution.note(call, one)
        call.save()
        return call

    return create


def by_report(**values):
    return Told(origin=Origin.REPORT, values=values or VALUES, at=timezone.now())


@pytest.fixture
def operator(client, db):
    client.force_login(create_user("olga", "Operator"))
    return client


@pytest.fixture
def support(client, db):
    client.force_login(create_user("sveta", "Support"))
    return client


def found(client, **query):
    answer = client.get(LOG, query, headers=ENGLISH)
    assert answer.status_code == 200
    return [call.session_id for call in answer.context["cl"].result_list]


@pytest.fixture
def api(client, tenant):
    """Read the calls of the API with the client's key."""
    _row, key = api_keys.create(tenant, "a program", by=create_user("olga", "Operator"), now=timezone.now())

    def read(**query):
        answer = client.get("/api/v1/calls/", query, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return read


FILTERS = [
    ("source", "callapi", "va"),
    ("scenario", "Отдел продаж", "Отдел"),
    ("campaign", "Весна", "весна"),
    ("tag", "новый", "нов"),
    ("tag", "VIP", '["VIP"]'),
]


@pytest.mark.parametrize(("name", "value", "other"), FILTERS)
def test_list_finds_by_it(operator, add, name, value, other):
    add(1, by_report())
    add(2, by_report(scenario="Меню", tags=("прочее",)))
    add(3)
    assert (found(operator, **{name: value}), found(operator, **{name: other})) == ([1], [])


@pytest.mark.parametrize(("name", "value", "other"), FILTERS)
def test_api_finds_by_it_only_own_calls(api, add, twin, name, value, other):
    add(1, by_report())
    add(2)
    add(1, by_report(), owner=twin)
    [row] = api(**{name: value})["results"]
    assert (row["tenant"], row["session_id"], api(**{name: other})["results"]) == ("romashka", 1, [])


@needs.postgresql_plans
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"source": "callapi"}, "call_of_source"),
        ({"scenario": "Отдел продаж"}, "call_of_scenario"),
        ({"campaign": "Весна"}, "call_of_campaign"),
        ({"tag": "VIP"}, "call_tagged"),
    ],
)
def test_index_serves_each_filter(add, query, index):
    """PostgreSQL prefers to read few rows whole, so that is forbidden here; nor may it read them all by their time."""
    for session in range(20):
        add(session, by_report())
    calls = filters.CallFilterSet(query, Call.objects.order_by()).qs
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert index in calls.explain()


def test_list_suggests_the_names_of_the_newest_calls(operator, add, tenant, twin):
    add(1, by_report())
    add(2, by_report(scenario="Меню", tags=("VIP",)))
    add(3, by_report(campaign="Чужая"), owner=twin)
    suggested = operator.get(LOG, {"tenant__id__exact": tenant.pk}).context["cl"].suggested
    assert suggested == {
        "source": ["callapi"],
        "scenario": ["Меню", "Отдел продаж"],
        "campaign": ["Весна"],
        "tag": ["VIP", "новый"],
    }
    html = operator.get(LOG).content.decode()
    assert ('list="suggested-campaign"' in html, '<option value="Чужая">' in html) == (True, True)


def test_suggestions_are_of_visible_clients(client, add, tenant, twin):
    user = create_user("ira", "Operator")
    user.sees_all_tenants = False
    user.save()
    user.visible_tenants.add(tenant)
    client.force_login(user)
    add(1, by_report(campaign="Чужая"), owner=twin)
    assert client.get(LOG).context["cl"].suggested["campaign"] == []


def test_list_shows_it_in_one_column(operator, add):
    add(1, by_report())
    html = unescape(operator.get(LOG, headers=ENGLISH).content.decode())
    assert 'scenario, campaign, tags: </span>Отдел продаж <div class="text-secondary">Весна · VIP, новый</div>' in html


def test_number_in_a_name_is_masked(support, add):
    call = add(1, by_report(tags=(f"перезвонить {CONTACT}",), campaign=f"клиент +{CONTACT}", utm_term=CONTACT))
    for path in (LOG, f"{LOG}{call.pk}/change/"):
        html = support.get(path, headers=ENGLISH).content.decode()
        assert ("перезвонить" in html, CONTACT in html) == (True, False)


def test_page_names_who_told_what(operator, add):
    number = Told(origin=Origin.STATIC, values={"campaign": "Весна"}, at=timezone.now())
    notified = Told(origin=Origin.NOTIFICATION, values={"scenario": "Меню"}, at=timezone.now())
    call = add(1, number, notified, by_report(utm_source="yandex"))
    answer = operator.get(f"{LOG}{call.pk}/change/", headers=ENGLISH)
    shown = {str(name): (value, told_by.split(",")[0]) for name, value, told_by in answer.context["origin"]}
    assert shown == {
        "campaign": ("Весна", "by the campaign of the virtual number +74950000001"),
        "scenario": ("Меню", "by a notification"),
        "utm_source": ("yandex", "by UIS's report"),
    }


def test_page_without_it_has_no_section(operator, add):
    call = add(1)
    assert b'id="origin"' not in operator.get(f"{LOG}{call.pk}/change/").content


def test_list_costs_the_same_with_any_filter(operator, add):
    for session in range(30):
        add(session, by_report())
    costs = set()
    operator.get(LOG)
    for query in ({}, {"source": "callapi"}, {"scenario": "Отдел продаж"}, {"campaign": "Весна"}, {"tag": "VIP"}):
        with CaptureQueriesContext(connection) as queries:
            operator.get(LOG, query)
        costs.add(len(queries))
    assert len(costs) == 1


def export(tenant, **options):
    out, today = StringIO(), timezone.now().date()
    since, till = str(today - timedelta(days=1)), str(today + timedelta(days=1))
    arguments = ["--tenant", tenant.slug, "--from", since, "--till", till]
    call_command("export_calls", *arguments, "--format", options.get("format", "csv"), stdout=out)
    return out.getvalue()


def test_export_has_a_column_for_each_fact(add, tenant):
    add(1, by_report())
    add(2)
    bare, row = csv.DictReader(StringIO(export(tenant)))
    assert {name: row[name] for name in VALUES} == {**VALUES, "tags": "VIP, новый", "rating": "5"}
    assert not any(bare[name] for name in VALUES)
    record = [json.loads(line) for line in export(tenant, format="jsonl").splitlines()][1]
    assert (record["rating"], record["utm_term"]) == (5, "")


def test_api_tells_who_told_it(api, add):
    add(1, by_report())
    [row] = api()["results"]
    assert [row[name] for name in ("source", "scenario", "campaign", "tags")] == [
        *("callapi", "Отдел продаж", "Весна", ["VIP", "новый"])
    ]
    assert row["attribution"].keys() == VALUES.keys()
    told = row["attribution"]["tags"]
    assert (told["value"], told["told_by"], told["at"][:2]) == (["VIP", "новый"], "REPORT", "20")
