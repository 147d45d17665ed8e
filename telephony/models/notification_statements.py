"""The statements that each notification passes through, compiled: how it is loaded, and what is known of its call."""

import functools
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, Subquery

from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from telephony.models.notification import Notification

_claimed: CompiledSelect[Notification] = CompiledSelect(
    lambda given: (
        Notification.objects.with_related().filter(pk=given.integer("pk"), claim_token=given.uuid("token")).order_by()
    )
)
_repeated: CompiledSelect[tuple[bool]] = CompiledSelect(
    lambda given: Notification.objects.filter(pk=given.integer("pk")).order_by().values_list(_equal_key(given))
)
_events_of_call: CompiledSelect[tuple[str, Any, datetime]] = CompiledSelect(
    lambda given: (
        Notification.objects.kept_events(given.integer("tenant"), given.integer("session"))
        .order_by()
        .values_list("event", "parsed_event", "received_at")
    )
)


def claimed(pk: int, token: uuid.UUID) -> Notification | None:
    """Return a claimed notification with its tenant, both connections and the rules; None if it has been deleted."""
    return _claimed.first(pk=pk, token=token)


def events_of_call(tenant_id: int, session_id: int) -> Sequence[tuple[str, Any, datetime]]:
    """Return the kept events of a call: name, what `stored_events` wrote, and when it was received."""
    return _events_of_call.fetch(tenant=tenant_id, session=session_id)


def is_repeated(stored: Notification, key: str) -> bool:
    """Return whether another notification of the tenant has the key."""
    ((is_known,),) = _repeated.fetch(tenant=stored.tenant_id, pk=stored.pk, key=key)
    return bool(is_known)


def find_repeated_and_superseded(
    stored: Notification, key: str, *, session_id: int, event: str, limit: int
) -> tuple[bool, int | None]:
    """Return whether the key is known, and the newest event of this call and kind that is one too many, if any."""
    given = {"tenant": stored.tenant_id, "pk": stored.pk, "key": key, "session": session_id, "event": event}
    ((is_known, superseded),) = _repeated_and_superseded(limit).fetch(**given)
    return bool(is_known), superseded


@functools.cache
def _repeated_and_superseded(limit: int) -> CompiledSelect[tuple[bool, int | None]]:
    def build(given: Placeholders) -> Any:
        kept = Notification.objects.kept_events(given.integer("tenant"), given.integer("session"))
        newest = kept.filter(event=given.text("event")).order_by("-pk").values("pk")
        stored = Notification.objects.filter(pk=given.integer("pk")).order_by()
        return stored.values_list(_equal_key(given), Subquery(newest[limit - 1 : limit]))

    return CompiledSelect(build)


def _equal_key(given: Placeholders) -> Exists:
    equal = Notification.objects.filter(tenant=given.integer("tenant"), key=given.text("key"))
    return Exists(equal.exclude(pk=given.integer("pk")))
