"""The forms in which a fact may be passed: a closed list, no code and no template language."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LAST = 4
HASH_DIGITS = 32
# Of a text in the middle so much stays at each end: none of a short one.
KEPT_AT_ENDS = 2


class Kind(StrEnum):
    """What is done with the value."""

    PASS = "pass"  # noqa: S105 -- no password
    LEAVE_OUT = "leave_out"
    MASK_MIDDLE = "mask_middle"
    LAST_FOUR = "last_four"
    HASH = "hash"
    DICTIONARY = "dictionary"
    LEAVE_THE_RECORD_OUT = "leave_the_record_out"


@dataclass(frozen=True, kw_only=True)
class Transformation:
    """One transformation; `entries` are those of a dictionary, in which a value that is not found gives nothing."""

    kind: Kind = Kind.PASS
    entries: Mapping[str, str] = field(default_factory=dict)

    def apply(self, text: str, *, salt: str) -> str:
        """Return the text in this form; "" if nothing is to be sent."""
        match self.kind:
            case Kind.PASS:
                return text
            case Kind.MASK_MIDDLE:
                return masked(text)
            case Kind.LAST_FOUR:
                return text[-LAST:]
            case Kind.HASH:
                return hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:HASH_DIGITS]
            case Kind.DICTIONARY:
                return self.entries.get(text, "")
        return ""


AS_IT_IS = Transformation()


def masked(text: str) -> str:
    """Return a text whose middle is hidden; of a phone number the country and the last four digits stay."""
    start, end = (1, LAST) if text.lstrip("+").isdecimal() else (KEPT_AT_ENDS, KEPT_AT_ENDS)
    start += text.startswith("+")
    if len(text) <= start + end:
        return "*" * len(text)
    return text[:start] + "*" * (len(text) - start - end) + text[-end:]
