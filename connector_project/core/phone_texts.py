"""Finds phone numbers in texts, in every form in which people and programs write them.

Digits may be of any script and have gaps between them: spaces, dashes, full stops, brackets, and each of these
percent-encoded or escaped in JSON or HTML. Every pattern is linear in the length of the text. One known number is
found by `number_forms`.
"""

import re
from collections.abc import Sequence

from connector_project.core import phone_numbers
from connector_project.core.encoded_digits import plain_digits

SHORTEST, LONGEST = phone_numbers.SHORTEST_EXTERNAL, phone_numbers.LONGEST
SHORTEST_WITHOUT_PLUS = 10
MAX_GROUPS = 8
LONGEST_AMOUNT = 11  # groups of three are an amount of money up to this; a longer one is none
MAX_CHECKS = 200  # of one run: a text that is made of digits must not cost more
GAP = (
    r"(?:[^\S\n]|[.()+\-\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
    r"|%(?:25)*(?:[Cc]2%(?:25)*[Aa][0Dd]|[Ee]2%(?:25)*8[0-9A-Fa-f]%(?:25)*[0-9A-Fa-f]{2}|2[0289BDEbde]|[Aa]0|09)"
    r"|\\{1,4}u(?:00a0|0020|0028|0029|002[bdeBDE]|00ad|20[0-2][0-9a-fA-F]|2060|2212|3000)"
    r"|&(?:amp;)?(?:nbsp|ensp|emsp|thinsp|ndash|mdash|shy|minus"
    r"|#(?:32|4[01356]|160|173|8[0-9]{3}|[Xx](?:[Aa][0Dd]|20[0-9A-Fa-f]{2})));)"
)
_TOKENS = re.compile(rf"({GAP}+)|(\d+)")
_CANDIDATES = re.compile(
    # Skipped: an escape, whose digits belong to no number; a UUID or a digest.
    r"%(?:25)*[0-9A-Fa-f]{2}|\\{1,4}u[0-9a-fA-F]{4}"
    r"|(?<![0-9A-Za-z])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{24,128})(?![0-9A-Za-z])"
    rf"|(?P<run>\(?\d(?:{GAP}{{0,4}}\d){{{SHORTEST - 1},}})"
)
_ENOUGH_DIGITS = re.compile(rf"\d(?:\D{{0,40}}\d){{{SHORTEST - 1}}}")
# After a plus also with slashes, underscores and square brackets, which elsewhere stand between other things.
_WIDE = re.compile(r"\+\d{1,3}[ .()\-]{0,2}[/_\[\]][ .()\-]{0,2}\d{2,10}(?:(?:[ ()\-/_\[\]]{1,3}|\.)\d{1,8}){0,5}")
_PLUS = re.compile(r"(?:\+|%(?:25)*2[Bb]|\\{1,4}u002[Bb]|&#43;|tel:)[\s(]*$")
# Ids are as long as phone numbers, and support needs them in full: a name such as session= marks them.
_ID = re.compile(
    r"(?:(?<![A-Za-z])(?:ids?|pk|call|tenant|session|notification|command)|_ids?|Ids?|ID)"
    r"[\"'\\]*\s*[=:]\s*[\"'\\\[]*$"
    r"|[A-Za-z]-$"
)
_ESCAPED_BEFORE = re.compile(r"(?:%[0-9A-Fa-f]{2}|\\{1,4}u[0-9A-Fa-f]{4}|\\{1,4}[nrt])$")
_LOOK_BACK = 32
_COMMON_GAPS = frozenset({" ", "-", ".", ") "})
_JOINED = frozenset({"_", "-", "."})
_CARD = [4, 4, 4, 4]
_JOINING = _JOINED | {"/"}


def mask(text: str) -> str:
    """Return a text with the middle of every phone number masked; ids, dates, prices and extensions stay."""
    if not _ENOUGH_DIGITS.search(text):
        return text
    plain = plain_digits(text)
    if plain != text and (masked := _CANDIDATES.sub(_mask_run, plain)) != plain:
        return masked
    return _WIDE.sub(_mask_wide, _CANDIDATES.sub(_mask_run, text))


def _mask_wide(found: re.Match[str]) -> str:
    digits = phone_numbers.ascii_digits(found.group())
    return f"+{phone_numbers.mask(digits)}" if phone_numbers.is_valid(digits) else found.group()


def _mask_run(found: re.Match[str]) -> str:
    run = found["run"]
    if run is None or (run.isdigit() and not SHORTEST <= len(run) <= LONGEST):
        return found.group()
    return _Run(found).masked()


