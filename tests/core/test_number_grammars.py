"""Numbers in the forms that people and UIS write, drawn at random: each is read as the number it was made of."""

import random
from collections.abc import Callable

import pytest

from connector_project.core import phone_numbers

SEEDS = range(60)
PER_SEED = 25
# The country code, the national prefix, the beginnings of national numbers, and how many digits follow.
COUNTRIES = {
    "RU": ("7", "8", ("926", "916", "903", "495", "812", "343", "800"), 7),
    "KZ": ("7", "8", ("701", "777", "747"), 7),
    "BY": ("375", "80", ("29", "33"), 7),
    "UA": ("380", "0", ("50", "67"), 7),
    "HK": ("852", "", ("2123", "9123"), 4),
    "VN": ("84", "0", ("912", "983"), 6),
    "GB": ("44", "0", ("207946", "791112"), 4),
    "DE": ("49", "0", ("1512", "1711"), 7),
    "FR": ("33", "0", ("612", "142"), 6),
    "IT": ("39", "", ("347", "328"), 7),
    "AE": ("971", "0", ("50", "55"), 7),
    "US": ("1", "1", ("212736", "646736"), 4),
}
ONE_LENGTH = {"RU", "HK", "US", "UA", "FR"}
ABROAD = {"US": "011", "HK": "001"}
GAPS = ("", "", " ", "-", " - ", ".", "\u00a0", "\u2011", "\u2009", ") ", " (")
# What is written before an extension, and how it is followed.
LABELS = (
    *("доб. ", " доб.", " добавочный ", ", доб. ", " (доб. ", " вн.", " внутр. ", ";ext=", " ext. ", " EXT ", " ext"),
    *(" extension ", "x", " x ", " х ", "#", " # ", "*", ",", ",,", ", ", ";", "p", "w", "~", " №", "...", "/доб. "),
)
TEXTS = (
    " Иван",
    " (мама)",
    ", Иван Петрович",
    " после 18:00",
    " - офис",
    " спросить Анну",
    "; звонить вечером",
    " до 18",
)
ZONES = "٠١٢٣٤٥٦٧٨٩"


def number(rng: random.Random, country: str) -> tuple[str, str]:
    """Return the country code and the national number."""
    code, _prefix, beginnings, digits = COUNTRIES[country]
    rest = "".join(rng.choice("23456789") for _digit in range(digits))
    return code, rng.choice(beginnings) + rest


def spaced(rng: random.Random, digits: str) -> str:
    """Return digits in groups with gaps between them."""
    text, at = "", 0
    while at < len(digits):
        size = rng.choice([2, 2, 3, 3, 4])
        text += ("" if not text else rng.choice(GAPS)) + digits[at : at + size]
        at += size
    return text


def typed_main(rng: random.Random, country: str, home: str) -> tuple[str, str]:
    """Return a form of a number as a person in `home` types it, and its digits."""
    code, national = number(rng, country)
    digits = code + national
    forms: list[Callable[[], str]] = [
        lambda: "+" + spaced(rng, digits),
        lambda: f"+{code} ({national[:3]}) {spaced(rng, national[3:])}",
        lambda: " " + digits,  # the plus became a blank
        lambda: "00" + rng.choice(["", " ", "-"]) + spaced(rng, digits),
        lambda: f"+{code}{rng.choice([' ', ''])}(0){rng.choice([' ', ''])}{spaced(rng, national)}",
        lambda: rng.choice(["tel:+", "callto:+", "sip:"]) + digits + rng.choice(["", "@10.12.13.14"]),
        lambda: "＋" + digits.translate(str.maketrans("0123456789", rng.choice(["０１２３４５６７８９", ZONES]))),
    ]
    if home in {"RU", "KZ", "BY"}:
        forms.append(lambda: rng.choice(["8-10-", "810", "8 10 ", "8~10"]) + spaced(rng, digits))
    if home in ABROAD:
        forms.append(lambda: f"{ABROAD[home]} {spaced(rng, digits)}")
    if country == home:
        prefix = COUNTRIES[country][1]
        forms += [
            lambda: prefix + (rng.choice(["", " ", "-"]) if prefix else "") + spaced(rng, national),
            lambda: spaced(rng, national),
        ] * 2
    return rng.choice(forms)(), digits


