"""What is told of incidents, and when: one message for all that have one cause, as rows that a task sends."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext, ngettext

from connector_project.queue import Queue, enqueue
from crm.alarms import incidents, post, words
from crm.alarms.rules import explains, is_part_of
from crm.models import Incident, Post

Event = Literal["opened", "resolved"]
# Of one cause so often at most: those who follow within this time come together in the next message.
PAUSE = timedelta(minutes=10)
LONGEST_LIST = 50
_TOLD: dict[Event, str] = {"opened": "told_at", "resolved": "end_told_at"}


@transaction.atomic
def tell(*, now: datetime, queue: Queue) -> None:
    """Write a message for all that opened or ended and was not told yet; the rows are locked, so it is told once."""
    there = {incident.key: incident for incident in incidents.unresolved()}
    told = {key for key, incident in there.items() if incident.told_at}
    fresh = _locked(incidents.pressing().filter(told_at=None))
    # Who has what all have is named in its message, if he has it by then; and why he has it is told already.
    fresh = [one for one in fresh if not is_part_of(told, one.key) and not explains(there, one.key)]
    _tell("opened", fresh, now=now, queue=queue)
    over = Incident.objects.filter(state=Incident.State.RESOLVED, end_told_at=None)
    _tell("resolved", _locked(over), now=now, queue=queue)


def _locked(rows: QuerySet[Incident]) -> list[Incident]:
    return list(rows.select_for_update(of=("self",)).select_related("tenant").order_by("pk"))


def _tell(event: Event, rows: Iterable[Incident], *, now: datetime, queue: Queue) -> None:
    alike: dict[tuple[str, str], list[Incident]] = defaultdict(list)
    for incident in rows:
        alike[incident.kind, incident.cause].append(incident)
    told = _TOLD[event]
    lately = Incident.objects.filter(**{f"{told}__gt": now - PAUSE})
    busy = set(lately.order_by().values_list("kind", "cause").distinct()) if alike else set()
    for key in alike.keys() - busy:
        group = sorted(alike[key], key=lambda one: (one.tenant_id is not None, words.concerned(one)))
        _write(event, group, now=now, queue=queue)
        Incident.objects.filter(pk__in=[one.pk for one in group]).update(**{told: now})


def _write(event: Event, group: Sequence[Incident], *, now: datetime, queue: Queue) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        subject = _subject(event, group)
        for way in post.ways():
            body = _mail(event, group) if way == Post.Way.MAIL else _json(event, group, now)
            row = Post.objects.create(way=way, subject=subject, body=body, created_at=now, next_attempt_at=now)
            enqueue(post.TASK, row.pk, queue=queue)


def _subject(event: Event, group: Sequence[Incident]) -> str:
    what = group[0].get_kind_display()
    whom = words.concerned(group[0])
    if len(group) > 1:
        more = len(group) - 1
        whom = ngettext("%(first)s and %(more)d more", "%(first)s and %(more)d more", more) % {
            "first": whom,
            "more": more,
        }
    is_over = event == "resolved"
    said = gettext("Over: %(what)s – %(whom)s") if is_over else gettext("Alarm: %(what)s – %(whom)s")
    return " ".join((said % {"what": what, "whom": whom}).split())[:250]


def _mail(event: Event, group: Sequence[Incident]) -> str:
    rows = [_line(event, one) for one in group[:LONGEST_LIST]]
    about = {"rows": rows, "more": len(group) - len(rows), "all": where()}
    return render_to_string("alarms/mail.txt", about).strip() + "\n"


def _line(event: Event, incident: Incident) -> dict[str, str]:
    is_over = event == "resolved"
    must_act = gettext("Who must act: %(who)s.") % {"who": words.who(incident).label}
    was = gettext("What it was: %(says)s") % {"says": words.says(incident)}
    return {
        "whom": words.concerned(incident),
        "says": was if is_over else words.says(incident),
        "then": words.over(incident) if is_over else must_act,
        "where": where(incident),
    }


def _json(event: Event, group: Sequence[Incident], now: datetime) -> str:
    data = {
        "kind": group[0].kind,
        "cause": group[0].cause,
        "count": len(group),
        "url": where(),
        "incidents": [_told(one) for one in group[:LONGEST_LIST]],
    }
    message = {"type": f"incident.{event}", "timestamp": now.isoformat(), "data": data}
    return json.dumps(message, ensure_ascii=False)


def _told(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.pk,
        "tenant": incident.tenant.slug if incident.tenant else None,
        "name": words.concerned(incident),
        "says": words.says(incident),
        "who": words.who(incident).value,
        "figures": incident.about,
        "opened_at": incident.opened_at.isoformat(),
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "url": where(incident),
    }


def where(incident: Incident | None = None) -> str:
    """Return the address of an incident in the admin, or of the list of all."""
    path = reverse("admin:crm_incident_change", args=[incident.pk]) if incident else None
    return settings.PUBLIC_URL + (path or reverse("admin:crm_incident_changelist"))
