"""How long rows are kept: three terms of the installation, of which a tenant may have shorter ones."""

from datetime import datetime, timedelta
from typing import Protocol

from django.conf import settings

from connector_project.core.choices import Choices


class Term(Choices):
    """What a row is kept as."""

    PAYLOAD = "PAYLOAD", "RETENTION_PAYLOAD_DAYS"
    CALLS = "CALLS", "RETENTION_CALLS_DAYS"
    LOGS = "LOGS", "RETENTION_LOGS_DAYS"


FIELDS = tuple(f"retention_{term.value.lower()}_days" for term in Term)  # of a tenant


class HasTerms(Protocol):
    """A tenant's own terms, in days; None: that of the installation."""

    retention_payload_days: int | None
    retention_calls_days: int | None
    retention_logs_days: int | None


def installation_days(term: Term) -> int:
    return int(getattr(settings, term.label))


def days(tenant: HasTerms | None, term: Term) -> int:
    """Return the term of a tenant in days: never longer than the installation's; None: rows of no tenant."""
    own: int | None = getattr(tenant, FIELDS[list(Term).index(term)], None)
    return min(own or installation_days(term), installation_days(term))


def kept_since(tenant: HasTerms | None, term: Term, *, now: datetime) -> datetime:
    """Return the time before which rows are purged."""
    return now - timedelta(days=days(tenant, term))
