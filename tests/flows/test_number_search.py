"""Searches for customers' numbers by those who see them masked: no answer tells a hidden digit."""

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from connector_project.operations.api.authentication import KeyThrottle
from crm.models import Command, Popup
from telephony import number_search
from telephony.models import AccessLogEntry, Call
from tenants import api_keys
from tenants.models import Employee
from tests.conftest import IVAN, NUMBER
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

NUMBER_OF_CUSTOMER = "79261234567"
ENGLISH = {"accept-language": "en"}
# The lists of rows with a customer's number.
LISTS = [
    reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for model in admin.site._registry
    if any(field.name == "contact" for field in model._meta.get_fields())
]


@pytest.fixture(autouse=True)
def call(tenant):
    """A call, pop-up and click of one customer, by an employee whose name holds the customer's number."""
    cache.clear()
    person = Employee.objects.get(tenant=tenant, uis_id=IVAN)
    Employee.objects.filter(pk=person.pk).update(full_name=f"Мобильный {NUMBER_OF_CUSTOMER}")
    now = timezone.now()
    common = {
        "tenant": tenant,
        "employee": person,
        "contact": NUMBER_OF_CUSTOMER,
        "number": NUMBER,
        "session_id": 4_100,
    }
    Popup.objects.create(**common, direction="in", ringing_at=now, received_at=now, sent_at=now, state="OPEN")
    Command.objects.create(**common, kind="MAKE_CALL", received_at=now, state="DONE", params={})
    times = {"started_at": now, "ended_at": now, "retry_window_started_at": now}
    return Call.objects.create(**common, **times, direction="in", state="READY", result="NO_ANSWER", is_lost=True)


@pytest.fixture
def support(client):
    user = create_user("sveta", "Support")
    client.force_login(user)
    return user


def rows(client, url, **query):
    answer = client.get(url, query, headers=ENGLISH)
    assert answer.status_code == 200
    return len(answer.context["cl"].result_list)


def parts(number):
    """Yield what somebody could ask about a number digit by digit, with whether it is true."""
    for length in range(1, 10):
        for digit in "0123456789":
            yield digit + number[-length:], digit == number[-length - 1]
            yield number[:length] + digit, digit == number[length]
            yield number[length] + digit, digit == number[length + 1]


def oracles(client):
    """Return every question about calls that an address answers, by its name."""
    preview = reverse("admin:telephony_bulkaction_preview", args=["RETRY"])

    def asked(url, name):
        def ask(text):
            answer = client.get(url, {name: text})
            return answer.status_code, answer.status_code == 200 and len(answer.context["cl"].result_list)

        return ask

    def board(text):
        url = reverse("admin:tenants_tenant_missed_callers", args=[Call.objects.get().tenant_id])
        return client.get(url, {"q": text, "contact": text}).context["summary"]

    questions = {f"{url} {name}": asked(url, name) for url in LISTS for name in ("q", "contact", "contact__contains")}
    questions["preview q"] = lambda text: client.get(preview, {"q": text}).context["total"]
    questions["name"] = lambda text: rows(client, LISTS[0], q=f"Мобильный {text}")
    questions["export"] = lambda text: (
        client.post(reverse("admin:telephony_call_export", args=["csv"]), query_params={"q": text}).status_code
    )
    questions["board"] = board
    return questions


