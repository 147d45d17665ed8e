"""The facts of a call that a field of the CRM may be filled from: a closed list, and where each may come from.

Parsing, templates and the fakes of the tests read it. How sure each name is: docs/call-facts.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Fact(StrEnum):
    CONTACT = "contact"
    NUMBER = "number"
    SOURCE = "source"
    SCENARIO = "scenario"
    TAGS = "tags"
    CAMPAIGN = "campaign"
    UTM_SOURCE = "utm_source"
    UTM_MEDIUM = "utm_medium"
    UTM_CAMPAIGN = "utm_campaign"
    UTM_TERM = "utm_term"
    UTM_CONTENT = "utm_content"
    TRAFFIC_SOURCE = "traffic_source"
    CHANNEL = "channel"
    REGION = "region"
    YM_CLIENT_ID = "ym_client_id"
    UA_CLIENT_ID = "ua_client_id"
    RATING = "rating"
    TALK_SECONDS = "talk_seconds"
    WAIT_SECONDS = "wait_seconds"
    EMPLOYEE = "employee"
    CONSTANT = "constant"


class Kind(StrEnum):
    """The type of a fact's value."""

    TEXT = "TEXT"
    NAMES = "NAMES"  # a list
    PHONE = "PHONE"  # digits
    SECONDS = "SECONDS"
    RATING = "RATING"  # a whole number
    EMPLOYEE = "EMPLOYEE"  # UIS's id


class Price(StrEnum):
    """What it costs to know something of a call before its upload, the cheapest first."""

    NOTHING = "NOTHING"
    NOTIFICATION = "NOTIFICATION"  # UIS sends it
    STATIC = "STATIC"  # of the virtual number: read once an hour, for all calls
    REPORT = "REPORT"  # points, and a delay: the upload waits for the row
    KNOWN_CUSTOMER = "KNOWN_CUSTOMER"  # one request to the CRM; of conditions, for no fact


@dataclass(frozen=True, kw_only=True)
class FactSources:
    """The names under which UIS tells a fact: macros of notifications, a column of the report, and of a campaign."""

    kind: Kind = Kind.TEXT
    macros: tuple[str, ...] = ()  # the first one that has a value counts
    column: str = ""
    static: str = ""  # a column of `get.campaigns`, or of the campaigns of `get.virtual_numbers`
    is_attribution: bool = True  # read as it is told; the others are resolved from all evidence

    @property
    def prices(self) -> tuple[Price, ...]:
        """What the fact may cost, by the sources it has; the cheapest first."""
        has_source = {
            Price.NOTIFICATION: bool(self.macros),
            Price.STATIC: bool(self.static),
            Price.REPORT: bool(self.column),
        }
        return tuple(price for price, is_one in has_source.items() if is_one) or (Price.NOTHING,)


def _resolved(kind: Kind, macros: tuple[str, ...] = (), column: str = "") -> FactSources:
    return FactSources(kind=kind, macros=macros, column=column, is_attribution=False)


FACTS: Mapping[Fact, FactSources] = {
    Fact.CONTACT: _resolved(Kind.PHONE, ("contact_phone_number",), "contact_phone_number"),
    Fact.NUMBER: _resolved(Kind.PHONE, ("virtual_phone_number",), "virtual_phone_number"),
    Fact.SOURCE: FactSources(macros=("call_source",), column="source"),
    Fact.SCENARIO: FactSources(macros=("scenario_name",), column="scenario_name"),
    Fact.TAGS: FactSources(kind=Kind.NAMES, macros=("tag_names",), column="tags"),
    Fact.CAMPAIGN: FactSources(macros=("campaign_name",), column="campaign_name", static="campaign_name"),
    Fact.UTM_SOURCE: FactSources(column="utm_source", static="static_utm_source"),
    Fact.UTM_MEDIUM: FactSources(column="utm_medium", static="static_utm_medium"),
    Fact.UTM_CAMPAIGN: FactSources(column="utm_campaign", static="static_utm_campaign"),
    Fact.UTM_TERM: FactSources(column="utm_term", static="static_utm_term"),
    Fact.UTM_CONTENT: FactSources(column="utm_content", static="static_utm_content"),
    Fact.TRAFFIC_SOURCE: FactSources(column="source_name"),
    Fact.CHANNEL: FactSources(column="channel"),
    Fact.REGION: FactSources(macros=("cpn_region_name",), column="cpn_region_name"),
    Fact.YM_CLIENT_ID: FactSources(column="ym_client_id"),
    Fact.UA_CLIENT_ID: FactSources(column="ua_client_id"),
    Fact.RATING: FactSources(kind=Kind.RATING, macros=("operator_rating",), column="last_answered_employee_rating"),
    Fact.TALK_SECONDS: _resolved(Kind.SECONDS, ("talk_time_duration",), "talk_duration"),
    Fact.WAIT_SECONDS: _resolved(Kind.SECONDS, ("wait_time_duration",), "wait_duration"),
    Fact.EMPLOYEE: _resolved(Kind.EMPLOYEE, ("last_talked_employee_id", "employee_id"), "last_talked_employee_id"),
    Fact.CONSTANT: _resolved(Kind.TEXT),
}
ATTRIBUTION: Mapping[Fact, FactSources] = {fact: known for fact, known in FACTS.items() if known.is_attribution}
# Every row has the source; the others are asked for by those who need them.
SOURCE_COLUMN = FACTS[Fact.SOURCE].column
REPORT_COLUMNS = tuple(known.column for fact, known in ATTRIBUTION.items() if fact != Fact.SOURCE)
UTM_COLUMNS = tuple(known.static for known in ATTRIBUTION.values() if known.static.startswith("static_"))
