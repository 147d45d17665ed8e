"""Rules as a value: its document, what a document is refused for, and the differences in words."""

from dataclasses import FrozenInstanceError, replace

import pytest
from django.utils import translation
from pydantic import ValidationError

from tenants import contact_list, rule_differences, rule_labels
from tenants.models import RuleDraft
from tenants.rules import LISTS, NAMES, InvalidRules, PopupChoice, Rules, dumps, loads
from tenants.transfer_rules import RuleInput, SkipReason

TOKEN = "erased:0123456789abcdef"
ALL = Rules(
    popup_incoming="ON_ANSWER",
    upload_missed=False,
    number_filter="ONLY",
    numbers=("74950000001",),
    employee_filter="EXCEPT",
    employees=(300001, 300002),
    contact_filter="EXCEPT",
    contacts=("79990000001", "7495123*", TOKEN),
    recording_days=30,
    owner="FIRST_TALKER",
    status_dinner="9001",
)
OTHERS = {
    "popup_incoming": "OFF",
    "upload_missed": False,
    "numbers": ("74950000002",),
    "employees": (300003,),
    "contacts": ("79990000009",),
    "recording_days": 3,
}


@pytest.mark.parametrize("rules", [Rules(), ALL], ids=["defaults", "others"])
def test_document_gives_the_rules_back(rules):
    assert loads(dumps(rules)) == rules


def test_rules_are_immutable():
    with pytest.raises(FrozenInstanceError):
        ALL.upload_missed = True
    assert hash(ALL) == hash(loads(dumps(ALL)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema": 2}, "schema"),
        ({"schema": None}, "schema"),
        ({"unknown": 1}, "unknown"),
        ({"upload_missed": "yes"}, "upload_missed"),
        ({"upload_missed": None}, "upload_missed"),
        ({"owner": "NOBODY"}, "owner"),
        ({"recording_days": -1}, "recording_days"),
        ({"recording_wait_minutes": "10"}, "recording_wait_minutes"),
        ({"employees": ["300001"]}, "employees"),
        ({"numbers": [1]}, "numbers"),
        ({"contacts": [""]}, "contacts"),
        ({"contacts": "79990000001"}, "contacts"),
        ({"status_free": "x" * 41}, "status_free"),
    ],
    ids=str,
)
def test_wrong_document_is_refused_by_name(change, named):
    with pytest.raises(InvalidRules, match=named):
        loads(dumps(ALL) | change)


@pytest.mark.parametrize("name", NAMES)
def test_missing_rule_is_refused_and_no_default(name):
    document = dumps(ALL)
    del document[name]
    with pytest.raises(InvalidRules, match=name):
        loads(document)


def test_changed_rules_are_checked_too():
    with pytest.raises(ValidationError):
        replace(ALL, owner="NOBODY")


def test_draft_has_each_rule_with_the_same_default():
    draft = RuleDraft()
    assert {name: getattr(draft, name) for name in NAMES if name not in LISTS.values()} == {
        name: value for name, value in dumps(Rules()).items() if name not in {*LISTS.values(), "schema"}
    }


@pytest.mark.parametrize(
    ("contact", "skipped"),
    [("79990000001", True), ("74951239999", True), ("79990000002", False), ("79995555555", True)],
)
def test_contact_is_found_as_number_mask_and_token(contact, skipped):
    rules = replace(ALL, number_filter="ALL", employee_filter="ALL")
    rule_set = rules.rule_set(lambda number: TOKEN if number == "79995555555" else "erased:other")
    call = RuleInput(direction="in", is_answered=True, is_internal=False, contact=contact, number="7")
    assert rule_set.upload_skip_reason(call) == (SkipReason.CONTACT if skipped else None)


@pytest.mark.parametrize(
    ("entry", "shown"),
    [("79990000001", "+79990000001"), ("7495123*", "+7495123*"), ("101", "101"), ("020*", "+020*"), (TOKEN, TOKEN)],
)
def test_entry_is_shown_so_that_it_is_read_again(entry, shown):
    assert contact_list.shown(entry) == shown
    assert all(contact_list.normalise(shown, region=region) == entry for region in ("RU", "HK", "GB", ""))


def words(before, after, **more):
    with translation.override("en"):
        return [str(one) for one in rule_differences.compare(before, after, people={300001: "Ivan"}, **more)]


def test_equal_rules_have_no_difference():
    assert words(ALL, ALL) == []


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
def test_each_difference_is_named_once(name, value):
    found = rule_differences.compare(Rules(), replace(Rules(), **{name: value}), people={})
    assert [one.name for one in found] == [name]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_differences_are_in_the_language_of_the_reader(language):
    with translation.override(language):
        [found] = rule_differences.compare(Rules(), Rules(popup_incoming="OFF"), people={})
        labels = [str(rule_labels.label(choice)) for choice in (PopupChoice.ON_RING, PopupChoice.OFF)]
    assert (found.old, found.new) == tuple(labels)


def test_lists_are_compared_by_entries():
    before, after = Rules(employees=(300001, 5)), Rules(employees=(5, 7))
    [sentence] = words(before, after)
    assert "Ivan" in sentence.partition("removed")[2]
    assert "7" in sentence.partition("added")[2].partition("removed")[0]


def test_numbers_of_customers_are_masked_unless_the_reader_sees_them():
    after = Rules(contacts=("79990000001", TOKEN))
    [masked], [whole] = words(Rules(), after), words(Rules(), after, sees_numbers=True)
    assert ("79990000001" in masked, "79990000001" in whole) == (False, True)
    assert "0123456789" not in masked + whole
