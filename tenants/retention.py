"""How long rows are kept: three terms of the installation, of which a tenant may have shorter ones."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from django.conf import settings

from connector_project.core import local_dates

if TYPE_CHECKING:
    from tenants.models import Tenant


class Term(StrEnum):
    """What a row is kept as."""

    PAYLOAD = "PAYLOAD"
    CALLS = "CALLS"
    LOGS = "LOGS"

    @property
    def variable(self) -> str:
        """The environment variable with the term of the installation, in days."""
        return f"RETENTION_{self.value}_DAYS"


FIELDS = tuple(f"retention_{term.value.lower()}_days" for term in Term)  # of a tenant


class HasTerms(Protocol):
    """A tenant's own terms, in days; None: that of the installation."""

    retention_payload_days: int | None
    retention_calls_days: int | None
    retention_logs_days: int | None


def installation_days(term: Term) -> int:
    return int(getattr(settings, term.variable))


def days(tenant: HasTerms | None, term: Term) -> int:
    """Return the term of a tenant in days: never longer than the installation's; None: rows of no tenant."""
    own: int | None = getattr(tenant, FIELDS[list(Term).index(term)], None)
    return min(own or installation_days(term), installation_days(term))


def kept_since(tenant: HasTerms | None, term: Term, *, now: datetime) -> datetime:
    """Return the time before which rows are purged."""
    return now - timedelta(days=days(tenant, term))


def first_day(tenant: "Tenant", *, now: datetime) -> date:
    """Return the first day of which all calls are kept, by the tenant's clock; earlier ones cannot be compared."""
    return local_dates.day_of(kept_since(tenant, Term.CALLS, now=now), zone=tenant.zone) + local_dates.DAY
