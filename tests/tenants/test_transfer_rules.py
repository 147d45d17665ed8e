"""Which calls and pop-ups a client's rules skip."""

from dataclasses import replace
from itertools import product

import pytest

from tenants import rule_labels
from tenants.transfer_rules import Filter, RuleInput, RuleSet, Selection, SkipReason

ALL = (Filter.ALL, frozenset())
CONTACT, OWN = "79990000001", "74950000001"
EVERYTHING = RuleSet(
    shows={"in": True, "out": True},
    uploads_answered=True,
    uploads_missed=True,
    uploads_outgoing=True,
    uploads_internal=True,
    numbers=ALL,
    employees=ALL,
    contacts=ALL,
)
ANSWERED = RuleInput(
    direction="in", is_answered=True, is_internal=False, contact=CONTACT, number=OWN, employees=(300001, 300002)
)
MISSED = replace(ANSWERED, is_answered=False)
OUTGOING = replace(ANSWERED, direction="out")
UNANSWERED = replace(OUTGOING, is_answered=False)
INTERNAL = replace(ANSWERED, is_internal=True, contact="101")
CALLS = {"answered": ANSWERED, "missed": MISSED, "outgoing": OUTGOING, "unanswered": UNANSWERED, "internal": INTERNAL}


def only(*members: object) -> Selection:
    return (Filter.ONLY, frozenset(members))


def all_except(*members: object) -> Selection:
    return (Filter.EXCEPT, frozenset(members))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_rule_skips_no_call(call):
    assert EVERYTHING.upload_skip_reason(call) is None


@pytest.mark.parametrize(
    ("switch", "reason", "skipped"),
    [
        ("uploads_answered", SkipReason.ANSWERED_OFF, {"answered"}),
        ("uploads_missed", SkipReason.MISSED_OFF, {"missed"}),
        ("uploads_outgoing", SkipReason.OUTGOING_OFF, {"outgoing", "unanswered"}),
        ("uploads_internal", SkipReason.INTERNAL_OFF, {"internal"}),
    ],
)
def test_switch_skips_its_own_kind_only(switch, reason, skipped):
    choices = replace(EVERYTHING, **{switch: False})
    found = {name: choices.upload_skip_reason(call) for name, call in CALLS.items()}
    assert found == {name: reason if name in skipped else None for name in CALLS}


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("is_answered", [True, False])
def test_internal_call_is_skipped_by_its_own_switch_only(direction, is_answered):
    call = replace(INTERNAL, direction=direction, is_answered=is_answered)
    others_off = replace(EVERYTHING, uploads_answered=False, uploads_missed=False, uploads_outgoing=False)
    assert others_off.upload_skip_reason(call) is None


LISTS = [
    ("numbers", SkipReason.NUMBER, OWN, "74950000002"),
    ("employees", SkipReason.EMPLOYEE, 300001, 300009),
    ("contacts", SkipReason.CONTACT, CONTACT, "79990000009"),
]


@pytest.mark.parametrize(("field", "reason", "listed", "other"), LISTS)
@pytest.mark.parametrize(
    "call", [ANSWERED, MISSED, OUTGOING, UNANSWERED], ids=["answered", "missed", "out", "no answer"]
)
def test_filter_only_or_except_skips_the_others_or_the_listed(field, reason, listed, other, call):
    found = [
        replace(EVERYTHING, **{field: selection}).upload_skip_reason(call)
        for selection in (
            only(listed),
            only(other),
            all_except(listed),
            all_except(other),
            only(),
            all_except(),
            only(listed, other),
        )
    ]
    assert found == [None, reason, reason, None, reason, None, None]


@pytest.mark.parametrize(("field", "reason", "listed", "other"), LISTS)
def test_filter_all_ignores_its_list(field, reason, listed, other):
    selection = (Filter.ALL, frozenset([other]))
    assert replace(EVERYTHING, **{field: selection}).upload_skip_reason(ANSWERED) is None


def test_call_of_several_employees_matches_by_any_of_them():
    assert replace(EVERYTHING, employees=only(300002)).upload_skip_reason(ANSWERED) is None
    assert replace(EVERYTHING, employees=all_except(300002)).upload_skip_reason(ANSWERED) == SkipReason.EMPLOYEE


@pytest.mark.parametrize(
    ("selection", "expected"), [(ALL, None), (only(300001), SkipReason.EMPLOYEE), (all_except(300001), None)]
)
def test_call_without_employees_is_skipped_by_filter_only(selection, expected):
    call = replace(MISSED, employees=())
    assert replace(EVERYTHING, employees=selection).upload_skip_reason(call) == expected


@pytest.mark.parametrize("call", [ANSWERED, MISSED, OUTGOING])
def test_call_without_a_number_is_never_uploaded(call):
    assert EVERYTHING.upload_skip_reason(replace(call, contact="")) == SkipReason.HIDDEN_NUMBER


def test_reason_is_the_first_matching_rule():
    strict = replace(EVERYTHING, uploads_missed=False, numbers=only(), employees=only(), contacts=only())
    order = []
    for field, disabled in [("uploads_missed", True), ("numbers", ALL), ("employees", ALL), ("contacts", ALL)]:
        order.append(strict.upload_skip_reason(MISSED))
        strict = replace(strict, **{field: disabled})
    order.append(strict.upload_skip_reason(MISSED))
    assert order == [SkipReason.MISSED_OFF, SkipReason.NUMBER, SkipReason.EMPLOYEE, SkipReason.CONTACT, None]


@pytest.mark.parametrize(
    ("shows_in", "shows_out", "direction"), list(product([True, False], [True, False], ["in", "out"]))
)
def test_popup_switch_is_per_direction(shows_in, shows_out, direction):
    choices = replace(EVERYTHING, shows={"in": shows_in, "out": shows_out})
    call = replace(MISSED, direction=direction)
    is_shown = shows_in if direction == "in" else shows_out
    assert choices.popup_skip_reason(call) == (None if is_shown else SkipReason.POPUP_OFF)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_popup_is_never_shown_for_internal_calls(direction):
    assert EVERYTHING.popup_skip_reason(replace(INTERNAL, direction=direction)) == SkipReason.INTERNAL_OFF


def test_popup_needs_a_number():
    assert EVERYTHING.popup_skip_reason(replace(MISSED, contact="")) == SkipReason.HIDDEN_NUMBER


@pytest.mark.parametrize(("field", "reason", "listed", "other"), LISTS)
def test_popup_is_skipped_by_the_filters(field, reason, listed, other):
    found = [
        replace(EVERYTHING, **{field: selection}).popup_skip_reason(MISSED)
        for selection in (only(listed), only(other), all_except(listed), all_except(other))
    ]
    assert found == [None, reason, reason, None]


def test_popup_ignores_the_upload_switches():
    nothing = replace(
        EVERYTHING, uploads_answered=False, uploads_missed=False, uploads_outgoing=False, uploads_internal=False
    )
    assert nothing.popup_skip_reason(MISSED) is None


@pytest.mark.parametrize("reason", list(SkipReason))
def test_reason_fits_its_column_and_has_a_label(reason):
    assert len(reason.value) <= 20
    assert rule_labels.label(reason)
