"""An incident in words, in the language that is active: what is wrong, with whom, who must act. No phones, no keys."""

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
SIDES = {"uis": "UIS", "crm": "retailCRM"}
QUEUES: Mapping[str, Text] = {
    "default": _("No worker takes calls, syncs and schedules: nothing is uploaded."),
    "fast": _("No worker takes what a person waits for: no card opens, no click starts a call."),
}


def concerned(incident: Incident) -> str:
    """Return whom it is about."""
    return incident.tenant.name if incident.tenant else gettext("the whole service")


def says(incident: Incident, *, now: datetime | None = None) -> str:
    """Return what is wrong, as one sentence or a few; with `now`, moments are told in short."""
    said = _SENTENCES[Kind(incident.kind)](incident, _named(incident, now))
    if incident.about.get("clients") and not incident.tenant_id:
        return " ".join([gettext("%(clients)s of %(live)s clients at once.") % incident.about, said])
    return said


def who(incident: Incident) -> Who:
    """Return who must act; what many clients have at once is no fault of theirs."""
    found = _WHO[Kind(incident.kind)](incident)
    return Who.OPERATOR if found == Who.CLIENT and not incident.tenant_id else found


def over(incident: Incident) -> str:
    """Return that it is over, and what is left to do."""
    if incident.kind == Kind.SHARE_FAILED:
        return gettext("No more calls stop. Those that stopped wait for somebody to try them again.")
    return gettext("It is over.")


def at(incident: Incident, moment: datetime | None, *, now: datetime) -> str:
    """Return a moment in short, by the client's clock; of the whole, by that of all."""
    told = clock.said_at(incident.tenant, moment, now=now)
    return told if incident.tenant or not told else f"{told} UTC"


def denial(code: str, answered: str = "") -> str:
    """Return what must be changed for a side to let us in; its own words where we know none for its code."""
    return str(Denial(code).label) if code in set(Denial) - {""} else hide(answered)


def denial_is_for(code: str) -> Who:
    """Return who must change it."""
    return Who.UIS if code == Denial.ACCOUNT_INACTIVE else Who.CLIENT


def _silence(_incident: Incident, about: About) -> str:
    by, is_heard = about.get("by"), bool(about.get("since"))
    if by == "all":
        return (
            gettext(
                "No event of any client has come since %(moment)s; usual in this time are about %(usual)s calls. "
                "Look whether UIS reaches our address."
            )
            % about
        )
    if by == "list":
        said = gettext("UIS lists calls since %(moment)s (%(calls)s), and no event told of any.")
        if not is_heard:
            said = gettext("UIS lists calls (%(calls)s), and no event has told of any yet.")
    elif by == "habit":
        said = gettext("No event has come since %(moment)s; usual in this time are about %(usual)s calls.")
    elif is_heard:
        said = gettext("No event has come since %(moment)s, working hours included: no call reaches us.")
    else:
        said = gettext("No event has come yet, working hours included: no call reaches us.")
    return " ".join([said % about, gettext("UIS: Notifications.")])


def _denied(_incident: Incident, about: About) -> str:
    side = SIDES.get(str(about.get("side")), "?")
    said = gettext("Since %(moment)s %(side)s has not let us in.") % (about | {"side": side})
    code = str(about.get("code", ""))
    return f"{said} {denial(code) or code}".strip()


def _late(incident: Incident, about: About) -> str:
    if incident.cause == OVERDUE:
        said = gettext("Work has been due since %(moment)s, and no worker has taken it.")
    else:
        said = gettext("Calls wait (%(calls)s), the oldest since %(moment)s: %(cause)s.")
    return said % about


def _failing(_incident: Incident, about: About) -> str:
    said = gettext("Of %(of)s calls of the last %(hours)s h, %(failed)s stopped: %(cause)s.")
    return said % about


def _unexplained(_incident: Incident, about: About) -> str:
    days = {_day(about.get("first")): None, _day(about.get("last")): None}
    said = gettext("Calls of UIS's list that nobody can explain: %(calls)s (%(days)s).")
    return said % (about | {"days": " – ".join(days)})


def _dead(_incident: Incident, about: About) -> str:
    queue = str(about.get("queue", ""))
    sign = (
        gettext("Since %(moment)s there has been no sign of life.")
        if about.get("since")
        else gettext("There is no sign of life.")
    )
    return f"{QUEUES.get(queue, queue)} {sign % about}"


def _named(incident: Incident, now: datetime | None) -> About:
    """Return the figures a sentence may name."""
    since = datetime.fromisoformat(incident.about["since"]) if incident.about.get("since") else None
    moment = at(incident, since, now=now) if now else clock.in_full(incident.tenant, since)
    return {**incident.about, "moment": moment, "cause": _cause(incident.cause)}


def _cause(code: str) -> str:
    return str(Cause(code).label) if code in set(Cause) - {""} else pgettext("cause", "not known")


def _who_sees_to(cause: str) -> Who:
    return Cause(cause).who if cause in set(Cause) else Who.OPERATOR


def _day(text: str | None) -> str:
    return date_format(date.fromisoformat(text), clock.DAY) if text else "?"


_SENTENCES: Mapping[Incident.Kind, Callable[[Incident, About], str]] = {
    Kind.SILENCE: _silence,
    Kind.KEY: _denied,
    Kind.BACKLOG: _late,
    Kind.SHARE_FAILED: _failing,
    Kind.UNEXPLAINED: _unexplained,
    Kind.WORKER: _dead,
}
_WHO: Mapping[Incident.Kind, Callable[[Incident], Who]] = {
    Kind.SILENCE: lambda _incident: Who.CLIENT,
    Kind.KEY: lambda incident: denial_is_for(str(incident.about.get("code", ""))),
    Kind.BACKLOG: lambda incident: _who_sees_to(incident.cause),
    Kind.SHARE_FAILED: lambda incident: _who_sees_to(incident.cause),
    Kind.UNEXPLAINED: lambda _incident: Who.DEVELOPERS,
    Kind.WORKER: lambda _incident: Who.OPERATOR,
}
