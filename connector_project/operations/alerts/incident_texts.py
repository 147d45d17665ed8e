"""Texts about an incident, in the active language, without phone numbers or keys."""

from datetime import datetime

from django.utils.translation import gettext, pgettext

from connector_project.core.check_results import Responsible
from connector_project.operations.alerts.rules import RULES
from connector_project.operations.models import Incident
from telephony.models import FailureReason
from tenants import datetime_display


def subject_name(incident: Incident) -> str:
    return incident.tenant.name if incident.tenant else gettext("the whole service")


def message(incident: Incident, *, now: datetime | None = None) -> str:
    """Return what is wrong, in a few sentences; with `now`, times are in the short format."""
    since = datetime.fromisoformat(incident.context["since"]) if incident.context.get("since") else None
    moment = at(incident, since, now=now) if now else datetime_display.format_full(incident.tenant, since)
    is_known = incident.reason in set(FailureReason) - {""}
    reason = str(FailureReason(incident.reason).label) if is_known else pgettext("reason", "unknown")
    text = RULES[incident.kind].text(incident, {**incident.context, "moment": moment, "reason": reason})
    if incident.context.get("clients") and not incident.tenant_id:
        return " ".join([gettext("%(clients)s of %(live)s clients are affected.") % incident.context, text])
    return text


def responsible(incident: Incident) -> Responsible:
    """Return who is responsible; a system-wide problem is never the client's."""
    found = RULES[incident.kind].responsible(incident)
    return Responsible.OPERATOR if found == Responsible.CLIENT and not incident.tenant_id else found


def resolved_message(incident: Incident) -> str:
    """Return the text of a resolved incident, with what is left to do."""
    return str(RULES[incident.kind].resolved_text)


def at(incident: Incident, moment: datetime | None, *, now: datetime) -> str:
    """Return a time in the short format, in the client's zone; in UTC for a system-wide incident."""
    text = datetime_display.format_short(incident.tenant, moment, now=now)
    return text if incident.tenant or not text else f"{text} UTC"