@pytest.mark.exhaustive
@pytest.mark.slow
def test_no_question_tells_a_digit(client, support, monkeypatch):
    """Up to the last four digits, which the mask shows, an answer may depend on the number; beyond them it may not."""
    monkeypatch.setattr(number_search, "MAX_PER_HOUR", 10**6)
    asked = [(text, truth) for text, truth in parts(NUMBER_OF_CUSTOMER) if 4 < len(text) < 11]
    assert {truth for _text, truth in asked} == {True, False}
    for name, ask in oracles(client).items():
        # Right guesses, and as many wrong ones.
        right = [text for text, truth in asked if truth]
        wrong = [text for text, truth in asked if not truth][:: len(asked) // len(right)]
        answers = {str(ask(text)) for text in [*right[::4], *wrong[::4]]}
        assert len(answers) == 1, (name, answers)


def test_filters_by_query_string_and_the_order_tell_nothing(client, support, tenant, call):
    others = [NUMBER_OF_CUSTOMER[:6] + "99999", NUMBER_OF_CUSTOMER[:6] + "00000"]
    for number, contact in enumerate(others):
        values = {"tenant": tenant, "contact": contact, "session_id": 5_000 + number, "state": "UPLOADED"}
        moment = call.started_at - timedelta(minutes=number)
        Call.objects.create(**values, started_at=moment, ended_at=moment, retry_window_started_at=moment)
    newest_first = [str(row) for row in client.get(LISTS[0]).context["cl"].result_list]
    for column in range(9):
        for order in (f"{column}", f"-{column}"):
            shown = client.get(LISTS[0], {"o": order}).context["cl"].result_list
            assert [str(row) for row in shown] in ([], newest_first)


@pytest.mark.parametrize("url", LISTS)
def test_last_four_digits_and_a_complete_number_are_found(client, support, url):
    for text in ("4567", "567", NUMBER_OF_CUSTOMER, "+7 926 123-45-67", "8 (926) 123-45-67", "9261234567"):
        assert rows(client, url, q=text) == 1, text
    for text in ("34567", "1234567", "792612345", "7926", "79261234568"):
        assert rows(client, url, q=text) == 0, text
    html = client.get(url, {"q": "34567"}, headers=ENGLISH).content.decode()
    assert "Search by the last 4 digits" in html
    assert 'value="34567"' in html  # Nothing typed is lost.


@pytest.mark.parametrize("url", LISTS)
def test_whoever_sees_whole_numbers_searches_by_any_end(client, url):
    client.force_login(create_user("olga", "Operator"))
    for text in ("4567", "34567", "1234567", NUMBER_OF_CUSTOMER):
        assert rows(client, url, q=text) == 1, text


@pytest.mark.parametrize("group", ["Support", "Operator"])
def test_search_for_a_complete_number_is_logged_found_or_not(client, group):
    user = create_user("anna", group)
    client.force_login(user)
    for url in LISTS:
        rows(client, url, q=NUMBER_OF_CUSTOMER)
        rows(client, url, q="+79261234568")
        rows(client, url, q="4567"), rows(client, url, q="4100"), rows(client, url, q="Мобильный")
    entries = AccessLogEntry.objects.order_by("pk").values_list("kind", "user", "username", "detail", "tenant", "call")
    assert list(entries) == [
        ("SEARCH", user.pk, "anna", "7926***4567", None, None),
        ("SEARCH", user.pk, "anna", "7926***4568", None, None),
    ]
    assert NUMBER_OF_CUSTOMER not in str(list(AccessLogEntry.objects.values()))
    html = client.get(reverse("admin:telephony_accesslogentry_changelist"), headers=ENGLISH).content.decode()
    assert "7926***4567" in html


def test_number_is_a_new_entry_after_ten_minutes(client, support, later):
    for _time in range(2):
        rows(client, LISTS[0], q=NUMBER_OF_CUSTOMER), rows(client, LISTS[0], contact=NUMBER_OF_CUSTOMER)
        later(timedelta(minutes=11))
    assert AccessLogEntry.objects.count() == 2


def test_complete_numbers_are_limited_per_hour_and_person(client, support, later, monkeypatch):
    monkeypatch.setattr(number_search, "MAX_PER_HOUR", 3)
    for last in range(3):
        assert rows(client, LISTS[last % len(LISTS)], q=f"7926123456{last}") == 0
    for url in LISTS:
        answer = client.get(url, {"q": NUMBER_OF_CUSTOMER}, headers=ENGLISH)
        assert not answer.context["cl"].result_list
        assert "Search by the last four digits" in answer.content.decode()
    preview = reverse("admin:telephony_bulkaction_preview", args=["RETRY"])
    assert client.get(preview, {"q": NUMBER_OF_CUSTOMER}).context["total"] == 0
    assert rows(client, LISTS[0], contact=NUMBER_OF_CUSTOMER) == 0
    assert rows(client, LISTS[0], q="79261234560") == 0  # A repeat is no new search.
    assert rows(client, LISTS[0], q="4567") == 1
    assert AccessLogEntry.objects.count() == 3
    client.force_login(create_user("petr", "Support"))
    assert rows(client, LISTS[0], q=NUMBER_OF_CUSTOMER) == 1
    client.force_login(support)
    later(timedelta(hours=1, minutes=1))
    assert rows(client, LISTS[0], q=NUMBER_OF_CUSTOMER) == 1


def test_operators_have_no_limit(client, monkeypatch):
    monkeypatch.setattr(number_search, "MAX_PER_HOUR", 1)
    client.force_login(create_user("olga", "Operator"))
    for last in range(3):
        rows(client, LISTS[0], q=f"7926123456{last}")
    assert rows(client, LISTS[0], q=NUMBER_OF_CUSTOMER) == 1


def test_session_is_no_number(client, support, tenant, call):
    times = {name: getattr(call, name) for name in ("started_at", "ended_at", "retry_window_started_at")}
    Call.objects.create(tenant=tenant, session_id=9_261_234_567, state="UPLOADED", contact="74951112233", **times)
    for text in ("9261234567", "uis-9261234567"):
        shown = client.get(LISTS[0], {"q": text}).context["cl"].result_list
        assert [row.session_id for row in shown] == [9_261_234_567]
    assert not AccessLogEntry.objects.exists()


def test_names_are_found_without_their_numbers(client, support):
    assert rows(client, LISTS[0], q="мобильный") == 1
    assert rows(client, LISTS[0], q="Мобильный 4567") == rows(client, LISTS[0], q="Мобильный 7926") == 0
    call = Call.objects.get()
    pages = [
        reverse(f"admin:tenants_tenant_{name}", args=[call.tenant_id]) for name in ("missed_callers", "statistics")
    ]
    for url in [*LISTS, *pages, reverse("admin:telephony_call_change", args=[call.pk])]:
        html = client.get(url).content.decode()
        assert "Мобильный 7926***4567" in html, url
        assert NUMBER_OF_CUSTOMER not in html
    Employee.objects.filter(uis_id=IVAN).update(full_name="Оператор 2")
    assert rows(client, LISTS[0], q="Оператор 2") == 1


def test_key_of_support_searches_by_the_same_rules(client, support, monkeypatch):
    monkeypatch.setattr(number_search, "MAX_PER_HOUR", 2)
    monkeypatch.setattr(KeyThrottle, "rate", "9999/min")
    _row, key = api_keys.create(None, "x", by=support, now=timezone.now())

    def ask(contact):
        return client.get("/api/v1/calls/", {"contact": contact}, headers={"authorization": f"Bearer {key}", **ENGLISH})

    [found] = ask(NUMBER_OF_CUSTOMER).json()["results"]
    assert found["contact"] == "7926***4567"
    assert ask("34567").json()["results"] == ask("7926123456").json()["results"] == []
    part = ask("61234567")
    assert (part.status_code, list(part.json())) == (400, ["contact"])
    refused = ask("79261234568")
    assert (refused.status_code, "last four digits" in refused.json()["detail"]) == (429, True)
    searched = AccessLogEntry.objects.filter(kind="SEARCH").values_list("username", "api_key__name")
    assert list(searched) == [("sveta", "x")] * 2
    assert not re.search(
        NUMBER_OF_CUSTOMER, client.get("/api/v1/employees/", headers={"authorization": f"Bearer {key}"}).text
    )
