"""Texts about an incident, in the active language, without phone numbers or keys."""

from collections.abc import Callable, Mapping
from datetime import date, datetime

from django.utils.formats import date_format
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from connector_project.logs import hide
from crm.alarms.rules import OVERDUE, About
from crm.models import Incident
from telephony.models import Cause
from telephony.models.words import Who
from tenants import clock
from tenants.finding import Text
from tenants.models import Denial

Kind = Incident.Kind
SYSTEMS = {"uis": "UIS", "crm": "retailCRM"}
QUEUES: Mapping[str, Text] = {
    "default": _("No worker processes calls, syncs and schedules: nothing is uploaded."),
    "fast": _("No worker processes urgent tasks: no pop-up opens, no click starts a call."),
}


def concerned(incident: Incident) -> str:
    return incident.tenant.name if incident.tenant else gettext("the whole service")


def says(incident: Incident, *, now: datetime | None = None) -> str:
    """Return what is wrong, in a few sentences; with `now`, times are in the short format."""
    text = _SENTENCES[Kind(incident.kind)](incident, _params(incident, now))
    if incident.about.get("clients") and not incident.tenant_id:
        return " ".join([gettext("%(clients)s of %(live)s clients are affected.") % incident.about, text])
    return text


def who(incident: Incident) -> Who:
    """Return who is responsible; a system-wide problem is never the client's."""
    found = _RESPONSIBLE[Kind(incident.kind)](incident)
    return Who.OPERATOR if found == Who.CLIENT and not incident.tenant_id else found


def over(incident: Incident) -> str:
    """Return the text of a resolved incident, with what is left to do."""
    if incident.kind == Kind.SHARE_FAILED:
        return gettext("Calls no longer fail. Retry those that failed.")
    return gettext("Resolved.")


def at(incident: Incident, moment: datetime | None, *, now: datetime) -> str:
    """Return a time in the short format, in the client's zone; in UTC for a system-wide incident."""
    text = clock.said_at(incident.tenant, moment, now=now)
    return text if incident.tenant or not text else f"{text} UTC"


def denial(code: str, answered: str = "") -> str:
    """Return what must be changed to get access back; the vendor's text for an unknown code."""
    return str(Denial(code).label) if code in set(Denial) - {""} else hide(answered)


def denial_is_for(code: str) -> Who:
    return Who.UIS if code == Denial.ACCOUNT_INACTIVE else Who.CLIENT


def _no_events(_incident: Incident, about: About) -> str:
    by, has_events = about.get("by"), bool(about.get("since"))
    if by == "all":
        return (
            gettext(
                "No events from any client since %(moment)s; about %(usual)s calls are usual in this time. "
                "Check that UIS can reach our address."
            )
            % about
        )
    if by == "list":
        text = gettext("UIS reports calls since %(moment)s (%(calls)s), but no events have come.")
        if not has_events:
            text = gettext("UIS reports calls (%(calls)s), but no events have come yet.")
    elif by == "habit":
        text = gettext("No events since %(moment)s; about %(usual)s calls are usual in this time.")
    elif has_events:
        text = gettext("No events since %(moment)s, including business hours: no calls reach us.")
    else:
        text = gettext("No events yet, including business hours: no calls reach us.")
    return " ".join([text % about, gettext("UIS: Notifications.")])


def _denied(_incident: Incident, about: About) -> str:
    system = SYSTEMS.get(str(about.get("side")), "?")
    text = gettext("%(system)s has denied access since %(moment)s.") % (about | {"system": system})
    code = str(about.get("code", ""))
    return f"{text} {denial(code) or code}".strip()


def _backlog(incident: Incident, about: About) -> str:
    if incident.cause == OVERDUE:
        text = gettext("Tasks have been due since %(moment)s, but no worker has processed them.")
    else:
        text = gettext("Calls are waiting (%(calls)s), the oldest since %(moment)s: %(reason)s.")
    return text % about


def _failure_rate(_incident: Incident, about: About) -> str:
    text = gettext("%(failed)s of %(of)s calls failed in the last %(hours)s h: %(reason)s.")
    return text % about


def _unexplained(_incident: Incident, about: About) -> str:
    days = {_day(about.get("first")): None, _day(about.get("last")): None}
    text = gettext("Unexplained calls in UIS's report: %(calls)s (%(days)s).")
    return text % (about | {"days": " – ".join(days)})


def _no_worker(_incident: Incident, about: About) -> str:
    queue = str(about.get("queue", ""))
    heartbeat = gettext("No heartbeat since %(moment)s.") if about.get("since") else gettext("No heartbeat.")
    return f"{QUEUES.get(queue, queue)} {heartbeat % about}"


def _params(incident: Incident, now: datetime | None) -> About:
    """Return the parameters of the message."""
    since = datetime.fromisoformat(incident.about["since"]) if incident.about.get("since") else None
    moment = at(incident, since, now=now) if now else clock.in_full(incident.tenant, since)
    return {**incident.about, "moment": moment, "reason": _reason(incident.cause)}


def _reason(code: str) -> str:
    return str(Cause(code).label) if code in set(Cause) - {""} else pgettext("reason", "unknown")


def _responsible_for(cause: str) -> Who:
    return Cause(cause).who if cause in set(Cause) else Who.OPERATOR


def _day(text: str | None) -> str:
    return date_format(date.fromisoformat(text), clock.DAY) if text else "?"


_SENTENCES: Mapping[Incident.Kind, Callable[[Incident, About], str]] = {
    Kind.SILENCE: _no_events,
    Kind.KEY: _denied,
    Kind.BACKLOG: _backlog,
    Kind.SHARE_FAILED: _failure_rate,
    Kind.UNEXPLAINED: _unexplained,
    Kind.WORKER: _no_worker,
}
_RESPONSIBLE: Mapping[Incident.Kind, Callable[[Incident], Who]] = {
    Kind.SILENCE: lambda _incident: Who.CLIENT,
    Kind.KEY: lambda incident: denial_is_for(str(incident.about.get("code", ""))),
    Kind.BACKLOG: lambda incident: _responsible_for(incident.cause),
    Kind.SHARE_FAILED: lambda incident: _responsible_for(incident.cause),
    Kind.UNEXPLAINED: lambda _incident: Who.DEVELOPERS,
    Kind.WORKER: lambda _incident: Who.OPERATOR,
}
