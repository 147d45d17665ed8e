"""The fake UIS tells where calls come from as in the reference, and refuses what the vendor refuses."""

import pytest

from tests.fakes.test_uis_fake import CLIENT, OWN, WINDOW, Client
from tests.fakes.uis_attribution import add_campaign

COLUMNS = {"utm_source": "yandex", "campaign_name": "Весна", "channel": "paid"}


@pytest.fixture
def api():
    return Client()


@pytest.fixture
def campaign(api):
    return add_campaign(api.account, 7, "Весна", number=OWN, source="yandex")


def test_columns_come_only_on_request(api):
    api.account.call(contact=CLIENT, number=OWN, columns=COLUMNS, tags=["VIP"])
    [default] = api.rows("get.calls_report", **WINDOW)
    assert default.keys().isdisjoint({*COLUMNS, "tags"})
    [row] = api.rows("get.calls_report", **WINDOW, fields=[*COLUMNS, "tags", "ym_client_id"])
    [tag] = row.pop("tags")
    assert (row, tag["tag_name"], tag["tag_type"]) == (COLUMNS | {"ym_client_id": None}, "VIP", "auto")


@pytest.mark.parametrize("name", ["utm_sourse", "static_utm_source", "is_vip"])
def test_unknown_column_is_refused(api, name):
    assert api.error_of("get.calls_report", **WINDOW, fields=["id", name]) == "unexpected_parameters"
    assert api.error_of("get.campaigns", fields=["id", "utm_source"]) == "unexpected_parameters"


def test_column_without_its_component_is_refused_and_costs_nothing(api):
    api.account.refused_columns = {"utm_source"}
    before = api.account.points_used("data", "day")
    found = api.error_of("get.calls_report", **WINDOW, fields=["id", "utm_source"])
    assert (found, api.account.points_used("data", "day")) == ("parameter_component_disabled", before)
    assert api.rows("get.calls_report", **WINDOW, fields=["id"]) == []


def test_client_id_cannot_be_filtered_on(api):
    condition = {"field": "ym_client_id", "operator": "=", "value": "1"}
    assert api.error_of("get.calls_report", **WINDOW, filter=condition) == "filter_prohibited"


def test_campaign_tells_its_marks_only_on_request(api, campaign):
    assert api.rows("get.campaigns") == [{"id": 7, "name": "Весна", "status": "active"}]
    fields = ["id", "static_utm_source", "static_utm_term"]
    assert api.rows("get.campaigns", fields=fields) == [
        {"id": 7, "static_utm_source": "yandex", "static_utm_term": None}
    ]
    [number] = api.rows("get.virtual_numbers", fields=["campaigns"])
    assert [(one["campaign_id"], one["campaign_name"]) for one in number["campaigns"]] == [(7, "Весна")]


def test_campaigns_come_in_pages(api):
    for number in range(5):
        add_campaign(api.account, number, str(number))
    order = [{"field": "id", "order": "asc"}]
    pages = [api.rows("get.campaigns", limit=2, offset=offset, sort=order) for offset in (0, 2, 4)]
    assert [row["id"] for page in pages for row in page] == [0, 1, 2, 3, 4]


def test_tags_and_scenarios_need_their_rights(api):
    api.account.call(contact=CLIENT, number=OWN, tags=["VIP"])
    assert (api.error_of("get.tags"), api.error_of("get.scenarios")) == ("forbidden", "component_disabled")
    api.account.permissions |= {"tag_management: select", "va: select"}
    api.account.components.add("va")
    assert api.rows("get.tags") == [{"id": 1, "name": "VIP", "is_system": False}]
    assert [row["name"] for row in api.rows("get.scenarios")] == ["Основной сценарий"]


def test_notification_tells_the_macros_of_its_template(api):
    columns = COLUMNS | {"cpn_region_name": "Москва", "last_answered_employee_rating": 5}
    call = api.account.call(contact=CLIENT, number=OWN, columns=columns, tags=["VIP"])
    assert call.notification("call_end")["tag_names"] == ["VIP"]
    assert "campaign_name" not in call.notification("call_end")


def test_what_the_vendor_does_not_have_cannot_be_planted(api):
    call = api.account.call(contact=CLIENT, number=OWN, columns={"utm_sourse": "x"})
    with pytest.raises(ValueError, match="no such columns: utm_sourse"):
        api.rows("get.calls_report", **WINDOW)
    del api.account.sessions[call.session_id]
    with pytest.raises(ValueError, match="no such marks: sourse"):
        add_campaign(api.account, 7, "Весна", sourse="x")
