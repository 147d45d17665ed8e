"""Phone numbers in one form inside, in one form outside."""

import pytest

from connector_project.core import phone_numbers


@pytest.mark.parametrize(
    ("raw", "russian", "foreign"),
    [
        ("79990000001", "79990000001", "79990000001"),
        ("+79990000001", "79990000001", "79990000001"),
        ("+7 (999) 000-00-01", "79990000001", "79990000001"),
        (" 79990000001 ", "79990000001", "79990000001"),
        ("89990000001", "79990000001", "89990000001"),
        ("8 (999) 000-00-01", "79990000001", "89990000001"),
        ("88000000001", "78000000001", "88000000001"),
        ("9990000001", "79990000001", "9990000001"),
        ("8123456789", "78123456789", "8123456789"),  # ten digits, not an eight and nine more
        ("+89990000001", "89990000001", "89990000001"),  # a plus is trusted
        ("+9990000001", "9990000001", "9990000001"),
        ("+380441234567", "380441234567", "380441234567"),
        ("380441234567", "380441234567", "380441234567"),
        ("+4930123456", "4930123456", "4930123456"),
        ("4930123456", "74930123456", "4930123456"),
        ("1234567", "1234567", "1234567"),
        ("101", "101", "101"),
        ("74955140578...2345", "74955140578", "74955140578"),
        ("89955140578...9.2.3.3", "79955140578", "89955140578"),
        ("...2345", "", ""),
        ("anonymous", "", ""),
        ("", "", ""),
        (None, "", ""),
        ("٧٩٩٩", "", ""),
        ("７９９９", "", ""),
    ],
)
def test_digits_follow_the_habits_of_the_account(raw, russian, foreign):
    assert phone_numbers.normalise(raw, is_russian=True) == russian
    assert phone_numbers.normalise(raw, is_russian=False) == foreign


def test_digits_of_digits_are_the_same():
    for number in ("79990000001", "78123456789", "101", "1234567", ""):
        assert phone_numbers.normalise(number, is_russian=True) == number


@pytest.mark.parametrize(
    ("number", "written", "is_outside", "is_internal"),
    [
        ("", "", False, False),
        ("1", "1", False, True),
        ("12345", "12345", False, True),
        ("123456", "123456", False, False),
        ("1234567", "+1234567", True, False),
        ("79990000001", "+79990000001", True, False),
        ("1" * 15, "+" + "1" * 15, True, False),
        ("1" * 16, "1" * 16, False, False),
    ],
)
def test_number_is_outside_internal_or_neither(number, written, is_outside, is_internal):
    assert phone_numbers.e164(number) == written
    assert phone_numbers.is_external(number) is is_outside
    assert phone_numbers.is_internal(number) is is_internal


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("79990000001", "7999***0001"),
        ("+79990000001", "+7999***0001"),
        ("1234567", "***4567"),
        ("123456", "***3456"),
        ("12345", "12345"),
        ("101", "101"),
        ("", ""),
    ],
)
def test_masked_hides_the_middle(number, masked):
    assert phone_numbers.mask(number) == masked
