"""Phone numbers in texts: every form that people and programs write is found, and nothing else."""

import json
from datetime import date, datetime
from urllib.parse import quote, quote_plus

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat

from connector_project.core import number_forms, phone_numbers, phone_texts, redaction
from tests.linear_time import assert_linear

pytestmark = pytest.mark.sampled(3)

DIGITS = "79990000001"
FORMS = [
    *("79990000001", "+79990000001", "89990000001", "9990000001", "8 (999) 000-00-01", "7999 000 00 01"),
    *("8.999.000.00.01", "+7.999.000.00.01", "999-000-00-01", "+7 (999) 0000001", "8-999-000-00-01"),
    *("+7\u00a0999\u202f000\u201100\u201101", "７９９９００００００１", "٧٩٩٩٠٠٠٠٠٠١", "+7–999–000–00–01"),
    *("+7\u00ad999\u200b000 00 01", "007 999 000 00 01", "8-10-7-999-000-00-01", "+7(999)000.00.01"),
]
WIDE_FORMS = ["+7/999/000/00/01", "+7 [999] 000-00-01", "+7_999_000_00_01"]
# What stands before and after the number.
PLACES = [
    *("{}", "from {} to", "ext{}", "wa.me/{}", "a/{}", "call={}", "session={}", "tel:{}", "({})", '"phone":"{}"'),
    *("contact: {}: busy", "{}...101", "{}, {}", "at 2026-11-23 {}", "Ivan\\n{}", "x=1&phone={}&y=2", "{}."),
]
KEPT = [
    *("tenant=romashka call=3960000001", '"call_session_id": 3960000001', '{"id":"3960000001"}', "session=3960000001"),
    *(
        "externalId uis-3960000001",
        "click-1234567890",
        "/admin/telephony/call/3960000001/",
        "pk=1234567890",
        '{"callSessionId":3960000001}',
    ),
    *(
        "2026-11-23 09:16:11,123",
        "23.11.2026 09:16:11",
        "2026-11-23T09:16:11+03:00",
        "20261123091611",
        "20261123T091611",
    ),
    *(
        "at 1730000000.1234567890",
        "1 250 000 000 ₽",
        "12 345 678 901 руб.",
        "1,234,567.89",
        "1 234 567,89",
        "999 000.50",
    ),
    *("extension 101, number 12345", "Petrov (102) 12345", "90 91 92 93 94 95", "8 2026-11-23 10 of 12 (28) 3"),
    *("127.0.0.1:5432", "10.120.130.140 192.168.100.100", "550e8400-e29b-41d4-a716-446655440000"),
    *("digest 1234567890abcdef1234567890", "5555 4444 3333 1111", "+03:00 +0300", "50 % of 1234567 rows", ""),
]


def digits_of(text):
    return phone_numbers.ascii_digits(text)


def percent_encoded(text):
    return "".join(f"%{byte:02x}" for byte in text.encode())


def json_escaped(text):
    return "".join(f"\\u{ord(one):04x}" for one in text)


def as_entities(text):
    return "".join(f"&#{ord(one)};" for one in text)


@pytest.mark.parametrize("form", [*WIDE_FORMS, *FORMS])
def test_number_is_masked_in_every_form_and_place(form):
    # Ten digits after these names are an id.
    places = [place for place in PLACES if form != "9990000001" or place not in {"call={}", "session={}"}]
    for place in places:
        masked = redaction.redact(place.replace("{}", form))
        assert DIGITS[1:] not in digits_of(masked), place
        assert "***" in masked, place


@pytest.mark.parametrize("form", [form for form in FORMS if not form.startswith("9")])
@pytest.mark.parametrize(
    "encode",
    [
        *(quote, quote_plus, lambda text: quote(quote(text)), json.dumps, lambda text: json.dumps(json.dumps(text))),
        *(percent_encoded, json_escaped, as_entities, lambda text: quote(text).lower()),
    ],
    ids=[
        "quoted",
        "form",
        "quoted twice",
        "JSON",
        "JSON in JSON",
        "all quoted",
        "all escaped",
        "entities",
        "lower case",
    ],
)
def test_encoded_number_is_masked_and_erased(form, encode):
    text = f"a={encode(form)}&b=1"
    assert "***" in phone_texts.mask(text)
    assert number_forms.replace_number(text, DIGITS, "X").count("X") == 1


