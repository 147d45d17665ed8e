"""Phone numbers: normalised, formatted, masked."""

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
        ("8123456789", "78123456789", "8123456789"),  # ten digits: the 8 is not a trunk prefix
        ("+89990000001", "89990000001", "89990000001"),  # a number with a plus is international
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
def test_normalise_adds_the_country_code_for_russian_accounts_only(raw, russian, foreign):
    assert phone_numbers.normalise(raw, is_russian=True) == russian
    assert phone_numbers.normalise(raw, is_russian=False) == foreign


def test_normalise_is_idempotent():
    for number in ("79990000001", "78123456789", "101", "1234567", ""):
        assert phone_numbers.normalise(number, is_russian=True) == number


@pytest.mark.parametrize(
    ("number", "formatted", "is_external", "is_internal"),
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
def test_number_is_external_internal_or_neither(number, formatted, is_external, is_internal):
    assert phone_numbers.e164(number) == formatted
    assert phone_numbers.is_external(number) is is_external
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
def test_mask_hides_the_middle(number, masked):
    assert phone_numbers.mask(number) == masked
