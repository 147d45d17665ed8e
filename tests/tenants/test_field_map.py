"""A field map says which fact goes into which field of the CRM, in what form, and when."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.uis import call_facts as wire
from tenants.field_map.apply import Path, applied
from tenants.field_map.facts import Fact, Price, is_known_at_ring, price_of
from tenants.field_map.rows import FieldMap, FieldMapError, Problem
from tenants.field_map.targets import TARGETS, Record
from tenants.field_map.transformations import Kind

SALT = "the tenant's own"
FACTS = {
    Fact.CONTACT: "79991234567",
    Fact.NUMBER: "74951230000",
    Fact.STORE: "shop-1",
    Fact.DIRECTION: "in",
    Fact.OUTCOME: "answered",
    Fact.RECORDING: "https://records.example/1",
    Fact.SOURCE: "yandex",
    Fact.CAMPAIGN: "Spring",
    Fact.TAGS: ("new", "vip"),
    Fact.TALK_SECONDS: 61,
    Fact.YM_CLIENT_ID: "1234.5678",
}
DEFAULTS = {
    Record.UPLOAD: {
        "phone": "79991234567",
        "external_phone": "74951230000",
        "site": "shop-1",
        "recording_url": "https://records.example/1",
    },
    Record.POPUP: {"phone": "79991234567", "external_phone": "74951230000", "site": "shop-1"},
}


def row(target, *facts, **more):
    return {"target": target, "facts": list(facts), **more}


def fields(*rows, record=Record.UPLOAD, facts=FACTS):
    return applied(FieldMap.parse(list(rows)), record, facts, salt=SALT)


@pytest.mark.parametrize("record", Record)
def test_empty_map_passes_what_always_was_passed(record):
    found = fields(record=record)
    assert found.values == DEFAULTS[record]
    assert {path.row for path in found.paths.values()} == {0}


def test_first_row_that_holds_decides():
    found = fields(
        row("upload.source.source", "constant", constant="phone", subject="direction", values=["out"]),
        row("upload.source.source", "source", subject="outcome", values=["answered"]),
        row("upload.source.source", "constant", constant="other"),
    )
    assert found.values["source.source"] == "yandex"
    assert found.paths["source.source"] == Path(row=2, fact=Fact.SOURCE, form=Kind.PASS)


def test_row_without_a_known_fact_leaves_the_field_to_the_next_one():
    found = fields(
        row("upload.source.campaign", "utm_campaign"), row("upload.source.campaign", "constant", constant="none")
    )
    assert found.values["source.campaign"] == "none"


def test_first_known_of_several_facts_is_taken():
    found = fields(row("upload.source.campaign", "utm_campaign", "campaign", "source"))
    assert (found.values["source.campaign"], found.paths["source.campaign"].fact) == ("Spring", Fact.CAMPAIGN)


def test_field_that_is_left_out_has_no_default():
    found = fields(row("upload.recording_url", "recording", form="leave_out"))
    assert "recording_url" not in found.values
    assert found.paths["recording_url"] == Path(row=1, fact=Fact.RECORDING, form=Kind.LEAVE_OUT)


def test_record_can_be_left_out_but_its_phone_cannot_be_changed():
    left_out = row("upload.phone", "contact", form="leave_the_record_out", subject="source", values=["yandex"])
    assert fields(left_out).is_left_out
    assert not fields(left_out, facts=FACTS | {Fact.SOURCE: "google"}).is_left_out
    assert not fields(left_out, record=Record.POPUP).is_left_out
    for form in {*Kind} - {Kind.PASS, Kind.LEAVE_THE_RECORD_OUT}:
        with pytest.raises(FieldMapError, match="FORM_NOT_OF_TARGET"):
            fields(row("upload.phone", "contact", form=form, entries={"a": "b"}))


@pytest.mark.parametrize(
    ("form", "fact", "expected"),
    [
        ({}, "tags", "new, vip"),
        ({}, "talk_seconds", "61"),
        ({"form": "mask_middle"}, "contact", "7******4567"),
        ({"form": "mask_middle"}, "campaign", "Sp**ng"),
        ({"form": "mask_middle"}, "constant", "****"),
        ({"form": "last_four"}, "contact", "4567"),
        ({"form": "dictionary", "entries": {"yandex": "ya", "google": "go"}}, "source", "ya"),
        ({"form": "dictionary", "entries": {"google": "go"}}, "source", None),
    ],
)
def test_forms(form, fact, expected):
    constant = {"constant": "abcd"} if fact == "constant" else {}
    found = fields(row("upload.source.content", fact, **form, **constant))
    assert found.values.get("source.content") == expected


def test_hash_depends_on_the_tenants_salt_and_tells_nothing():
    field_map = FieldMap.parse([row("upload.source.content", "contact", form="hash")])
    one, same, other = (
        applied(field_map, Record.UPLOAD, FACTS, salt=salt).values["source.content"] for salt in ("a", "a", "b")
    )
    assert one == same != other
    assert "4567" not in one


@pytest.mark.parametrize(
    ("rows", "problem", "number"),
    [
        ("no list", Problem.NO_ROW, 0),
        ([["no row"]], Problem.NO_ROW, 1),
        ([row("upload.site", "store"), row("upload.site", "store", code="1 + 1")], Problem.NO_ROW, 2),
        ([row("upload.price", "store")], Problem.UNKNOWN_TARGET, 1),
        ([row("upload.site", "weather")], Problem.UNKNOWN_FACT, 1),
        ([row("upload.site")], Problem.NO_FACT, 1),
        ([row("upload.phone", "number")], Problem.FACT_NOT_OF_TARGET, 1),
        ([row("popup.campaign", "contact")], Problem.FACT_NOT_OF_TARGET, 1),
        ([row("popup.site", "tags")], Problem.FACT_AFTER_RING, 1),
        ([row("popup.site", "channel")], Problem.FACT_AFTER_RING, 1),
        ([row("popup.site", "scenario")], Problem.FACT_AFTER_RING, 1),
        ([row("upload.site", "store", form="eval")], Problem.UNKNOWN_FORM, 1),
        ([row("upload.client_id", "ym_client_id", form="hash")], Problem.FORM_NOT_OF_TARGET, 1),
        ([row("upload.site", "store", form="dictionary")], Problem.NO_ENTRIES, 1),
        ([row("upload.site", "store", entries={"a": "b"})], Problem.NO_ENTRIES, 1),
        ([row("upload.site", "store", form="dictionary", entries={"a": 1})], Problem.NO_ENTRIES, 1),
        ([row("upload.site", "constant")], Problem.NO_CONSTANT, 1),
        ([row("upload.site", "store", constant="x")], Problem.NO_CONSTANT, 1),
        ([row("upload.site", "constant", constant="x" * 256)], Problem.TOO_LONG, 1),
        ([row("upload.site", "store", subject="weather", values=["rain"])], Problem.BAD_CONDITION, 1),
        ([row("upload.site", "store", subject="direction", values=["up"])], Problem.BAD_CONDITION, 1),
        ([row("upload.site", "store", subject="direction")], Problem.BAD_CONDITION, 1),
        ([row("popup.site", "store", subject="outcome", values=["missed"])], Problem.BAD_CONDITION, 1),
        (
            [row(f"{record}.phone", "contact", form="leave_the_record_out") for record in Record],
            Problem.SENDS_NOTHING,
            0,
        ),
        ([row("upload.site", "store")] * 101, Problem.NO_ROW, 0),
    ],
)
def test_bad_map_is_refused_with_its_row(rows, problem, number):
    with pytest.raises(FieldMapError) as refused:
        FieldMap.parse(rows)
    assert (refused.value.problem, refused.value.row) == (problem, number)


def test_map_that_sends_one_kind_of_record_only_is_none_that_sends_nothing():
    without_popups = FieldMap.parse([row("popup.phone", "contact", form="leave_the_record_out")])
    assert (without_popups.is_left_out(Record.POPUP), without_popups.is_left_out(Record.UPLOAD)) == (True, False)
    passing = row("popup.phone", "contact", subject="direction", values=["in"])
    assert not FieldMap.parse([passing, *without_popups.dump()]).is_left_out(Record.POPUP)


def test_what_a_map_reads_has_its_price():
    assert FieldMap().prices() == {Price.NOTHING, Price.NOTIFICATION}
    read = FieldMap.parse(
        [
            row("upload.source.campaign", "campaign", "utm_campaign"),
            row("upload.source.keyword", "tags", form="leave_out"),
            row("upload.source.content", "channel", subject="customer", values=["new"]),
        ]
    )
    assert read.prices() == {*Price}
    assert Fact.TAGS not in read.needs(Record.UPLOAD)


def test_every_fact_has_a_price_and_no_dear_one_is_known_at_a_ring():
    assert {price_of(fact) for fact in Fact} == {*Price}
    assert all(
        price_of(fact) in {Price.NOTHING, Price.NOTIFICATION, Price.STATIC} for fact in Fact if is_known_at_ring(fact)
    )


def one_row(target):
    """Return a strategy of rows of this target that may be valid."""
    facts = [fact for fact in Fact if target.takes(fact)]
    texts = st.text(min_size=1, max_size=5)
    return st.fixed_dictionaries(
        {"target": st.just(target.code), "facts": st.lists(st.sampled_from(facts), min_size=1, max_size=2)},
        optional={
            "form": st.sampled_from(target.forms),
            "entries": st.dictionaries(texts, texts, min_size=1, max_size=2),
            "constant": texts,
            "subject": st.sampled_from(["direction", "number"]),
            "values": st.lists(st.sampled_from(["in", "74951230000"]), min_size=1, max_size=2),
        },
    )


@given(st.lists(st.sampled_from([*TARGETS.values()]).flatmap(one_row), max_size=5))
def test_map_is_stored_and_read_again(rows):
    try:
        parsed = FieldMap.parse(rows)
    except FieldMapError:
        return
    assert FieldMap.parse(parsed.dump()) == parsed
    for record in Record:
        found = applied(parsed, record, FACTS, salt=SALT)
        assert found.is_left_out or found.values["phone"] == FACTS[Fact.CONTACT]
        assert all(f"{record}.{name}" in TARGETS and value for name, value in found.values.items())


def test_what_uis_tells_has_the_same_name_and_price_here():
    assert {code: price_of(Fact(code)).value for code in wire.ATTRIBUTION} == {
        code: known.prices[0].value for code, known in wire.ATTRIBUTION.items()
    }


def test_each_field_is_in_the_documentation():
    text = pathlib.Path("docs/field-map.md").read_text(encoding="utf-8")
    parts = {code.rpartition(".")[2] for code in TARGETS}
    assert [part for part in sorted(parts) if f"{part}`" not in text] == []
