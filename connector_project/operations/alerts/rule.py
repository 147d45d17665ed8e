"""What an alert rule is: when there is a problem, what is wrong, who must act and what is left to do."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from connector_project.core import logging
from connector_project.core.check_results import Responsible, Text
from connector_project.core.jobs import DATABASE_FAULTS
from connector_project.operations.models import Incident
from telephony.models import FailureReason
from tenants.models import Tenant

Context = dict[str, Any]
Key = tuple[int | None, str, str]

logger = logging.logger(__name__)


class Rule(ABC):
    """One kind of problem. An incident's `context` holds the parameters of its text."""

    kind: Incident.Kind
    resolved_text: Text = _("Resolved.")  # with what is left to do
    concerns_live_clients = True  # else clients that are paused, disconnected or not activated, too

    @abstractmethod
    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        """Yield the present problems as unsaved incidents; `clients` are the live ones."""

    def find_or_keep(self, clients: Sequence[Tenant], *, now: datetime) -> list[Incident]:
        """Return the present problems; if the rule breaks, those it has found before: the other rules go on."""
        try:
            return list(self.find(clients, now=now))
        except DATABASE_FAULTS:
            raise
        except Exception:
            logger.exception("an alert rule failed", rule=self.kind)
        known = Incident.objects.filter(kind=self.kind).exclude(state=Incident.State.RESOLVED)
        return [
            Incident(kind=one.kind, reason=one.reason, tenant_id=one.tenant_id, context=one.context) for one in known
        ]

    @abstractmethod
    def text(self, incident: Incident, context: Context) -> str:
        """Return what is wrong; `context` is the incident's, with `moment` and `reason` in words."""

    def responsible(self, incident: Incident) -> Responsible:
        """Return who must act: by the reason of calls if it has one, else the operator."""
        known = incident.reason in set(FailureReason)
        return FailureReason(incident.reason).responsible if known else Responsible.OPERATOR

    def is_explained(self, key: Key, others: Collection[Key]) -> bool:
        """Return whether one of the other problems explains this one, which then needs no notification."""
        return False

    def incident(self, reason: str, tenant_id: int | None = None, **context: Any) -> Incident:
        """Return an unsaved incident of one client, or of the whole service."""
        stored = {name: value.isoformat() if isinstance(value, date) else value for name, value in context.items()}
        return Incident(kind=self.kind, reason=reason, tenant_id=tenant_id, context=stored)