@pytest.mark.parametrize("seed", SEEDS)
def test_what_people_type(seed):
    rng = random.Random(f"people {seed}")
    for _number in range(PER_SEED):
        home, country = rng.choice(list(COUNTRIES)), rng.choice(list(COUNTRIES))
        text, digits = typed_main(rng, rng.choice([home, country]), home)
        extension = ""
        if "@" not in text and rng.random() < 0.5:
            extension = "".join(rng.choice("0123456789") for _digit in range(rng.randint(1, 5)))
            label = rng.choice(LABELS)
            text += label + extension + (")" if "(" in label else "")
        elif rng.random() < 0.3:
            text += rng.choice(TEXTS)
        elif country in ONE_LENGTH and home in ONE_LENGTH and rng.random() < 0.3:
            text += rng.choice([" 2-й этаж", " 12:00-13:00", " 5 подъезд", "/39"])
        assert phone_numbers.from_person(text, region=home) == (digits, extension), (text, home)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_people_mistype_is_refused(seed):
    """A digit too few or too many, in countries whose numbers have one length, with or without an extension."""
    rng = random.Random(f"mistyped {seed}")
    for _number in range(PER_SEED):
        home = rng.choice(sorted(ONE_LENGTH))
        code, national = number(rng, home)
        wrong = rng.choice([national[:-1], national + rng.choice("23456789")])
        text = (
            rng.choice(["+", "00", "tel:+"]) + spaced(rng, code + wrong) + rng.choice(["", " доб. 101", "#7", ", Иван"])
        )
        assert phone_numbers.from_person(text, region=home) is None, (text, home)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_uis_writes(seed):
    rng = random.Random(f"uis {seed}")
    for _number in range(PER_SEED):
        home, country = rng.choice(list(COUNTRIES)), rng.choice(list(COUNTRIES))
        digits = "".join(number(rng, country))
        tail = rng.choice(["", "", "...2345", "...9.2.3.3", "#404812", ",101", ";ext=5", "*7", " доб. 5"])
        host = rng.choice(["@10.12.13.14", "@pbx.example.ru", "@10.12.13.14:5060;user=phone", "@[2001:db8::1]"])
        text = rng.choice(
            [
                *(digits, f"+{digits}", f"{digits}{tail}", f"+{digits}{tail}", f"tel:+{digits}", f"{digits}{host}"),
                *(f"sip:{digits}{host}", f"sips:+{digits}{host}", f"<sip:{digits}{host}>"),
            ]
        )
        assert phone_numbers.from_vendor(text, region=home) == digits, (text, home)


@pytest.mark.parametrize("seed", SEEDS)
def test_hidden_callers(seed):
    rng = random.Random(f"hidden {seed}")
    words = ["anonymous", "Unknown", "Private", "restricted", "Скрыт", "unavailable", "Coming"]
    for _number in range(PER_SEED):
        word, digits = rng.choice(words), "".join(rng.choice("0123456789") for _digit in range(rng.randint(1, 11)))
        text = rng.choice(
            [
                *(word, word.upper(), f"{word}-{digits}", f"{word} {digits}", f"{word}{digits}"),
                *("0" * rng.randint(1, 12), "+" + "0" * rng.randint(1, 12), "", "-", "+"),
                *(f"sip:{word}@10.12.13.14", "sip:10.12.13.14", "sip:@10.12.13.14"),
            ]
        )
        assert phone_numbers.from_vendor(text, region=rng.choice(list(COUNTRIES))) == "", text
