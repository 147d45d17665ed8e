"""The fields of the CRM that a map may fill: a closed list, each with the forms it takes."""

from dataclasses import dataclass
from enum import StrEnum

from tenants.field_map.facts import Fact
from tenants.field_map.transformations import Kind


class Record(StrEnum):
    """What is sent to the CRM."""

    POPUP = "popup"
    UPLOAD = "upload"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A field. `facts`: the only ones it takes; any if empty. `default`: what fills it unless a row says otherwise."""

    code: str
    record: Record
    forms: tuple[Kind, ...]
    facts: tuple[Fact, ...] = ()
    default: Fact | None = None
    longest: int = 255

    def takes(self, fact: Fact) -> bool:
        return not self.facts or fact in self.facts


_TEXT = (Kind.PASS, Kind.LEAVE_OUT, Kind.MASK_MIDDLE, Kind.LAST_FOUR, Kind.HASH, Kind.DICTIONARY)
_CODE = (Kind.PASS, Kind.LEAVE_OUT, Kind.DICTIONARY)
_PHONE = (Kind.PASS, Kind.LEAVE_THE_RECORD_OUT)
_SWITCH = (Kind.PASS, Kind.LEAVE_OUT)
# Nothing of a person: what was sent with a pop-up is stored with it.
_ADVERTISING = (
    *(Fact.CAMPAIGN, Fact.CONSTANT),
    *(Fact.UTM_SOURCE, Fact.UTM_MEDIUM, Fact.UTM_CAMPAIGN, Fact.UTM_TERM, Fact.UTM_CONTENT),
)
_SOURCE_PARTS = ("source", "medium", "campaign", "keyword", "content")

_ALL = (
    Target(code="popup.phone", record=Record.POPUP, forms=_PHONE, facts=(Fact.CONTACT,), default=Fact.CONTACT),
    Target(code="popup.external_phone", record=Record.POPUP, forms=_SWITCH, facts=(Fact.NUMBER,), default=Fact.NUMBER),
    Target(code="popup.site", record=Record.POPUP, forms=_CODE, default=Fact.STORE),
    Target(code="popup.campaign", record=Record.POPUP, forms=_CODE, facts=_ADVERTISING),
    Target(code="upload.phone", record=Record.UPLOAD, forms=_PHONE, facts=(Fact.CONTACT,), default=Fact.CONTACT),
    Target(
        code="upload.external_phone", record=Record.UPLOAD, forms=_SWITCH, facts=(Fact.NUMBER,), default=Fact.NUMBER
    ),
    Target(code="upload.site", record=Record.UPLOAD, forms=_CODE, default=Fact.STORE),
    Target(
        code="upload.recording_url",
        record=Record.UPLOAD,
        forms=_SWITCH,
        facts=(Fact.RECORDING,),
        default=Fact.RECORDING,
    ),
    *(Target(code=f"upload.source.{part}", record=Record.UPLOAD, forms=_TEXT) for part in _SOURCE_PARTS),
    Target(code="upload.client_id", record=Record.UPLOAD, forms=_SWITCH, facts=(Fact.YM_CLIENT_ID, Fact.UA_CLIENT_ID)),
)
TARGETS = {target.code: target for target in _ALL}
