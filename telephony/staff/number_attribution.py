"""What is known of all calls to a virtual number: the campaign it belongs to, and the campaign's UTM marks."""

from collections.abc import Mapping
from typing import Any

from connector_project.core import http_client, logging
from telephony.uis import attribution
from telephony.uis.call_facts import Fact
from telephony.uis.client import UisClient
from telephony.uis.data_api import Listing
from telephony.uis.numbers import Campaign, UisNumber

logger = logging.logger(__name__)


def fetch_campaigns(client: UisClient, numbers: Listing[UisNumber] | None) -> Listing[Campaign] | None:
    """Return the campaigns if a number belongs to one; nothing else depends on them, so that they fail alone.

    Raises AccessDenied.
    """
    if numbers is None or not any(number.static_campaigns for number in numbers.rows):
        return None
    try:
        return client.campaigns()
    except http_client.AccessDenied:
        raise
    except http_client.RemoteError as exc:
        logger.warning("campaigns could not be read", error=f"{type(exc).__name__}: {exc}")
        return None


def of_number(
    number: UisNumber, campaigns: Listing[Campaign] | None, *, stored: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return it by UIS's answers; what they do not tell stays as it is stored.

    UTM marks stay with their campaign while `get.campaigns` is denied, fails or lacks rows.
    """
    belongs_to = number.static_campaigns
    if not belongs_to:
        return stored if belongs_to is None else {}
    known = {row.campaign_id: row.columns for row in campaigns.rows} if campaigns else {}
    told = attribution.of_campaigns(
        {"campaign_name": one.campaign_name, **known.get(one.campaign_id, {})} for one in belongs_to
    )
    is_whole = campaigns is not None and campaigns.is_complete
    is_lacking = not is_whole and any(one.campaign_id not in known for one in belongs_to)
    is_same = Fact.CAMPAIGN in told and told[Fact.CAMPAIGN] == stored.get(Fact.CAMPAIGN)
    return {**stored, **told} if is_lacking and is_same else told
