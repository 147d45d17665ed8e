"""Shortened lists of the fake UIS: what a narrowed right or a faulty answer leaves of them."""

from dataclasses import dataclass


@dataclass
class _Shortening:
    keep: int
    remaining: int | None
    states_all: bool


class Shortenings:
    """The lists that are shortened now, by method."""

    def __init__(self) -> None:
        self._by_method: dict[str, _Shortening] = {}

    def add(self, method: str, *, keep: int, times: int | None, states_all: bool) -> None:
        self._by_method[method] = _Shortening(keep, times, states_all)

    def clear(self) -> None:
        self._by_method.clear()

    def take(self, method: str, count: int) -> tuple[int, int]:
        """Count one request for a list of `count` rows; return how many are left, and how many are only stated."""
        found = self._by_method.get(method)
        if found is None or found.remaining == 0:
            return count, 0
        if found.remaining is not None:
            found.remaining -= 1
        left = min(found.keep, count)
        return left, count - left if found.states_all else 0
