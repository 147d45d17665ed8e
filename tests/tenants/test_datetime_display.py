"""Datetimes are shown in the client's time zone, with the month's name."""

from datetime import datetime

from django.utils import translation

from tenants import datetime_display
from tenants.models import Tenant

OMSK = Tenant(time_zone="Asia/Omsk")
NOW = datetime.fromisoformat("2026-12-07T20:30:00+00:00")  # past midnight in Omsk


def test_datetimes_are_in_the_clients_zone_with_the_month_name():
    with translation.override("ru"):
        assert datetime_display.format_short(OMSK, NOW, now=NOW) == "2:30"
        assert (
            datetime_display.format_short(OMSK, datetime.fromisoformat("2026-12-07T10:00:00+00:00"), now=NOW)
            == "7 декабря, 16:00"
        )
        assert datetime_display.format_short(OMSK, datetime.fromisoformat("2025-01-02T10:00:00+00:00"), now=NOW) == (
            "2 января 2025, 16:00"
        )
        assert datetime_display.format_full(OMSK, NOW) == "8 декабря 2026, 2:30 (Asia/Omsk)"
        assert datetime_display.day(OMSK, NOW) == "8 декабря 2026"


def test_times_use_24_hours_in_every_language():
    before, last_year = datetime.fromisoformat("2026-12-06T10:00:00+00:00"), NOW.replace(year=2025)
    with translation.override("en"):
        assert datetime_display.format_short(OMSK, before, now=NOW) == "6 December, 16:00"
        assert datetime_display.format_full(OMSK, before) == "6 December 2026, 16:00 (Asia/Omsk)"
        assert datetime_display.format_with_seconds(OMSK, before, now=NOW) == "6 December, 16:00:00"
        assert datetime_display.format_with_seconds(OMSK, last_year, now=NOW) == "8 December 2025, 02:30:00"


def test_datetime_without_a_client_is_in_utc_and_none_is_empty():
    with translation.override("ru"):
        assert datetime_display.format_short(None, NOW, now=NOW) == "20:30"
        assert datetime_display.format_full(None, NOW) == "7 декабря 2026, 20:30 (UTC)"
    assert datetime_display.format_short(OMSK, None, now=NOW) == datetime_display.format_full(OMSK, None) == ""