class _Run:
    """Groups of digits with nothing but gaps between them; some of them together may be a phone number."""

    def __init__(self, found: re.Match[str]) -> None:
        text, start, end = found.string, found.start("run"), found.end("run")
        self.text = found["run"]
        self.before, self.after = text[max(start - _LOOK_BACK, 0) : start], text[end : end + 1]
        self.spans = [one.span() for one in _TOKENS.finditer(self.text) if one.lastindex == 2]
        self.groups = [self.text[begin:stop] for begin, stop in self.spans]
        self.sizes = [stop - begin for begin, stop in self.spans]
        pairs = zip(self.spans, self.spans[1:], strict=False)
        self.gaps = [self.text[left[1] : right[0]] for left, right in pairs]
        self.barriers = self._barriers() if len(self.groups) > 2 else set()
        if self.sizes[-1] <= LONGEST - 7 and text.startswith("***", end):  # what `mask` leaves of a number
            self.barriers.add(len(self.sizes) - 1)
        self.is_bracketed = ")" in self.text
        self.checks = MAX_CHECKS

    def masked(self) -> str:
        """Return the run with the numbers in it masked."""
        parts, done, at = list[str](), 0, 0
        while at < len(self.groups):
            last = self._last_group(at)
            if last is None:
                at += 1
                continue
            begin = self.spans[at][0]
            is_bracketed = begin > 0 and self.text[begin - 1] == "(" and self._closes_bracket(at, last)
            digits = "".join(self.groups[at : last + 1])
            parts += [self.text[done : begin - is_bracketed], phone_numbers.mask(digits)]
            done, at = self.spans[last][1], last + 1
        return "".join(parts) + self.text[done:]

    def _last_group(self, first: int) -> int | None:
        """Return the last group of the number that begins with this one: the longest that is valid, else likely."""
        has_plus = self._has_plus(first)
        shortest = SHORTEST if has_plus else SHORTEST_WITHOUT_PLUS
        length, valid, likely = 0, None, None
        if sum(self.sizes[first : first + MAX_GROUPS]) < shortest:
            return None
        for last in range(first, min(first + MAX_GROUPS, len(self.groups))):
            if last in self.barriers or (last > first and ".." in self.gaps[last - 1]):
                break
            length += self.sizes[last]
            if length > LONGEST:
                break
            if length < shortest:
                continue
            digits = "".join(self.groups[first : last + 1])
            if (has_plus or self._may_be(first, last, length)) and self._is_valid(digits):
                valid = last
            elif has_plus or self._is_likely(first, last, digits):
                likely = last
        return likely if valid is None else valid

    def _is_valid(self, digits: str) -> bool:
        """Look the digits up; in a text that is made of digits everything is masked that could be a number."""
        self.checks -= 1
        return self.checks < 0 or phone_numbers.is_valid(
            digits if digits.isascii() else phone_numbers.ascii_digits(digits)
        )

    def _may_be(self, first: int, last: int, length: int) -> bool:
        """Whether valid digits are a number: not a list or an amount whose digits happen to be one, nor an id."""
        if first == last:
            return length > SHORTEST_WITHOUT_PLUS or not self._is_id(first)
        sizes = self.sizes[first : last + 1]
        if max(sizes) < 3 or (length == SHORTEST_WITHOUT_PLUS and sizes[0] < 3):
            return False
        return not (length <= LONGEST_AMOUNT and sizes[0] <= 3 and set(sizes[1:]) == {3}) or "(" in self.text

    def _is_likely(self, first: int, last: int, digits: str) -> bool:
        """Whether it looks like a number of no known country: plain digits by themselves, or with an area code."""
        if first != last:
            return self._closes_bracket(first, last) and self.text[self.spans[first][0] - 1] in "(+ "
        if len(digits) in {12, 14} and _is_timestamp(digits):
            return False
        return not (self._is_id(first) or self._is_part(first))

    def _closes_bracket(self, first: int, last: int) -> bool:
        return self.is_bracketed and any(")" in gap for gap in self.gaps[first:last])

    def _is_part(self, at: int) -> bool:
        """Whether the group is a part of something longer: a word, a path, a fraction."""
        before, after = self._around(at)
        if _ESCAPED_BEFORE.search(before):
            before = ""
        return before[-1:].isalpha() or before[-1:] in _JOINING or after.isalpha() or after in _JOINED

    def _is_id(self, at: int) -> bool:
        return at == 0 and _ID.search(self.before) is not None

    def _around(self, at: int) -> tuple[str, str]:
        """Return what stands before and after a group."""
        after = self.gaps[at] if at + 1 < len(self.groups) else self.after
        if at == 0:
            return self.before + self.text[: self.spans[0][0]], after
        return self.gaps[at - 1] if self.gaps[at - 1] in _JOINED else " ", after

    def _has_plus(self, at: int) -> bool:
        before = self.before + self.text[: self.spans[0][0]] if at == 0 else self.gaps[at - 1]
        return before not in _COMMON_GAPS and _PLUS.search(before) is not None

    def _barriers(self) -> set[int]:
        """Return the groups that are within a date, an IP address or the number of a bank card."""
        found = set[int]()
        for at in range(len(self.groups) - 2):
            if _is_date(self.groups[at : at + 3], self.gaps[at : at + 2]):
                found.update(range(at, at + 3))
            elif (self.gaps[at] == "." and self._is_address(at)) or self.sizes[at : at + 4] == _CARD:
                found.update(range(at, at + 4))
        return found

    def _is_address(self, at: int) -> bool:
        if self.gaps[at : at + 3] != [".", ".", "."]:
            return False
        if (at and self.gaps[at - 1] == ".") or self.gaps[at + 3 : at + 4] == ["."]:
            return False
        return all(len(group) <= 3 and int(group) <= 255 for group in self.groups[at : at + 4])


def _is_date(groups: Sequence[str], gaps: Sequence[str]) -> bool:
    if gaps[0] not in _JOINED or gaps[0] != gaps[1] or 4 not in {len(groups[0]), len(groups[2])}:
        return False
    year, month, day = groups if len(groups[0]) == 4 else reversed(groups)
    is_year = len(year) == 4 and year[:2] in {"19", "20"}
    return is_year and len(month) == len(day) == 2 and int(month) <= 12 and int(day) <= 31


def _is_timestamp(digits: str) -> bool:
    is_date = digits[:2] in {"19", "20"} and 1 <= int(digits[4:6]) <= 12 and 1 <= int(digits[6:8]) <= 31
    return is_date and int(digits[8:10]) < 24 and int(digits[10:12]) < 60
