"""Takes apart what people type as a phone number: the main number, the extension, and text around them."""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_TEXT = 200  # what is longer is no phone number
_URI = re.compile(r"^(?:tel|sips?|callto|phone):(?://)?", re.IGNORECASE)
_LOST_PLUS = re.compile(r" \d|sips?:\d", re.ASCII | re.IGNORECASE)
_HOST = re.compile(r"(?<=\d)@[^\s,;]*")
_GAP = r"(?:[ ()\[\]/-]|\.(?!\.)){0,5}"
_RUN = re.compile(rf"(?P<plus>\+[ +]*)?[(\[]?(?P<digits>\d(?:{_GAP}\d)*)", re.ASCII)
_BRACKETED_ZERO = re.compile(r"\( ?0 ?\)")
_LAST_GROUP = re.compile(r"^(?P<main>.*\d)(?P<gap>[)\]]?[ (\[]+|/)(?P<last>\d(?:[\d -]*\d)?)$")
_TEXT = re.compile(r":|[ .)-]*[^\W\d_]")
_LONGEST_LAST_GROUP = 6
# What people write before an extension: words also after a name, shorter ones just after the number.
_WORDS = (
    r"доб(?:авочн\w*)?|вн(?:утр\w*)?|тон(?:\.? ?набор|альн\w*)?|доп(?:олн\w*)?|дод(?:атков\w*)?|ext(?:ensi[oó]n|n)?"
)
_LABEL = rf"(?:[^\d|+]{{0,40}}?(?<!\w)(?:{_WORDS})|[ ,;.(/\[-]*(?:int(?:erno)?|anexo|poste|dw|no|x|х))"
_LABELLED = re.compile(
    rf"{_LABEL}(?:[ .]*(?:номер|ном|no|number))?[ .:=#№-]*(?P<tones>\d[\d*#-]*)(?!\w)", re.IGNORECASE
)
_END = r"(?![\w:-])(?! *[\d(])"  # no other number or text goes on with these digits
_EXTENSION_FORMS = (
    _LABELLED,
    re.compile(r"(?P<tones>)\.{3}[ ]?(?P<paused>\d[\d*#.]*)"),  # as UIS writes forwarding numbers
    re.compile(rf"[)\] ]*[,;pw~]+ ?(?P<tones>[\d*#]+(?:[,;pw~]+[\d*#]+)*){_END}", re.IGNORECASE),
    re.compile(rf"[)\] ,]*[#*№] ?(?P<tones>\d[\d*#]*){_END}"),
)
_WAITS_FOR_TONE = re.compile(r"(?<![\d ])8 ?~ ?10")  # how a call abroad from Russia is written
_END_OF_LINE = "|"
_PAUSES = re.compile(r"[,;pw~]+", re.IGNORECASE)
_LONGEST_EXTENSION = 20


class Main(NamedTuple):
    """The digits of a number without its extension.

    A plus may be lost: it became a blank, or a SIP address has none.
    """

    digits: str
    has_plus: bool
    has_lost_plus: bool


def candidates(text: str) -> Iterator[tuple[Main, str]]:
    """Yield what may be the main number and its extension (as `dtmf_string` of UIS), the likeliest first."""
    if len(text) > LONGEST_TEXT:
        return
    has_lost_plus = _LOST_PLUS.match(text) is not None
    plain = _HOST.sub("", _URI.sub("", _plain(text).strip()))
    for found in _RUN.finditer(plain):
        has_plus = found["plus"] is not None
        lost = has_lost_plus and found.start() == 0
        for main, extension in _readings(found["digits"], plain[found.end() :]):
            yield Main(re.sub(r"\D", "", main), has_plus, lost), extension
        if has_plus or len(re.sub(r"\D", "", found["digits"])) > _LONGEST_LAST_GROUP:
            return  # only short digits before a number are something else, such as the number of a house


def _plain(text: str) -> str:
    """Return a text with digits, blanks, dashes and plus signs of every script as those of ASCII."""
    characters = list[str]()
    for one in unicodedata.normalize("NFKC", text):
        category, value = unicodedata.category(one), unicodedata.decimal(one, None)
        if value is not None:
            characters.append(str(value))
        elif category == "Pd" or one == "\u2212":
            characters.append("-")
        elif category not in {"Cf", "Mn"}:
            characters.append(_END_OF_LINE if one in "\r\n" else " " if one.isspace() else one)
    return _WAITS_FOR_TONE.sub("810", "".join(characters))


def _readings(run: str, rest: str) -> Iterator[tuple[str, str]]:
    """Yield how digits with gaps, and the text after them, may be a number and an extension."""
    extension = _extension(rest)
    yield run, extension
    if (without_zero := _BRACKETED_ZERO.sub("", run)) != run:
        yield from _readings(without_zero, rest)
    group = _LAST_GROUP.match(run)
    if group is None or len(re.sub(r"\D", "", group["last"])) > _LONGEST_LAST_GROUP:
        return
    if "(" in group["gap"] and rest.startswith(")"):  # 8 495 123-45-67 (101)
        yield group["main"], group["last"]
    elif "/" in group["gap"] or (_TEXT.match(rest) and not extension):
        yield group["main"], ""  # another ending, or a text that begins with digits: 2nd floor


def _extension(rest: str) -> str:
    """Return the extension that follows a number, as tones to dial; "" if none does."""
    for form in _EXTENSION_FORMS:
        if found := form.match(rest):
            groups = found.groupdict()
            tones = groups.get("paused") or _PAUSES.sub(".", groups["tones"].replace("-", ""))
            return tones if len(tones) <= _LONGEST_EXTENSION else ""
    return ""
