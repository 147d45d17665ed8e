"""Where a call came from, for its page, with who told each fact; the names of the facts."""

from collections.abc import Mapping
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connector_project.core import phone_numbers
from connector_project.core.check_results import Text
from connector_project.operations.explain.data import Redactor
from telephony.calls import attribution
from telephony.calls.attribution import KnownFact, Origin
from telephony.models import Call
from telephony.uis.call_facts import Fact
from tenants import datetime_display

LABELS: Mapping[str, Text] = {
    Fact.SOURCE: gettext_lazy("source"),
    Fact.SCENARIO: gettext_lazy("scenario"),
    Fact.TAGS: gettext_lazy("tags"),
    Fact.CAMPAIGN: gettext_lazy("campaign"),
    Fact.UTM_SOURCE: "utm_source",
    Fact.UTM_MEDIUM: "utm_medium",
    Fact.UTM_CAMPAIGN: "utm_campaign",
    Fact.UTM_TERM: "utm_term",
    Fact.UTM_CONTENT: "utm_content",
    Fact.TRAFFIC_SOURCE: gettext_lazy("traffic source"),
    Fact.CHANNEL: gettext_lazy("channel"),
    Fact.REGION: gettext_lazy("region"),
    Fact.YM_CLIENT_ID: gettext_lazy("Yandex Metrica client ID"),
    Fact.UA_CLIENT_ID: gettext_lazy("Google Analytics client ID"),
    Fact.RATING: gettext_lazy("rating"),
}


def of_call(call: Call, redactor: Redactor, *, now: datetime) -> list[tuple[Text, str, str]]:
    """Return what is known, in the order of `LABELS`: name, value, who told it and when."""
    known = attribution.from_columns(attribution.columns_of(call))
    return [
        (label, redactor.text(_shown(fact)), _told_by(call, fact, now=now))
        for code, label in LABELS.items()
        if (fact := known.get(code)) is not None and fact.value
    ]


def _shown(fact: KnownFact) -> str:
    return ", ".join(fact.value) if isinstance(fact.value, tuple) else str(fact.value)


def _told_by(call: Call, fact: KnownFact, *, now: datetime) -> str:
    match fact.origin:
        case Origin.STATIC:
            told = _("by the campaign of the virtual number %(number)s") % {"number": phone_numbers.e164(call.number)}
        case Origin.NOTIFICATION:
            told = _("by a notification")
        case Origin.REPORT:
            told = _("by UIS's report")
    at = datetime_display.format_with_seconds(call.tenant, fact.at, now=now) if fact.at else ""
    return ", ".join(filter(None, (told, at)))