@pytest.mark.parametrize("line", KEPT)
def test_what_is_no_number_stays(line):
    assert phone_texts.mask(line) == line


@pytest.mark.parametrize("form", [*WIDE_FORMS, *FORMS])
def test_one_number_is_replaced_in_every_form_and_place(form):
    for place in PLACES:
        replaced = number_forms.replace_number(place.replace("{}", form), DIGITS, "X")
        assert replaced.count("X") == place.count("{}"), place
        assert DIGITS[1:] not in digits_of(replaced), place


@pytest.mark.parametrize("other", ["79990000002", "799900000011", "179990000001", "3960000001", "+380441234567"])
def test_another_number_is_not_replaced(other):
    assert number_forms.replace_number(f"a {other} b", DIGITS, "X") == f"a {other} b"


@pytest.mark.parametrize(
    ("number", "forms"),
    [
        ("380441234567", ("+380 44 123-45-67", "0441234567", "380441234567", "00380441234567", "044 123 45 67")),
        ("442079460018", ("+44 20 7946 0018", "020 7946 0018", "442079460018", "+44 (0)20 7946 0018")),
        ("12025550123", ("+1 (202) 555-0123", "202-555-0123")),
        ("101", ("101",)),
        ("1234567", ("123-45-67", "1234567")),
    ],
)
def test_foreign_number_is_replaced_with_and_without_its_code(number, forms):
    for form in forms:
        assert number_forms.replace_number(f"a {form}.", number, "X") == "a X.", form


REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)


@settings(max_examples=40)
@given(
    st.sampled_from(REGIONS),
    st.sampled_from(KINDS),
    st.sampled_from([PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966]),
    st.sampled_from([place for place in PLACES if "=" not in place]),
)
def test_numbers_of_all_regions_are_masked(region, kind, style, place):
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        return
    digits = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    text = place.replace("{}", phonenumbers.format_number(number, style))
    assert digits not in digits_of(phone_texts.mask(text))
    assert "X" in number_forms.replace_number(text, digits, "X")
    assert phone_numbers.is_valid(digits)


@settings(max_examples=40)
@given(
    st.dates(date(1950, 1, 1), date(2099, 12, 31)),
    st.times(),
    st.integers(1_000_000_000, 9_999_999_999),
    st.integers(0, 10**11),
    st.integers(0, 99999),
    st.uuids(),
)
def test_ids_times_prices_and_extensions_stay(day, clock, session, price, extension, unique):
    moment = datetime.combine(day, clock)
    for text in (
        moment.isoformat(sep=" "),
        f"{moment:%d.%m.%Y %H:%M:%S}",
        f"call={session} uis-{session}",
        f"{price / 100:,.2f} ₽",
        f"{price:,}".replace(",", " ") + " ₽",
        f"ext. {extension}",
        str(unique),
    ):
        assert phone_texts.mask(text) == text


@example("+00000000000000")
@given(st.text(max_size=300) | st.text("0123456789 +-().%20\\u", max_size=200))
def test_masking_is_idempotent_and_fails_on_no_text(text):
    masked = phone_texts.mask(text)
    assert phone_texts.mask(masked) == masked
    number_forms.replace_number(text, DIGITS, "X")


@pytest.mark.parametrize(
    "part", ["1 ", "1", "+1-", "1.", "999 ", "90 91 ", "\\", "1\\", "%25", "1%252525", "2020-", "79990000001,", "("]
)
def test_hostile_text_is_searched_in_linear_time(part):
    text = "1234567" + part * (65536 // len(part))
    assert_linear(phone_texts.mask, text)
    assert_linear(lambda part: number_forms.replace_number(part, DIGITS, "X"), text)
