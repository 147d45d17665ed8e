"""Late events of calls whose number was erased: they must not bring the number back."""

from telephony.models import Notification
from telephony.models.notification import PROCESSING_FIELDS
from telephony.uis.types import CallEvent, EndedEvent
from tenants import erased_numbers


def is_erased(stored: Notification, event: CallEvent) -> bool:
    """Whether it is a late event of a call whose number was erased."""
    at = erased_numbers.erased_at(stored.tenant, event.contact)
    if at is None:
        return False
    began_at = (event.started_at if isinstance(event, EndedEvent) else None) or event.happened_at
    earlier = Notification.objects.filter(tenant=stored.tenant, session_id=event.session_id, received_at__lte=at)
    return began_at is None or began_at <= at or earlier.exclude(pk=stored.pk).exists()


def drop(stored: Notification, event: CallEvent) -> CallEvent:
    """Keep that the event came, and nothing of the person."""
    stored.event, stored.session_id, stored.happened_at = event.event, event.session_id, event.happened_at
    stored.query, stored.body, stored.parsed_event = "", "", None
    stored.close(Notification.Outcome.DROPPED, Notification.Reason.ERASED)
    stored.save(update_fields=[*PROCESSING_FIELDS, "query", "body"])
    return event
