"""TEMPORARY placeholder so that imports work while the lamps are being written: overwrite me.

Used: SENTENCES (code -> gettext_lazy with %(names)s), LATELY, name(event), lamps().
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.functional import Promise

from telephony.uis.types import Event
from tenants.models import Tenant

LATELY = timedelta(days=7)
SENTENCES: dict[str, str | Promise] = {}


@dataclass(frozen=True)
class Fault:
    code: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Lamp:
    event: Event
    seen_at: datetime | None
    faults: tuple[Fault, ...]


def lamps(tenant: Tenant, *, now: datetime) -> list[Lamp]:
    return []


def name(event: Event) -> str:
    return event.value
