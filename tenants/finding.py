"""Set-up checks and their results: a stable code, a message, the responsible party and the menu path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise
LONGEST_LIST = 10


class Who(models.TextChoices):
    """Who must act."""

    CLIENT = "client", _("the client")
    OPERATOR = "operator", _("the operator")
    UIS = "uis", "UIS"
    CRM = "crm", "retailCRM"


@dataclass(frozen=True, kw_only=True)
class Check:
    """The definition of a check. Its texts may contain %(names)s, which a result fills in."""

    code: str
    who: Who
    good: Text
    bad: Text
    where: Text = ""  # the menu path
    variants: Mapping[str, Text] = field(default_factory=dict)  # replace `bad`, by the `kind` of a result


class _Told(dict[str, str]):
    """Parameters of a message. A result stored before an update may lack parameters of the new message."""

    def __missing__(self, name: str) -> str:
        return "…"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: Check
    is_ok: bool
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """The message in the active language; if the check failed, with the menu path."""
        if self.is_ok:
            return str(self.check.good) % _Told(self.about)
        bad_text = self.check.variants.get(self.about.get("kind", ""), self.check.bad)
        return f"{str(bad_text) % _Told(self.about)} {self.where}".strip()

    @property
    def where(self) -> str:
        """The menu path to the setting that must be changed."""
        return str(self.check.where) % _Told(self.about)

    def stored(self) -> dict[str, Any]:
        """Return the result for a JSON column."""
        return {"check": self.check.code, "ok": self.is_ok, "about": dict(self.about)}


def good(check: Check, **about: object) -> Finding:
    return Finding(check, is_ok=True, about={name: str(value) for name, value in about.items()})


def bad(check: Check, **about: object) -> Finding:
    return Finding(check, is_ok=False, about={name: str(value) for name, value in about.items()})


def of(check: Check, *, is_ok: bool, **about: object) -> Finding:
    return good(check, **about) if is_ok else bad(check, **about)


def listed(names: Iterable[object]) -> str:
    """Join names with commas; of a long list only the first ten and the number of the others."""
    every = [str(name) for name in names]
    more = f" … (+{len(every) - LONGEST_LIST})" if len(every) > LONGEST_LIST else ""
    return ", ".join(every[:LONGEST_LIST]) + more
