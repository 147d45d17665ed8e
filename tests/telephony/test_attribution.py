"""Where a call came from, resolved from what its sources told: values in, value out."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.calls import attribution, steps
from telephony.calls.attribution import KnownFact, Origin, Told, from_columns, merge, to_columns
from telephony.models import Call, State
from telephony.staff import number_attribution
from telephony.uis import attribution as wire
from telephony.uis.call_facts import ATTRIBUTION, FACTS, REPORT_COLUMNS, Fact, Kind, Price
from telephony.uis.data_api import Listing
from telephony.uis.fields import Locale
from telephony.uis.numbers import Campaign, UisNumber
from tenants.models import Tenant

BEGAN = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
MOSCOW = Locale(ZoneInfo("Europe/Moscow"))


def told(origin, minutes=0, **values):
    return Told(origin=origin, values=values, at=BEGAN + timedelta(minutes=minutes))


def known(*sources):
    return {code: (fact.value, fact.origin) for code, fact in merge({}, *sources).items()}


STATIC, NOTIFIED, REPORTED = (told(origin, campaign=str(origin)) for origin in Origin)


@pytest.mark.parametrize("sources", list(itertools.permutations([STATIC, NOTIFIED, REPORTED])))
def test_report_outranks_notification_and_number_in_any_order(sources):
    assert known(*sources) == known(*sources, *sources) == {"campaign": ("REPORT", Origin.REPORT)}


def test_each_fact_is_of_the_best_source_that_tells_it():
    number = told(Origin.STATIC, campaign="Весна", utm_source="yandex")
    found = known(number, told(Origin.NOTIFICATION, scenario="Меню"), told(Origin.REPORT, campaign="Лето"))
    assert found == {
        "campaign": ("Лето", Origin.REPORT),
        "utm_source": ("yandex", Origin.STATIC),
        "scenario": ("Меню", Origin.NOTIFICATION),
    }


@pytest.mark.parametrize(
    ("origin", "value"), [(Origin.NOTIFICATION, "later"), (Origin.REPORT, "later"), (Origin.STATIC, "earlier")]
)
def test_of_two_that_one_source_told_the_time_decides(origin, value):
    sources = [told(origin, 1, scenario="earlier"), told(origin, 2, scenario="later")]
    assert known(*sources) == known(*sources[::-1]) == {"scenario": (value, origin)}


def test_tags_that_were_taken_away_are_gone():
    sources = [told(Origin.NOTIFICATION, 9, tags=("VIP",)), told(Origin.REPORT, 5, tags=())]
    assert known(*sources) == known(*sources[::-1]) == {"tags": ((), Origin.REPORT)}


VALUES = {Kind.TEXT: st.text(min_size=1, max_size=5), Kind.NAMES: st.lists(st.text(max_size=5)).map(tuple)}
CODES = [code.value for code, sources in ATTRIBUTION.items() if sources.kind in VALUES]
SOURCES = st.builds(
    Told,
    origin=st.sampled_from(Origin),
    values=st.fixed_dictionaries({}, optional={code: VALUES[ATTRIBUTION[code].kind] for code in CODES}),
    at=st.none() | st.integers(0, 3).map(lambda minutes: BEGAN + timedelta(minutes=minutes)),
)


@given(st.lists(SOURCES, max_size=4), st.randoms())
def test_order_repeats_and_the_way_through_the_columns_make_no_difference(sources, random):
    expected = to_columns(merge({}, *sources))
    shuffled = random.sample(sources, len(sources))
    stored = to_columns({})
    for one in [*shuffled, *shuffled]:
        stored = to_columns(merge(from_columns(stored), one))
    assert stored == expected


def test_reading_the_same_again_is_no_news():
    before = merge({}, told(Origin.REPORT, scenario="Меню"))
    assert not attribution.is_news(before, merge(before, told(Origin.REPORT, 9, scenario="Меню")))
    assert attribution.is_news(before, merge(before, told(Origin.REPORT, 9, scenario="Отдел")))
    assert attribution.is_news({}, before)


@pytest.mark.parametrize("document", [{}, {"scenario": "?"}, {"scenario": {"from": "?"}}, {"a": [1]}, None])
def test_column_without_its_source_is_kept(document):
    stored = {"source": "va", "scenario": "Меню", "campaign": "", "tags": ["VIP"], "attribution": document}
    assert {code: fact.value for code, fact in from_columns(stored).items()} == {
        "source": "va",
        "scenario": "Меню",
        "tags": ("VIP",),
    }


def test_document_without_a_value_is_read():
    document = {"utm_term": {"from": "REPORT"}, "rating": {"value": None, "from": "REPORT"}}
    found = from_columns(to_columns({}) | {"attribution": document})
    assert found == {"utm_term": KnownFact("", Origin.REPORT), "rating": KnownFact("None", Origin.REPORT)}


# --- the wire


@pytest.mark.parametrize(
    ("raw", "tags"),
    [
        (["VIP", "VIP", " новый "], ("VIP", "новый")),
        ('["VIP", "новый"]', ("VIP", "новый")),
        ("VIP, новый", ("VIP, новый",)),
        ([], ()),
        ("[]", ()),
        ([None, {"a": 1}, ""], None),
        ("[broken", None),
        ("[" * 100_000, None),
        (7, None),
        (["a\0b\ud800"], ("ab?",)),
        ([f"{'x' * 200}"], ("x" * 100,)),
    ],
)
def test_tags_of_a_notification(raw, tags):
    assert wire.of_notification({"tag_names": raw}).get("tags") == tags


def test_tags_of_a_row_are_names():
    row = {"tags": [{"tag_id": 1, "tag_name": "VIP"}, {"tag_id": 2}, "новый", 7]}
    assert wire.of_row(row) == {"tags": ("VIP", "новый", "7")}
    assert wire.of_row({"tags": "VIP"}) == wire.of_row({"tags": None}) == {}


@pytest.mark.parametrize(("raw", "rating"), [(5, 5), ("4", 4), (0, 0), (None, None), (101, None), ("good", None)])
def test_rating(raw, rating):
    assert wire.of_notification({"operator_rating": raw}).get("rating") == rating
    assert wire.of_row({"last_answered_employee_rating": raw}).get("rating") == rating


@pytest.mark.parametrize(("raw", "value"), [(1526470000123, "1526470000123"), (" a ", "a"), ("", None), (True, None)])
def test_text_of_a_column(raw, value):
    assert wire.of_row({"ym_client_id": raw}).get("ym_client_id") == value
    assert len(str(wire.of_row({"utm_term": "x" * 999})["utm_term"])) == wire.LONGEST


# --- virtual numbers


def number(*campaigns, kind="call_tracking", **more):
    rows = [{"campaign_id": campaign_id, "campaign_name": name} for campaign_id, name in campaigns]
    raw = {"virtual_phone_number": "74950000001", "status": "active", "type": kind, "campaigns": rows} | more
    return UisNumber.model_validate(raw, context=MOSCOW)


def listing(*, is_complete=True, **sources):
    rows = [Campaign(campaign_id=int(key[1:]), static_utm_source=source) for key, source in sources.items()]
    return Listing(rows, is_complete=is_complete)


STORED = {"campaign": "Весна", "utm_source": "google", "utm_medium": "cpc"}


@pytest.mark.parametrize(
    ("one", "campaigns", "expected"),
    [
        (number((7, "Весна")), listing(c7="yandex"), {"campaign": "Весна", "utm_source": "yandex"}),
        (number((7, "Весна")), listing(), {"campaign": "Весна"}),
        (number((7, "Весна")), listing(is_complete=False), STORED),
        (number((7, "Весна")), None, STORED),
        (number((8, "Лето")), None, {"campaign": "Лето"}),
        (number((7, "Весна"), (8, "Лето")), listing(c7="vk", c8="vk"), {"utm_source": "vk"}),
        (number((7, "Весна"), kind="dynamic_call_tracking"), listing(c7="yandex"), {}),
        (number(), None, {}),
        (number(campaigns="?"), None, {}),
        (number(campaigns=[None, {"campaign_id": "x"}]), None, {}),
        (UisNumber(number="74950000001"), None, STORED),
    ],
)
def test_number_is_known_by_its_campaigns(one, campaigns, expected):
    assert number_attribution.of_number(one, campaigns, stored=STORED) == expected


# --- the list of facts


def test_each_fact_has_a_price_and_attribution_a_source():
    assert FACTS.keys() == set(Fact)
    assert {fact for fact, sources in FACTS.items() if sources.prices == (Price.NOTHING,)} == {Fact.CONSTANT}
    assert FACTS[Fact.CAMPAIGN].prices == (Price.NOTIFICATION, Price.STATIC, Price.REPORT)
    assert FACTS[Fact.UTM_TERM].prices == (Price.STATIC, Price.REPORT)
    assert FACTS[Fact.YM_CLIENT_ID].prices == (Price.REPORT,)
    assert all(list(sources.prices) == sorted(sources.prices, key=list(Price).index) for sources in FACTS.values())


def test_documentation_has_each_fact_with_its_names():
    text = Path("docs/call-facts.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `") and line.count("|") == 5]
    documented = [[re.findall(r"`(\w+)`", cell) for cell in row] for row in rows]
    assert documented == [
        [[fact], list(sources.macros), [sources.column] * bool(sources.column), [sources.static] * bool(sources.static)]
        for fact, sources in FACTS.items()
    ]
    assert all(f"| `{price}` |" in text for price in Price)


def test_no_name_of_the_wire_tells_two_facts():
    columns = [sources.column for sources in FACTS.values() if sources.column]
    assert len(columns) == len(set(columns))
    assert "source" not in REPORT_COLUMNS


# --- a step


def test_step_keeps_what_a_notification_told_meanwhile():
    """The outcome was computed with the row as it was claimed."""
    tenant = Tenant(rule_version_id=1)
    claimed = Call(session_id=1, tenant=tenant)
    attribution.note(claimed, told(Origin.STATIC, campaign="Весна"))
    outcome = steps.Moved(state=State.READY, changes=attribution.resolved(claimed, [told(Origin.REPORT, rating=5)]))
    locked = Call(session_id=1, tenant=tenant)
    attribution.note(locked, told(Origin.NOTIFICATION, campaign="Лето", tags=("VIP",)))
    steps.apply(locked, outcome, now=BEGAN)
    assert (locked.campaign, locked.tags, locked.state) == ("Лето", ["VIP"], State.READY)
    assert locked.attribution["rating"]["value"] == 5
