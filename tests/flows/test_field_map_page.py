"""The page of a client's field map: rows are edited in the draft, and decide when it is published."""

import pytest
from django.utils import translation

from tenants import rule_versions
from tenants.field_map.presets import MAPS, MapPreset
from tests.rules import draft_of, publish_rules
from tests.users import create_user

ROW = {"target": "upload.source.source", "facts": ["utm_source", "source"]}


@pytest.fixture
def url(tenant):
    return f"/admin/tenants/tenant/{tenant.pk}/rules/field-map/"


@pytest.fixture
def english(client):
    client.cookies["django_language"] = "en"
    with translation.override("en"):
        yield


def form(number, **values):
    empty = {"target": "", "fact_1": "", "fact_2": "", "fact_3": "", "constant": "", "form": "pass", "entries": ""}
    return {f"form-{number}-{name}": value for name, value in {**empty, "subject": "always", **values}.items()}


def posted(tenant, *rows, initial=0):
    total = {
        "form-TOTAL_FORMS": len(rows),
        "form-INITIAL_FORMS": initial,
        "seen": rule_versions.stamp(draft_of(tenant)),
    }
    merged = {name: value for number, row in enumerate(rows) for name, value in form(number, **row).items()}
    return total | merged


def stored(tenant):
    return draft_of(tenant).field_map


def test_rows_are_saved_in_the_draft_in_the_given_order(admin_client, url, tenant, twin):
    rows = (
        {"target": "upload.source.source", "fact_1": "source", "ORDER": 2},
        {"target": "upload.source.source", "fact_1": "utm_source", "subject": "direction", "values": "in", "ORDER": 1},
        {
            "target": "upload.site",
            "fact_1": "number",
            "form": "dictionary",
            "entries": "+74950000001 = b12\n\n",
            "ORDER": 3,
        },
        {},
    )
    assert admin_client.post(url, posted(tenant, *rows)).status_code == 302
    assert stored(tenant) == [
        {
            "target": "upload.source.source",
            "facts": ["utm_source"],
            "subject": "direction",
            "values": ["in"],
        },
        {"target": "upload.source.source", "facts": ["source"]},
        {
            "target": "upload.site",
            "facts": ["number"],
            "form": "dictionary",
            "entries": {"+74950000001": "b12"},
        },
    ]
    tenant.refresh_from_db()
    assert tenant.rules.field_map.rows == ()
    assert draft_of(tenant).edited_by.username == "admin"
    assert stored(twin) == []


def test_stored_rows_are_shown_and_deleted(admin_client, english, url, tenant):
    publish_rules(tenant, field_map=[ROW])
    page = admin_client.get(url, headers={"accept-language": "en"}).content.decode()
    assert "call: source ← UTM source, else source, as it is" in page
    gone = {"target": "upload.source.source", "fact_1": "utm_source", "DELETE": "on"}
    admin_client.post(url, posted(tenant, gone, initial=1))
    assert stored(tenant) == []


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"target": "upload.phone", "fact_1": "number"}, "does not take"),
        ({"target": "upload.site", "fact_1": ""}, "names no fact"),
        ({"target": "upload.site", "fact_1": "constant"}, "needs a text"),
        ({"target": "popup.site", "fact_1": "channel"}, "not known while a phone rings"),
        ({"target": "upload.site", "fact_1": "store", "form": "dictionary", "entries": "no sign"}, "must be like"),
        ({"target": "upload.site", "fact_1": "store", "subject": "direction", "values": "up"}, "cannot hold"),
        ({"target": "upload.price", "fact_1": "store"}, "upload.price"),
        ({"target": "upload.site", "fact_1": "weather"}, "weather"),
    ],
)
def test_bad_row_is_refused_with_a_sentence_and_nothing_is_saved(admin_client, english, url, tenant, row, told):
    answer = admin_client.post(url, posted(tenant, row), headers={"accept-language": "en"})
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert stored(tenant) == []


def test_preset_replaces_the_rows(admin_client, url, tenant):
    data = {"preset": "advertising", "seen": rule_versions.stamp(draft_of(tenant))}
    admin_client.post(url, data)
    assert stored(tenant) == MAPS[MapPreset.ADVERTISING].dump()


def test_draft_that_somebody_else_has_changed_is_not_overwritten(admin_client, url, tenant):
    data = posted(tenant, {"target": "upload.site", "fact_1": "store"})
    publish_rules(tenant, field_map=[ROW])
    answer = admin_client.post(url, data, follow=True)
    assert answer.context["messages"]
    assert stored(tenant) == [ROW]


def test_support_reads_and_cannot_edit(client, url, tenant):
    publish_rules(tenant, field_map=[ROW])
    client.force_login(create_user("sveta", "Support"))
    page = client.get(url)
    assert (page.status_code, b'id="field-map"' in page.content) == (200, False)
    assert client.post(url, posted(tenant)).status_code == 403
    assert stored(tenant) == [ROW]


def test_number_of_queries_does_not_grow_with_the_rows(admin_client, url, tenant, django_assert_max_num_queries):
    publish_rules(tenant, field_map=MAPS[MapPreset.ADVERTISING].dump() * 5)
    with django_assert_max_num_queries(12):
        admin_client.get(url)
