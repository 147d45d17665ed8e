"""What a vendor denies, in words, and who must act."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from connector_project.core.check_results import Responsible
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from connector_project.core.redaction import redact
from telephony.models.choices import NEEDED_RIGHTS, State
from tenants import outbound_addresses
from tenants.access_errors import AccessError
from tenants.models import Connection, CrmConnection, Tenant, UisConnection


@dataclass(frozen=True)
class Denied:
    """Denials with one cause: what must be changed is the same for all the rights that are missing."""

    code: str
    since: datetime
    detail: str = ""
    rights: tuple[str, ...] = ()  # empty: everything is denied

    @property
    def message(self) -> str:
        return describe(self.code, self.detail, rights=self.rights)

    @property
    def is_address_refused(self) -> bool:
        """Whether UIS does not answer our address."""
        return self.code == AccessError.ADDRESS_NOT_LISTED

    @property
    def responsible(self) -> Responsible:
        return responsible(self.code)


def denied_connections() -> Iterator[tuple[str, list[Any]]]:
    """Yield for each system the connections of live clients that deny something, without their access keys."""
    for system, query in _DENIED.items():
        yield system, query.fetch()


def _denying(model: type[UisConnection] | type[CrmConnection], _given: Placeholders) -> Any:
    rows = model._default_manager.filter(tenant__in=Tenant.objects.live()).exclude(denials={})
    return rows.order_by("tenant").only("tenant", "denials")


_DENIED: Mapping[str, CompiledSelect[Any]] = {
    "uis": CompiledSelect(functools.partial(_denying, UisConnection)),
    "crm": CompiledSelect(functools.partial(_denying, CrmConnection)),
}


def of_connection(connection: Connection | None) -> list[Denied]:
    """Return what is denied now, one for each cause: what denies everything first."""
    found: dict[str, Denied] = {}
    for denial in connection.denied.values() if connection else ():
        rights: tuple[str, ...] = (denial.right,) if denial.right else ()
        same = found.get(denial.code, Denied(denial.code, denial.since, denial.detail))
        since = min(same.since, denial.since)
        found[denial.code] = Denied(denial.code, since, same.detail, (*same.rights, *rights))
    return list(found.values())


def of_step(connection: Connection, state: State) -> Denied | None:
    """Return what denies the step of a call in this state: all access, or the right that it needs."""
    denial = connection.suspension or connection.denied.get(NEEDED_RIGHTS.get(state, ""))
    return Denied(denial.code, denial.since, denial.detail, (denial.right,) if denial.right else ()) if denial else None


def describe(code: str, answered: str = "", *, rights: Iterable[str] = ()) -> str:
    """Return what must be changed to get access back; the vendor's text for an unknown code."""
    text = str(AccessError(code).label) if code in set(AccessError) - {""} else redact(answered)
    if code == AccessError.ADDRESS_NOT_LISTED:
        text = f"{text} {outbound_addresses.instruction()}"
    if not (names := ", ".join(rights)):
        return text
    missing = gettext("Missing: %(rights)s.") % {"rights": names}
    return f"{text} {missing}".strip()


def responsible(code: str) -> Responsible:
    others = {
        AccessError.ACCOUNT_INACTIVE: Responsible.UIS,
        AccessError.KEY_UNDECRYPTABLE: Responsible.OPERATOR,
        AccessError.ACCOUNT_USED: Responsible.OPERATOR,
    }
    return others.get(AccessError(code), Responsible.CLIENT) if code in set(AccessError) else Responsible.CLIENT
