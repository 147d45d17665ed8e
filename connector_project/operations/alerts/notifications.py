"""Notifications about incidents: one message for all of the same kind and reason, as rows that a task sends."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext, ngettext

from connector_project.core import logging
from connector_project.core.jobs import DATABASE_FAULTS
from connector_project.core.task_queue import Queue, enqueue
from connector_project.operations.alerts import delivery, incident_texts, incidents, receivers
from connector_project.operations.alerts.rule import Key
from connector_project.operations.alerts.rules import RULES
from connector_project.operations.models import AlertDelivery, Incident

Event = Literal["opened", "resolved"]
# At most one message per kind and reason in this time; later incidents are grouped into the next message.
NOTIFICATION_INTERVAL = timedelta(minutes=10)
LONGEST_LIST = 50
_NOTIFIED_FIELDS: dict[Event, str] = {"opened": "notified_at", "resolved": "resolution_notified_at"}

logger = logging.logger(__name__)


@transaction.atomic
def queue_notifications(*, now: datetime, queue: Queue) -> None:
    """Write messages about incidents opened or resolved since the last ones; row locks prevent duplicates."""
    unresolved = {incident.key: incident for incident in incidents.unresolved()}
    notified = {key for key, incident in unresolved.items() if incident.notified_at}
    opened = [
        one
        for one in _locked(incidents.active().filter(notified_at=None))
        # The notification of a system-wide incident, or of the incident that explains it, covers it already.
        if (None, one.kind, one.reason) not in notified and not _is_explained(one, unresolved)
    ]
    _notify("opened", opened, now=now, queue=queue)
    resolved = Incident.objects.filter(state=Incident.State.RESOLVED, resolution_notified_at=None)
    _notify("resolved", _locked(resolved), now=now, queue=queue)


def _is_explained(incident: Incident, others: Collection[Key]) -> bool:
    rule = RULES.get(incident.kind)
    return rule is not None and rule.is_explained(incident.key, others)


def _locked(rows: QuerySet[Incident]) -> list[Incident]:
    return list(rows.select_for_update(of=("self",)).select_related("tenant").order_by("pk"))


def _notify(event: Event, rows: Iterable[Incident], *, now: datetime, queue: Queue) -> None:
    groups: dict[tuple[str, str], list[Incident]] = defaultdict(list)
    for incident in rows:
        groups[incident.kind, incident.reason].append(incident)
    field = _NOTIFIED_FIELDS[event]
    recent = Incident.objects.filter(**{f"{field}__gt": now - NOTIFICATION_INTERVAL})
    notified = set(recent.order_by().values_list("kind", "reason").distinct()) if groups else set()
    for key in groups.keys() - notified:
        group = sorted(groups[key], key=lambda one: (one.tenant_id is not None, incident_texts.subject_name(one)))
        if _try_to_create_messages(event, group, now=now, queue=queue):
            Incident.objects.filter(pk__in=[one.pk for one in group]).update(**{field: now})


def _try_to_create_messages(event: Event, group: Sequence[Incident], *, now: datetime, queue: Queue) -> bool:
    """Write the messages; incidents that break our code must not keep the others from being told."""
    try:
        with transaction.atomic():
            _create_messages(event, group, now=now, queue=queue)
    except DATABASE_FAULTS:
        raise
    except Exception:
        logger.exception("no alert could be written", incidents=[one.pk for one in group])
        return False
    return True


def _create_messages(event: Event, group: Sequence[Incident], *, now: datetime, queue: Queue) -> None:
    for channel, language in receivers.outlets():
        with translation.override(language):
            body = _mail(event, group) if channel == AlertDelivery.Channel.MAIL else _json(event, group, now)
            row = AlertDelivery.objects.create(
                channel=channel,
                language=language,
                subject=_subject(event, group),
                body=body,
                created_at=now,
                next_attempt_at=now,
            )
        enqueue(delivery.TASK, row.pk, queue=queue)


def _subject(event: Event, group: Sequence[Incident]) -> str:
    subject = incident_texts.subject_name(group[0])
    if more := len(group) - 1:
        text = ngettext("%(first)s and %(more)d more", "%(first)s and %(more)d more", more)
        subject = text % {"first": subject, "more": more}
    opened, resolved = gettext("Incident: %(what)s – %(subject)s"), gettext("Resolved: %(what)s – %(subject)s")
    text = (resolved if event == "resolved" else opened) % {"what": group[0].get_kind_display(), "subject": subject}
    return " ".join(text.split())[:250]


def _mail(event: Event, group: Sequence[Incident]) -> str:
    rows = [_line(event, one) for one in group[:LONGEST_LIST]]
    context = {"rows": rows, "more": len(group) - len(rows), "all": _admin_url()}
    return render_to_string("alerts/mail.txt", context).strip() + "\n"


def _line(event: Event, incident: Incident) -> dict[str, str]:
    message = incident_texts.message(incident)
    if event == "resolved":
        message = gettext("The problem was: %(message)s") % {"message": message}
        then = incident_texts.resolved_message(incident)
    else:
        then = gettext("Action: %(who)s.") % {"who": incident_texts.responsible(incident).label}
    subject = incident_texts.subject_name(incident)
    return {"subject": subject, "message": message, "then": then, "where": _admin_url(incident)}


def _json(event: Event, group: Sequence[Incident], now: datetime) -> str:
    data = {
        "kind": group[0].kind,
        "reason": group[0].reason,
        "count": len(group),
        "url": _admin_url(),
        "incidents": [_incident_json(one) for one in group[:LONGEST_LIST]],
    }
    message = {"type": f"incident.{event}", "timestamp": now, "data": data}
    return json.dumps(message, ensure_ascii=False, default=datetime.isoformat)


def _incident_json(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.pk,
        "tenant": incident.tenant.slug if incident.tenant else None,
        "name": incident_texts.subject_name(incident),
        "message": incident_texts.message(incident),
        "responsible": incident_texts.responsible(incident).value,
        "context": incident.context,
        "opened_at": incident.opened_at,
        "resolved_at": incident.resolved_at,
        "url": _admin_url(incident),
    }


def _admin_url(incident: Incident | None = None) -> str:
    """Return the admin URL of an incident, or of the list."""
    name = "admin:operations_incident_change" if incident else "admin:operations_incident_changelist"
    return settings.PUBLIC_URL + reverse(name, args=[incident.pk] if incident else [])
