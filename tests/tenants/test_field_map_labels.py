"""A field map is told in words: nothing of the closed lists is without a name."""

import pytest
from django.utils import translation

from tenants import field_map_labels
from tenants.field_map.conditions import VALUES, Subject
from tenants.field_map.facts import Fact, Price
from tenants.field_map.rows import FieldMap, FieldMapError, Problem
from tenants.field_map.targets import TARGETS
from tenants.field_map.transformations import Kind


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.mark.parametrize(
    ("labels", "codes"),
    [
        (field_map_labels.FIELDS, TARGETS),
        (field_map_labels.FACTS, Fact),
        (field_map_labels.FORMS, Kind),
        (field_map_labels.SUBJECTS, Subject),
        (field_map_labels.VALUES, [value for values in VALUES.values() for value in values or ()]),
        (field_map_labels.PRICES, Price),
        (field_map_labels.PROBLEMS, Problem),
    ],
)
def test_each_code_has_words(labels, codes):
    assert {*labels} == {*codes}


def rows(*stored):
    return FieldMap.parse(list(stored)).rows


SITE = {"target": "upload.site", "facts": ["store"]}
CAMPAIGN = {"target": "upload.source.campaign", "facts": ["campaign", "utm_campaign"]}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (SITE, "call: store ← store of our number, as it is"),
        (CAMPAIGN, "call: campaign ← campaign, else UTM campaign, as it is"),
        (
            {
                "target": "upload.site",
                "facts": ["constant"],
                "constant": "b12",
                "subject": "direction",
                "values": ["in"],
            },
            "call: store ← “b12”, as it is, if the direction is incoming",
        ),
        (
            SITE | {"form": "dictionary", "entries": {"a": "b"}, "subject": "source", "values": ["Yandex", "Google"]},
            "call: store ← store of our number, translated by a dictionary (a → b), if the source is Yandex, Google",
        ),
    ],
)
def test_row_is_told_as_a_sentence(stored, words):
    (parsed,) = rows(stored)
    assert field_map_labels.describe(parsed) == words


def test_refusal_names_the_row_and_what_to_do():
    with pytest.raises(FieldMapError) as refused:
        rows(SITE, SITE | {"facts": ["weather"]})
    assert field_map_labels.refusal(refused.value) == (
        "Row 2 names the unknown fact “weather”. Choose one from the list."
    )


def test_rows_that_change_places_are_told():
    before, after = rows(SITE, CAMPAIGN), rows(CAMPAIGN, SITE)
    gained, lost = field_map_labels.added_and_removed(before, after)
    assert (len(gained), len(lost)) == (2, 2)
    assert field_map_labels.added_and_removed(before, before) == ([], [])
    assert field_map_labels.added_and_removed(before, rows(SITE)) == ([], [field_map_labels.describe(before[1])])
