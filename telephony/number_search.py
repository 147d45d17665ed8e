"""Searches for a customer's number. Readers who see numbers masked search by the digits that they see, or by a complete
number; by anything between they would find out the others one by one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext

from connector_project.core import logging, phone_numbers
from telephony import access_log
from tenants import home_region, permissions
from tenants.models import ApiKey, User
from tenants.visibility import NOTHING, Reader
from tenants.visible_filters import home_regions

logger = logging.logger(__name__)

MIN_DIGITS, MAX_DIGITS = 3, 19
SHOWN_DIGITS = 4  # that a masked number shows
SHORTEST_COMPLETE = 10  # digits of a complete number that is typed without a plus
# Complete numbers in an hour: three hidden digits have a thousand values. Readers of whole numbers have no limit.
MAX_PER_HOUR = 20
_BEGINNING = re.compile(r"[+(\s]*[0-9]")
_NUMBER = re.compile(r"[\d\s()+.–-]+")
# Of a name that may hold a number.
_MANY_DIGITS = r"\d(?:\D*\d){6}"
Admit = Callable[[str], None]


class SearchLimitReached(ValidationError):
    """The reader has searched for too many complete numbers in the last hour."""


def digits_of(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def is_number(text: str) -> bool:
    """Return whether a text consists of digits and what is written between them."""
    return bool(_NUMBER.fullmatch(text.strip()))


def is_complete(text: str) -> bool:
    """Return whether a text is a whole number, not only its last digits."""
    digits = digits_of(text)
    is_long = len(digits) >= SHORTEST_COMPLETE or (text.strip().startswith("+") and phone_numbers.is_external(digits))
    return is_number(text) and is_long and len(digits) <= phone_numbers.LONGEST


def cleaned(text: str) -> str:
    """Return a search term; of a number with an extension or other text after it, the number with a plus."""
    is_begun = not is_number(text) and _BEGINNING.match(text)
    typed = phone_numbers.from_person(text, region=home_region.RUSSIA) if is_begun else None
    return phone_numbers.e164(typed.digits) if typed else text.strip()


def possible_numbers(text: str, reader: Reader) -> list[str]:
    """Return what a number may be: as typed in the home country of any client of the reader, or as UIS writes it.

    A number that was stored need not be one that can be dialled.
    """
    regions = {home_region.RUSSIA} | (set() if text.strip().startswith("+") else home_regions(reader))
    typed = (phone_numbers.from_person(text, region=region) for region in regions)
    found = {one.digits for one in typed if one} | {phone_numbers.from_vendor(text, region="")}
    return sorted((found | {phone_numbers.beginning_from_person(text, region=region) for region in regions}) - {""})


def condition(text: str, reader: Reader, *, ends_with: Callable[[str], Q], field: str = "contact") -> Q:
    """Return the condition for rows with this number: its last digits, or for readers of masks also a complete one."""
    digits = digits_of(text)
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return NOTHING
    if len(digits) > SHOWN_DIGITS and not permissions.can_see_full_numbers(reader):
        return Q((f"{field}__in", possible_numbers(text, reader))) if is_complete(text) else NOTHING
    found = ends_with(digits)
    if len(digits) >= phone_numbers.SHORTEST_EXTERNAL:
        for number in possible_numbers(text, reader):
            found |= NOTHING if number.endswith(digits) else ends_with(number)
    return found


def name_condition(part: str, reader: Reader) -> Q:
    """Return the condition for employees with a part in their name, which may hold a number.

    Readers of masks find no such name by digits: they would find out the hidden ones.
    """
    # Not icontains: SQLite ignores case for Latin letters only.
    found = Q(full_name__iregex=re.escape(part))
    if any(character.isdecimal() for character in part) and not permissions.can_see_full_numbers(reader):
        found &= ~Q(full_name__regex=_MANY_DIGITS)
    return found


def require_searchable(text: str, reader: Reader) -> None:
    """Raise ValidationError for a part of a number that the reader may not search by."""
    is_part = len(digits_of(text)) > SHOWN_DIGITS and is_number(text) and not is_complete(text)
    if is_part and not permissions.can_see_full_numbers(reader):
        message = gettext(
            "You see numbers masked. Search by the last %(count)d digits, or by the complete number with its country "
            "code, such as +7 999 000-00-01."
        )
        raise ValidationError(message % {"count": SHOWN_DIGITS})


@dataclass(frozen=True)
class Searches:
    """The searches of one reader: each complete number is an entry in the access log."""

    reader: User | ApiKey
    address: str
    now: datetime

    def admit(self, text: str) -> None:
        """Log the search for a complete number. Raises SearchLimitReached."""
        key = self.reader if isinstance(self.reader, ApiKey) else None
        by = self.reader.created_by if isinstance(self.reader, ApiKey) else self.reader
        if by is None:
            return
        limit = None if permissions.can_see_full_numbers(self.reader) else MAX_PER_HOUR
        typed = phone_numbers.from_person(text, region=home_region.RUSSIA)
        number = typed.digits if typed else phone_numbers.from_vendor(text, region="")
        if not access_log.log_search(number, by=by, key=key, address=self.address, limit=limit, now=self.now):
            logger.warning("limit of searches reached", user=by.pk)
            message = gettext(
                "You have searched for %(count)d complete numbers in the last hour. Search by the last four digits, "
                "try again later, or ask an operator."
            )
            raise SearchLimitReached(message % {"count": MAX_PER_HOUR})
