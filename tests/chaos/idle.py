"""Whether everything has come to rest: then waiting longer changes nothing."""

from datetime import datetime

from django_q.models import OrmQ

from crm.models import Command
from telephony.models import Call, Notification
from tenants.models import CrmConnection, UisConnection
from tests.chaos.scenario import Truth


def is_open(truth: Truth, now: datetime) -> bool:
    """Say whether something of ours waits, or a call is not shown by UIS yet."""
    waits = (rows.objects.filter(next_attempt_at__isnull=False).exists() for rows in (Call, Notification, Command))
    shut = (rows.objects.filter(denied_at__isnull=False).exists() for rows in (UisConnection, CrmConnection))
    return any(waits) or any(shut) or OrmQ.objects.exists() or _is_late(truth, now)


def _is_late(truth: Truth, now: datetime) -> bool:
    shown = [story.session.records_at for story in truth.stories.values()]
    return any(at is not None and at > now for at in shown) or any(
        story.session.visible_at is not None and story.session.visible_at > now for story in truth.stories.values()
    )
