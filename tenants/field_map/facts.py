"""The facts that a field map may use: a closed list."""

from collections.abc import Mapping
from enum import StrEnum

Value = str | int | tuple[str, ...]
Facts = Mapping[str, Value]  # by Fact; one that is not known is left out


class Fact(StrEnum):
    """What is known of a call. The first ones are known as soon as a phone rings."""

    CONTACT = "contact"
    NUMBER = "number"
    STORE = "store"  # of our number, else the account's
    EMPLOYEE = "employee"
    DIRECTION = "direction"
    CONSTANT = "constant"  # the row's own text

    SOURCE = "source"
    CHANNEL = "channel"
    CAMPAIGN = "campaign"
    UTM_SOURCE = "utm_source"
    UTM_MEDIUM = "utm_medium"
    UTM_CAMPAIGN = "utm_campaign"
    UTM_TERM = "utm_term"
    UTM_CONTENT = "utm_content"
    SCENARIO = "scenario"
    REGION = "region"
    CLIENT_ID = "client_id"  # the visitor's, as the site's analytics count it

    OUTCOME = "outcome"
    TALK_SECONDS = "talk_seconds"
    WAIT_SECONDS = "wait_seconds"
    RECORDING = "recording"  # the address that the CRM gets
    TAGS = "tags"
    RATING = "rating"
    CUSTOMER = "customer"  # "known" or "new" to the CRM


class Price(StrEnum):
    """What it costs to know a fact."""

    FREE = "free"  # known from the notification, or by us
    BY_NUMBER = "by_number"  # static: the hourly synchronisation reads it for each virtual number
    REPORT = "report"  # a column of UIS's report: points, and the upload waits for the row
    CRM_REQUEST = "crm_request"  # the CRM is asked once for each call


_OURS = {Fact.STORE, Fact.CONSTANT}
_NOTIFIED = {
    *(Fact.CONTACT, Fact.NUMBER, Fact.EMPLOYEE, Fact.DIRECTION, Fact.OUTCOME),
    *(Fact.TALK_SECONDS, Fact.WAIT_SECONDS, Fact.RECORDING),
}
_OF_NUMBER = {
    *(Fact.CAMPAIGN, Fact.UTM_SOURCE, Fact.UTM_MEDIUM, Fact.UTM_CAMPAIGN, Fact.UTM_TERM, Fact.UTM_CONTENT),
}
_AFTER_THE_CALL = {Fact.OUTCOME, Fact.TALK_SECONDS, Fact.WAIT_SECONDS, Fact.RECORDING, Fact.TAGS, Fact.RATING}


def price_of(fact: Fact) -> Price:
    """Return the cheapest way to know a fact."""
    if fact in _OURS | _NOTIFIED:
        return Price.FREE
    if fact == Fact.CUSTOMER:
        return Price.CRM_REQUEST
    return Price.BY_NUMBER if fact in _OF_NUMBER else Price.REPORT


def is_known_at_ring(fact: Fact) -> bool:
    """Return whether a pop-up may have it: nothing is asked for while a phone rings."""
    return price_of(fact) in {Price.FREE, Price.BY_NUMBER} and fact not in _AFTER_THE_CALL


def shown(value: Value) -> str:
    """Return a value as the CRM gets it."""
    return ", ".join(value) if isinstance(value, tuple) else str(value)
