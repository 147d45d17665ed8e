"""Field maps that a client may begin with."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tenants.field_map.rows import FieldMap


class MapPreset(StrEnum):
    """A named field map."""

    STANDARD = "standard"  # what is passed without any row
    ADVERTISING = "advertising"
    MINIMAL = "minimal"


def _row(target: str, *facts: str, **more: Any) -> dict[str, Any]:
    return {"target": target, "facts": [*facts], **more}


MAPS: Mapping[MapPreset, FieldMap] = {
    MapPreset.STANDARD: FieldMap(),
    MapPreset.ADVERTISING: FieldMap.parse(
        [
            _row("popup.campaign", "campaign", "utm_campaign"),
            _row("upload.source.source", "utm_source", "traffic_source"),
            _row("upload.source.medium", "utm_medium", "channel"),
            _row("upload.source.campaign", "utm_campaign", "campaign"),
            _row("upload.source.keyword", "utm_term"),
            _row("upload.source.content", "utm_content"),
            _row("upload.client_id", "ym_client_id", "ua_client_id"),
        ]
    ),
    MapPreset.MINIMAL: FieldMap.parse(
        [
            _row("popup.external_phone", "number", form="leave_out"),
            _row("upload.external_phone", "number", form="leave_out"),
            _row("upload.recording_url", "recording", form="leave_out"),
        ]
    ),
}
