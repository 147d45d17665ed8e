"""What the reader of an explanation may see: whole numbers, or masked ones. Keys and links nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connector_project import logs, phones
from tenants import sight


@dataclass(frozen=True)
class Eyes:
    """How a number is written for the reader, and how a text of somebody else's."""

    number: Callable[[str], str]
    text: Callable[[str], str]
    is_whole: bool


MASKED = Eyes(phones.masked, logs.hide, is_whole=False)
WHOLE = Eyes(phones.e164, logs.hide_secrets, is_whole=True)


def of(user: Any) -> Eyes:
    """Return the eyes of a person at the desk."""
    return WHOLE if sight.may_see_whole(user) else MASKED
