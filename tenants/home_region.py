"""The home region of a client: the country of numbers that people type without a country code."""

import functools

from connector_project.core import time_zones

RUSSIA = "RU"
FOREIGN_BRANDS = {"callgear"}  # of UIS, which serve no clients in Russia


@functools.cache
def default(zone: str, uis_zone: str, brand: str) -> str:
    """Return the country (ISO code) of the client's time zone or UIS's, if it is not Russia; "" if unknown.

    A zone in Russia says less than any other: it is what both the client and their UIS account have until somebody
    sets it. It counts only where UIS's brand is Russian.
    """
    countries = [time_zones.country(zone), time_zones.country(uis_zone)]
    return next((one for one in countries if one not in {"", RUSSIA}), "" if brand in FOREIGN_BRANDS else RUSSIA)
