"""The IANA time zones that this machine knows: their names, and their countries."""

import functools
import zoneinfo
from pathlib import Path

# Of what the database of time zones says of a country, it is not what UIS's clients there dial.
_COUNTRIES = {"Europe/Simferopol": "RU"}


@functools.cache
def known() -> frozenset[str]:
    """Return all names. Reading them walks through the whole directory of zones (20 ms), so it happens once."""
    return frozenset(zoneinfo.available_timezones())


def country(name: str) -> str:
    """Return the country of a time zone (ISO code); "" if it is of none, as UTC."""
    return _countries().get(name, "")


@functools.cache
def _countries() -> dict[str, str]:
    """Return the country of each zone, also by its older names."""
    found = {zone: code for code, _place, zone, *_more in _lines("zone.tab", "\t")}
    links = {alias: zone for kind, zone, alias, *_more in _lines("tzdata.zi", " ") if kind == "L"}
    return {alias: found.get(zone, "") for alias, zone in links.items()} | found | _COUNTRIES


def _lines(file: str, separator: str) -> list[list[str]]:
    """Return the columns of a file of the database of time zones, at least three; nothing if it is not installed."""
    path = next((path for folder in zoneinfo.TZPATH if (path := Path(folder, file)).is_file()), None)
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    columns = [line.split(separator) for line in lines if not line.startswith("#")]
    return [line for line in columns if len(line) >= 3]
