"""Virtual numbers of an account, and the campaigns that lead to them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from telephony.uis import macro_values
from telephony.uis.fields import Number, Row, Text

# Where UIS refuses these columns, no campaign is known.
CAMPAIGN_COLUMNS = ("type", "campaigns")
DYNAMIC = "dynamic_call_tracking"


class NumberCampaign(Row):
    """A campaign that a virtual number belongs to."""

    campaign_id: int
    campaign_name: Text = ""


def _readable(raw: object) -> object:
    rows = [one for one in raw if isinstance(one, Mapping)] if isinstance(raw, list) else []
    return [one for one in rows if macro_values.whole(one.get("campaign_id")) is not None]


class UisNumber(Row):
    """A virtual number of the account."""

    number: Number = Field(validation_alias="virtual_phone_number")
    name: Text = ""
    is_active: Annotated[bool, BeforeValidator(lambda raw: raw is True or raw == "active")] = Field(
        default=False, validation_alias="status"
    )
    kind: Text = Field(default="", validation_alias="type")
    campaigns: Annotated[tuple[NumberCampaign, ...] | None, BeforeValidator(_readable)] = None

    @property
    def static_campaigns(self) -> tuple[NumberCampaign, ...] | None:
        """The campaigns of all its calls; None: not told. Of a dynamic number each call has its own."""
        return () if self.kind == DYNAMIC else self.campaigns


class Campaign(Row):
    """A campaign, with the UTM marks of its static numbers."""

    campaign_id: int = Field(validation_alias="id")
    static_utm_source: Text = ""
    static_utm_medium: Text = ""
    static_utm_campaign: Text = ""
    static_utm_term: Text = ""
    static_utm_content: Text = ""

    @property
    def columns(self) -> dict[str, Any]:
        return self.model_dump(exclude={"campaign_id"})
