"""The home region of a client, by time zones and the brand of UIS."""

import pytest

from connector_project.core import time_zones
from tenants import home_region


@pytest.mark.parametrize(
    ("zone", "uis_zone", "brand", "region"),
    [
        ("Europe/Moscow", "", "uis", "RU"),
        ("Asia/Vladivostok", "Europe/Moscow", "novofon", "RU"),
        ("Europe/Simferopol", "Europe/Moscow", "uis", "RU"),
        ("Asia/Almaty", "Europe/Moscow", "uis", "KZ"),
        ("Europe/Moscow", "Asia/Hong_Kong", "comagic", "HK"),
        ("Europe/Kiev", "", "uis", "UA"),
        ("Asia/Calcutta", "", "uis", "IN"),
        ("UTC", "", "uis", "RU"),
        ("UTC", "Europe/London", "callgear", "GB"),
        ("Europe/Moscow", "Europe/Moscow", "callgear", ""),
        ("UTC", "nowhere", "callgear", ""),
    ],
)
def test_home_region_is_that_of_a_zone_outside_russia_first(zone, uis_zone, brand, region):
    assert home_region.default(zone, uis_zone, brand) == region


def test_zone_without_a_database_of_countries_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(time_zones.zoneinfo, "TZPATH", (str(tmp_path),))
    assert time_zones._countries.__wrapped__() == time_zones._COUNTRIES
