"""The facts that a field map may use: a closed list."""

from collections.abc import Mapping
from enum import StrEnum

Value = str | int | tuple[str, ...]
Facts = Mapping[str, Value]  # by Fact; one that is not known is left out


class Fact(StrEnum):
    """What is known of a call."""

    CONTACT = "contact"
    NUMBER = "number"
    STORE = "store"  # of our number, else the account's
    EMPLOYEE = "employee"
    DIRECTION = "direction"
    SOURCE = "source"
    SCENARIO = "scenario"
    CAMPAIGN = "campaign"
    UTM_SOURCE = "utm_source"
    UTM_MEDIUM = "utm_medium"
    UTM_CAMPAIGN = "utm_campaign"
    UTM_TERM = "utm_term"
    UTM_CONTENT = "utm_content"
    TRAFFIC_SOURCE = "traffic_source"
    CHANNEL = "channel"
    REGION = "region"
    YM_CLIENT_ID = "ym_client_id"  # the visitor's, as the site's analytics count it
    UA_CLIENT_ID = "ua_client_id"
    CUSTOMER = "customer"  # "known" or "new" to the CRM
    CONSTANT = "constant"  # the row's own text
    OUTCOME = "outcome"  # "answered" or "missed"
    TALK_SECONDS = "talk_seconds"
    WAIT_SECONDS = "wait_seconds"
    RECORDING = "recording"  # the address that the CRM gets
    TAGS = "tags"
    RATING = "rating"


class Price(StrEnum):
    """What it costs to know something of a call, the cheapest first."""

    NOTHING = "NOTHING"
    NOTIFICATION = "NOTIFICATION"  # UIS sends it
    STATIC = "STATIC"  # of the virtual number: read once an hour, for all calls
    REPORT = "REPORT"  # points, and a delay: the upload waits for the row
    KNOWN_CUSTOMER = "KNOWN_CUSTOMER"  # one request to the CRM


_PRICES = {
    Price.NOTHING: {Fact.STORE, Fact.CONSTANT, Fact.RECORDING},
    Price.STATIC: {Fact.UTM_SOURCE, Fact.UTM_MEDIUM, Fact.UTM_CAMPAIGN, Fact.UTM_TERM, Fact.UTM_CONTENT},
    Price.REPORT: {Fact.TRAFFIC_SOURCE, Fact.CHANNEL, Fact.YM_CLIENT_ID, Fact.UA_CLIENT_ID},
    Price.KNOWN_CUSTOMER: {Fact.CUSTOMER},
}
# Told by the notification that a call has ended, or measured until then.
_AFTER_THE_CALL = {
    *(Fact.SOURCE, Fact.SCENARIO, Fact.REGION, Fact.TAGS, Fact.RATING),
    *(Fact.OUTCOME, Fact.TALK_SECONDS, Fact.WAIT_SECONDS, Fact.RECORDING),
}


def price_of(fact: Fact) -> Price:
    """Return the cheapest way to know a fact."""
    return next((price for price, facts in _PRICES.items() if fact in facts), Price.NOTIFICATION)


def is_known_at_ring(fact: Fact) -> bool:
    """Return whether a pop-up may have it: nothing is asked for while a phone rings."""
    return price_of(fact) not in {Price.REPORT, Price.KNOWN_CUSTOMER} and fact not in _AFTER_THE_CALL


def shown(value: Value) -> str:
    """Return a value as the CRM gets it."""
    return ", ".join(value) if isinstance(value, tuple) else str(value)
