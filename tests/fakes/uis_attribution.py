"""Where the calls of the fake UIS come from: campaigns, scenarios, tags, and the columns of the report about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.uis_fields import parse_columns
from tests.fakes.uis_jsonrpc import Row

if TYPE_CHECKING:
    from tests.fakes.uis_account import Account
    from tests.fakes.uis_session import Session

# Section B.3: none in the default answer, all filterable but two; nothing is said of sorting.
CALLS = parse_columns("""
    utm_source string F
    utm_medium string F
    utm_term string F
    utm_content string F
    utm_campaign string F
    openstat_ad string F
    openstat_campaign string F
    openstat_service string F
    openstat_source string F
    campaign_id number F
    campaign_name string F
    site_id number F
    site_domain_name string F
    source_id number F
    source_name string F
    source_new string F
    channel_new string F
    channel_code string F
    channel enum F display paid affiliate messenger social email organic internal recommendation cashed referral direct
    referrer string F
    referrer_domain string F
    entrance_page string F
    search_query string F
    search_engine string F
    gclid string F
    yclid string F
    ymclid string F
    ef_id string F
    ua_client_id string -
    ym_client_id string -
    communication_page_url string F
    visitor_id number F
    visitor_session_id number F
    visitor_type string F
    visits_count number F
    visitor_city string F
    visitor_region string F
    visitor_country string F
    visitor_device string F
    visitor_first_campaign_id number F
    visitor_first_campaign_name string F
    segments array F
    visitor_custom_properties array F
    auto_call_campaign_name string F
    sale_date date F
    sale_cost number F
""")
# `id`, `name` and `status` by a public client, the others by section B.3: only on request.
CAMPAIGNS = parse_columns("""
    id number FSD
    name string FSD
    status string FSD
    static_utm_source string F
    static_utm_medium string F
    static_utm_campaign string F
    static_utm_term string F
    static_utm_content string F
""")
# Sections B.3 and B.4, without marks there.
SCENARIOS = parse_columns("""
    id number FSD
    name string FSD
    virtual_phone_numbers strings FD
    sites array FD
    campaigns array FD
    operations array FD
""")
TAGS = parse_columns("""
    id number FSD
    name string FSD
    is_system boolean FSD
""")
STATIC = ("source", "medium", "campaign", "term", "content")


def campaign_rows(account: Account, params: Row) -> list[Row]:
    return list(account.campaigns.values())


def scenario_rows(account: Account, params: Row) -> list[Row]:
    """Return those of the calls so far: the fake has no other."""
    names = dict.fromkeys(session.scenario_name for session in account.sessions.values() if session.scenario_name)
    empty: Row = {"virtual_phone_numbers": [], "sites": [], "campaigns": [], "operations": []}
    return [{"id": 900001 + order, "name": name} | empty for order, name in enumerate(names)]


def tag_rows(account: Account, params: Row) -> list[Row]:
    names = dict.fromkeys(name for session in account.sessions.values() for name in session.tags)
    return [{"id": 1 + order, "name": name, "is_system": False} for order, name in enumerate(names)]


def add_campaign(account: Account, campaign_id: int, name: str, *, number: str = "", **utm: str) -> Row:
    """Add a campaign, to which the calls to this virtual number belong; `utm` by the names of `STATIC`."""
    row: Row = {"id": campaign_id, "name": name, "status": "active"}
    row |= {f"static_utm_{part}": utm.pop(part, None) for part in STATIC}
    if utm:
        raise ValueError(f"no such marks: {', '.join(utm)}")
    account.campaigns[campaign_id] = row
    linked = {"campaign_id": campaign_id, "campaign_name": name}
    linked |= {"site_id": 1, "site_domain_name": "example.com", "site_blocks": []}
    for one in account.numbers.values():
        if one["virtual_phone_number"] == number:
            one["campaigns"] = [*one["campaigns"], linked]
    return row


def call_columns(session: Session) -> Row:
    """Return the columns of the report about where the call came from."""
    unknown = session.columns.keys() - CALLS.keys() - {"cpn_region_name", "last_answered_employee_rating"}
    if unknown:
        raise ValueError(f"no such columns: {', '.join(sorted(unknown))}")
    return session.columns | {"tags": [_tag(order, name) for order, name in enumerate(session.tags, start=1)]}


def macros(session: Session, *, event: str) -> Row:
    """Return the macros about it that receivers have seen (section 8.4)."""
    tags: list[str] | None = list(session.tags) or ([] if event == "recorded" else None)
    return {
        "tag_names": tags,
        "campaign_name": session.columns.get("campaign_name"),
        "cpn_region_name": session.columns.get("cpn_region_name"),
        "operator_rating": session.columns.get("last_answered_employee_rating"),
    }


def _tag(order: int, name: str) -> Row:
    of_nobody = dict.fromkeys(["tag_user_id", "tag_user_login", "tag_employee_id", "tag_employee_full_name"])
    changed_at = "2024-10-25 10:13:03"
    return {"tag_id": order, "tag_name": name, "tag_type": "auto", "tag_change_time": changed_at} | of_nobody
