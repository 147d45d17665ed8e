"""Whether everything is finished, so that waiting longer changes nothing."""

from datetime import datetime

from django_q.models import OrmQ

from crm.models import Command
from telephony.models import Call, Notification
from tenants.models import CrmConnection, UisConnection
from tests.chaos.scenario import GroundTruth


def is_open(truth: GroundTruth, now: datetime) -> bool:
    """Return whether some work of the product is pending, or a call is not in UIS's reports yet."""
    pending = (model.objects.filter(next_attempt_at__isnull=False).exists() for model in (Call, Notification, Command))
    suspended = (model.objects.exclude(denials={}).exists() for model in (UisConnection, CrmConnection))
    return any(pending) or any(suspended) or OrmQ.objects.exists() or _is_late(truth, now)


def _is_late(truth: GroundTruth, now: datetime) -> bool:
    shown = [scenario.session.records_at for scenario in truth.scenarios.values()]
    return any(at is not None and at > now for at in shown) or any(
        scenario.session.visible_at is not None and scenario.session.visible_at > now
        for scenario in truth.scenarios.values()
    )
