"""Digits that programs have encoded: percent-encoded, escaped in JSON or HTML, of any script; and base64."""

import base64
import html
import re
import unicodedata
from urllib.parse import unquote

_ENCODED = re.compile(
    r"%(?:25)*(?:3[0-9]|[C-Fc-f][0-9A-Fa-f](?:%(?:25)*[89ABab][0-9A-Fa-f]){1,3})"
    r"|\\{1,4}u[Dd]83[0-9A-Fa-f]\\{1,4}u[Dd][C-Fc-f][0-9A-Fa-f]{2}|\\{1,4}u[0-9A-Fa-f]{4}"
    r"|&(?:amp;)?#(?:[0-9]{2,6}|[Xx][0-9A-Fa-f]{2,5});"
)
_CODE = re.compile(r"u([0-9A-Fa-f]{4})")
# What `plain_digits` may change in a text, for a database; Cyrillic is not among it.
ENCODED_SQL = r"%(25)*(3[0-9]|[Dd][9BFbf]|[EFef])|\\u(003|0[6-9A-Fa-f]|1|[Aa]|[Ff]{2}|[Dd]83)|&(amp;)?#"


def plain_digits(text: str) -> str:
    """Return a text with every encoded digit as an ASCII digit; all else stays encoded."""
    return _ENCODED.sub(_plain, text)


def base64_parts(digits: str) -> tuple[str, ...]:
    """Return what base64 makes of these digits wherever they stand: one of the three is in each such text."""
    data = digits.encode()
    encoded = (base64.b64encode(bytes(shift) + data).decode() for shift in range(3))
    # The first and last characters depend on the bytes around them.
    return tuple(text[(8 * shift + 5) // 6 : 8 * (shift + len(data)) // 6] for shift, text in enumerate(encoded))


def _plain(found: re.Match[str]) -> str:
    encoded = found.group()
    character = _decode(encoded)
    digit = unicodedata.decimal(character, None) if len(character) == 1 else None
    return encoded if digit is None else str(digit)


def _decode(encoded: str) -> str:
    if encoded[0] == "%":
        return unquote(re.sub("%(?:25)*", "%", encoded))
    if encoded[0] == "&":
        return html.unescape(encoded.replace("amp;", ""))
    units = b"".join(int(code, 16).to_bytes(2, "big") for code in _CODE.findall(encoded))
    return units.decode("utf-16-be", errors="replace")
