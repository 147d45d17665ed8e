"""Creates the calls of UIS's report that have no row."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from connector_project.core import logging
from telephony.calls import pipeline
from telephony.calls.sources import StaffDirectory
from telephony.models import Call
from telephony.uis.types import EndedEvent
from tenants.models import Tenant

logger = logging.logger(__name__)


def create(
    tenant: Tenant, found: Iterable[EndedEvent], *, choice: str = "", now: datetime
) -> tuple[list[Call], list[EndedEvent]]:
    """Return the created calls, and the reported ones that could not be created.

    One that fails must not stop the others, and is tried again after them: another transaction may have been in the
    way, or a webhook has created it. The caller enqueues the next steps.
    """
    created: list[Call] = []
    failed: list[EndedEvent] = []
    staff = StaffDirectory.for_tenant(tenant)
    for again, group in ((False, found), (True, failed)):
        for reported in list(group):
            try:
                with transaction.atomic():
                    created.append(pipeline.create_from_report(tenant, reported, staff=staff, choice=choice, now=now))
            except Exception:
                if again:
                    logger.exception("call could not be created", tenant=tenant.slug, call=reported.session_id)
                else:
                    failed.append(reported)
            else:
                if again:
                    failed.remove(reported)
    return created, failed
