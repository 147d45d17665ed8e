"""Texts about an incident, in the active language, without phone numbers or keys."""

from collections.abc import Callable, Mapping
from datetime import date, datetime

from django.utils.formats import date_format
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Responsible, Text
from connector_project.core.redaction import redact
from connector_project.operations.alerts.rules import OVERDUE, Context
from connector_project.operations.models import Incident
from telephony.models import FailureReason
from tenants import datetime_display
from tenants.models import AccessError

Kind = Incident.Kind
SYSTEMS = {"uis": "UIS", "crm": "retailCRM"}
QUEUES: Mapping[str, Text] = {
    "default": _("No worker processes calls, syncs and schedules: nothing is uploaded."),
    "fast": _(
        "No worker reads notifications and clicks: no pop-up opens, no new call is uploaded, no click starts a call."
    ),
}


def subject_name(incident: Incident) -> str:
    return incident.tenant.name if incident.tenant else gettext("the whole service")


def message(incident: Incident, *, now: datetime | None = None) -> str:
    """Return what is wrong, in a few sentences; with `now`, times are in the short format."""
    text = _SENTENCES[Kind(incident.kind)](incident, _params(incident, now))
    if incident.context.get("clients") and not incident.tenant_id:
        return " ".join([gettext("%(clients)s of %(live)s clients are affected.") % incident.context, text])
    return text


def responsible(incident: Incident) -> Responsible:
    """Return who is responsible; a system-wide problem is never the client's."""
    found = _RESPONSIBLE[Kind(incident.kind)](incident)
    return Responsible.OPERATOR if found == Responsible.CLIENT and not incident.tenant_id else found


def resolved_message(incident: Incident) -> str:
    """Return the text of a resolved incident, with what is left to do."""
    if incident.kind == Kind.FAILURE_RATE:
        return gettext("Calls no longer fail. Retry those that failed.")
    return gettext("Resolved.")


def at(incident: Incident, moment: datetime | None, *, now: datetime) -> str:
    """Return a time in the short format, in the client's zone; in UTC for a system-wide incident."""
    text = datetime_display.format_short(incident.tenant, moment, now=now)
    return text if incident.tenant or not text else f"{text} UTC"


def denial(code: str, answered: str = "") -> str:
    """Return what must be changed to get access back; the vendor's text for an unknown code."""
    return str(AccessError(code).label) if code in set(AccessError) - {""} else redact(answered)


def denial_is_for(code: str) -> Responsible:
    return Responsible.UIS if code == AccessError.ACCOUNT_INACTIVE else Responsible.CLIENT


def _no_events(_incident: Incident, context: Context) -> str:
    by, has_events = context.get("by"), bool(context.get("since"))
    if by == "all":
        return (
            gettext(
                "No events from any client since %(moment)s; about %(usual)s calls are usual in this time. "
                "Check that UIS can reach our address."
            )
            % context
        )
    if by == "report":
        text = gettext("UIS reports calls since %(moment)s (%(calls)s), but no events have come.")
        if not has_events:
            text = gettext("UIS reports calls (%(calls)s), but no events have come yet.")
    elif by == "profile":
        text = gettext("No events since %(moment)s; about %(usual)s calls are usual in this time.")
    elif has_events:
        text = gettext("No events since %(moment)s, including business hours: no calls reach us.")
    else:
        text = gettext("No events yet, including business hours: no calls reach us.")
    return " ".join([text % context, gettext("UIS: Notifications.")])


def _denied(_incident: Incident, context: Context) -> str:
    system = SYSTEMS.get(str(context.get("side")), "?")
    text = gettext("%(system)s has denied access since %(moment)s.") % (context | {"system": system})
    code = str(context.get("code", ""))
    return f"{text} {denial(code) or code}".strip()


def _backlog(incident: Incident, context: Context) -> str:
    if incident.reason == OVERDUE:
        text = gettext("Tasks have been due since %(moment)s, but no worker has processed them.")
    else:
        text = gettext("Calls are waiting (%(calls)s), the oldest since %(moment)s: %(reason)s.")
    return text % context


def _failure_rate(_incident: Incident, context: Context) -> str:
    text = gettext("%(failed)s of %(of)s calls failed in the last %(hours)s h: %(reason)s.")
    return text % context


def _unexplained(_incident: Incident, context: Context) -> str:
    days = {_day(context.get("first")): None, _day(context.get("last")): None}
    text = gettext("Unexplained calls in UIS's report: %(calls)s (%(days)s).")
    return text % (context | {"days": " – ".join(days)})


def _no_worker(_incident: Incident, context: Context) -> str:
    queue = str(context.get("queue", ""))
    heartbeat = gettext("No heartbeat since %(moment)s.") if context.get("since") else gettext("No heartbeat.")
    return f"{QUEUES.get(queue, queue)} {heartbeat % context}"


def _params(incident: Incident, now: datetime | None) -> Context:
    """Return the parameters of the message."""
    since = datetime.fromisoformat(incident.context["since"]) if incident.context.get("since") else None
    moment = at(incident, since, now=now) if now else datetime_display.format_full(incident.tenant, since)
    return {**incident.context, "moment": moment, "reason": _reason(incident.reason)}


def _reason(code: str) -> str:
    return str(FailureReason(code).label) if code in set(FailureReason) - {""} else pgettext("reason", "unknown")


def _responsible_for(reason: str) -> Responsible:
    return FailureReason(reason).responsible if reason in set(FailureReason) else Responsible.OPERATOR


def _day(text: str | None) -> str:
    return date_format(date.fromisoformat(text), datetime_display.DAY) if text else "?"


_SENTENCES: Mapping[Incident.Kind, Callable[[Incident, Context], str]] = {
    Kind.NO_EVENTS: _no_events,
    Kind.ACCESS_DENIED: _denied,
    Kind.BACKLOG: _backlog,
    Kind.FAILURE_RATE: _failure_rate,
    Kind.UNEXPLAINED: _unexplained,
    Kind.WORKER: _no_worker,
}
_RESPONSIBLE: Mapping[Incident.Kind, Callable[[Incident], Responsible]] = {
    Kind.NO_EVENTS: lambda _incident: Responsible.CLIENT,
    Kind.ACCESS_DENIED: lambda incident: denial_is_for(str(incident.context.get("code", ""))),
    Kind.BACKLOG: lambda incident: _responsible_for(incident.reason),
    Kind.FAILURE_RATE: lambda incident: _responsible_for(incident.reason),
    Kind.UNEXPLAINED: lambda _incident: Responsible.DEVELOPERS,
    Kind.WORKER: lambda _incident: Responsible.OPERATOR,
}
