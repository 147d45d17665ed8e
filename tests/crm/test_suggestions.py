"""Suggestions of CRM users for employees: by the strongest match reason, never one user for two employees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.employee_mapping.suggestions import MatchReason, suggest
from tenants.models import CrmUser, Employee


def person(uis_id=1, name="", **more):
    return Employee(uis_id=uis_id, full_name=name, **more)


def user(crm_id=7, name="", *, is_active=True, **more):
    return CrmUser(crm_id=crm_id, name=name, is_active=is_active, **more)


def clear(staff, users, typed=()):
    """Return the clear suggestions: the user's id and the match reason by the employee's id."""
    suggestions = suggest(staff, users, typed)
    return {
        uis_id: (suggestion.clear.user.crm_id, suggestion.clear.reason)
        for uis_id, suggestion in suggestions.items()
        if suggestion.clear is not None
    }


def candidates(staff, users, typed=()):
    return {
        uis_id: [(one.user.crm_id, one.reason) for one in suggestion.candidates]
        for uis_id, suggestion in suggest(staff, users, typed).items()
    }


@pytest.mark.parametrize(
    ("one", "other", "typed", "reason"),
    [
        (person(extension="101"), user(), [(7, "101")], MatchReason.EXTENSION),
        (person(email="Ivan@Example.com "), user(email="ivan@example.com"), [], MatchReason.EMAIL),
        (person(previous_crm_user_id=7), user(), [], MatchReason.PREVIOUS),
        (person(name="Иванов Иван"), user(name="Иван Иванов"), [], MatchReason.NAME),
        (person(numbers=["79990000011"]), user(phone="79990000011"), [], MatchReason.PHONE),
    ],
)
def test_suggest_returns_the_match_reason(one, other, typed, reason):
    assert clear([one], [other], typed) == {1: (7, reason)}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Иванов Иван", "иван ИВАНОВ", True),
        ("Семёнов Пётр", "Петр Семенов", True),
        ("Иванов Иван Петрович", "Иван Иванов", True),
        ("Иван Иванов", "Иванов Иван Ильич", True),
        ("Иванова Анна Ильинична", "Анна Иванова", True),
        ("Иванов-Петров Иван", "Иван Петров Иванов", True),
        ("Иванов Иван Петрович", "Иванов Иван Сергеевич", False),
        ("Иванов Иван", "Иванов", False),
        ("Иванов Иван Старший", "Иван Иванов", False),
        ("Иван Петрович", "Иван Петрович Иванов", False),
        ("Иванов Иван", "Иванов Пётр", False),
        ("", "", False),
        ("Менеджер 1", "Менеджер 1", True),
        ("Менеджер 1", "Менеджер 2", False),
    ],
)
def test_suggest_compares_names_word_by_word(one, other, is_same):
    assert clear([person(name=one)], [user(name=other)]) == ({1: (7, MatchReason.NAME)} if is_same else {})
    assert clear([person(name=other)], [user(name=one)]) == ({1: (7, MatchReason.NAME)} if is_same else {})


def test_suggest_uses_the_strongest_reason_with_a_match():
    one = person(
        name="Иванов Иван", email="ivan@example.com", extension="101", previous_crm_user_id=3, numbers=["79990000011"]
    )
    users = [
        user(5, phone="79990000011"),
        user(4, "Иван Иванов"),
        user(3),
        user(2, email="ivan@example.com"),
        user(1),
    ]
    for crm_id, reason in enumerate(MatchReason, start=1):
        assert candidates([one], users, [(1, "101")]) == {1: [(crm_id, reason)]}
        users.pop()


def test_suggest_with_two_candidates_is_not_clear():
    users = [user(8, "Иван Иванов", email="b@example.com"), user(7, "Иван Иванов", email="a@example.com")]
    assert candidates([person(name="Иванов Иван")], users) == {1: [(7, MatchReason.NAME), (8, MatchReason.NAME)]}
    assert clear([person(name="Иванов Иван")], users) == {}


def test_suggest_with_one_user_for_two_employees_is_not_clear():
    staff = [person(1, "Иванов Иван"), person(2, "Другой", numbers=["79990000011"])]
    assert clear(staff, [user(7, "Иван Иванов", phone="79990000011")]) == {}
    assert candidates(staff, [user(7, "Иван Иванов", phone="79990000011")]) == {
        1: [(7, MatchReason.NAME)],
        2: [(7, MatchReason.PHONE)],
    }


@pytest.mark.parametrize(
    "other",
    [
        person(2, crm_user_id=7),
        person(2, crm_user_id=7, is_dismissed=True),
    ],
)
def test_suggest_ignores_a_linked_user(other):
    assert candidates([person(name="Иванов Иван"), other], [user(name="Иван Иванов")]) == {1: []}


def test_suggest_ignores_an_inactive_user():
    assert candidates([person(name="Иванов Иван")], [user(name="Иван Иванов", is_active=False)]) == {1: []}


@pytest.mark.parametrize(
    "employee",
    [
        person(name="Иванов Иван", is_dismissed=True),
        person(name="Иванов Иван", linked_by="NOT_NEEDED"),
        person(name="Иванов Иван", crm_user_id=9, linked_by="MANUAL"),
    ],
)
def test_suggest_ignores_an_employee_who_needs_no_user(employee):
    assert suggest([employee], [user(name="Иван Иванов")], []) == {}


def test_suggest_includes_a_manually_unlinked_employee():
    assert clear([person(email="a@b.c", linked_by="MANUAL")], [user(email="a@b.c")]) == {1: (7, MatchReason.EMAIL)}


def test_suggest_does_not_match_empty_values():
    assert candidates([person(extension="", email="", numbers=[""])], [user(email="", phone="")], [(7, "")]) == {1: []}


def test_suggest_does_not_match_an_extension_with_a_phone():
    assert candidates([person(numbers=["101"])], [user(phone="101")]) == {1: []}


NAMES = st.sampled_from(["", "Иван Иванов", "Иванов Иван Петрович", "Пётр Иванов", "Петр Иванов"])
EMAILS = st.sampled_from(["", "a@example.com", "b@example.com"])
PHONES = st.sampled_from(["", "79990000011", "79990000012"])
CODES = st.sampled_from(["", "101", "102"])
IDS = st.integers(1, 5)
STAFF = st.lists(
    st.builds(
        person,
        IDS,
        NAMES,
        email=EMAILS,
        extension=CODES,
        numbers=st.lists(PHONES, max_size=2),
        previous_crm_user_id=st.none() | IDS,
        crm_user_id=st.none() | IDS,
        is_dismissed=st.booleans(),
        linked_by=st.sampled_from(Employee.LinkedBy.values),
    ),
    max_size=5,
    unique_by=lambda one: one.uis_id,
)
USERS = st.lists(
    st.builds(user, IDS, NAMES, email=EMAILS, phone=PHONES, is_active=st.booleans()),
    max_size=5,
    unique_by=lambda one: one.crm_id,
)
TYPED = st.lists(st.tuples(IDS, CODES), max_size=4)


@pytest.mark.slow
@given(STAFF, USERS, TYPED)
def test_suggest_never_gives_one_user_to_two_employees(staff, users, typed):
    taken = {one.crm_user_id for one in staff}
    chosen = [user_id for user_id, _reason in clear(staff, users, typed).values()]
    assert len(chosen) == len(set(chosen))
    assert not taken.intersection(chosen)
    assert {one.crm_id for one in users if one.is_active}.issuperset(chosen)


@pytest.mark.slow
@given(STAFF, USERS, TYPED, st.randoms(use_true_random=False))
def test_suggest_does_not_depend_on_the_order(staff, users, typed, chance):
    before = candidates(staff, users, typed), clear(staff, users, typed)
    for rows in (staff, users, typed):
        chance.shuffle(rows)
    assert (candidates(staff, users, typed), clear(staff, users, typed)) == before
