"""What a check is, and what it found: a stable code, a sentence in the person's language, who must act, and where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise
LONGEST_LIST = 10


class Who(models.TextChoices):
    """Who has to act."""

    CLIENT = "client", _("the client")
    OPERATOR = "operator", _("the operator")
    UIS = "uis", "UIS"
    CRM = "crm", "retailCRM"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must be so. Its texts may hold %(names)s, which a finding fills in."""

    code: str
    who: Who
    good: Text
    bad: Text
    where: Text = ""  # the menu path
    variants: Mapping[str, Text] = field(default_factory=dict)  # instead of `bad`, by what a finding's `kind` says


class _Told(dict[str, str]):
    """What fills in a sentence. A finding stored before an update may lack what the new sentence names."""

    def __missing__(self, name: str) -> str:
        return "…"


@dataclass(frozen=True)
class Finding:
    """What one look at one check found."""

    check: Check
    is_ok: bool
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """The sentence, in the language that is active, with the menu path where somebody must act."""
        if self.is_ok:
            return str(self.check.good) % _Told(self.about)
        bad_text = self.check.variants.get(self.about.get("kind", ""), self.check.bad)
        return f"{str(bad_text) % _Told(self.about)} {self.where}".strip()

    @property
    def where(self) -> str:
        """The menu path that leads to what must be changed."""
        return str(self.check.where) % _Told(self.about)

    def stored(self) -> dict[str, Any]:
        """Return it in a form a row can keep."""
        return {"check": self.check.code, "ok": self.is_ok, "about": dict(self.about)}


def good(check: Check, **about: object) -> Finding:
    """Return that all is well."""
    return Finding(check, is_ok=True, about={name: str(value) for name, value in about.items()})


def bad(check: Check, **about: object) -> Finding:
    """Return that somebody must act."""
    return Finding(check, is_ok=False, about={name: str(value) for name, value in about.items()})


def of(check: Check, *, is_ok: bool, **about: object) -> Finding:
    """Return what was found."""
    return good(check, **about) if is_ok else bad(check, **about)


def listed(names: Iterable[object]) -> str:
    """Return names as a list a person reads to its end."""
    every = [str(name) for name in names]
    more = f" … (+{len(every) - LONGEST_LIST})" if len(every) > LONGEST_LIST else ""
    return ", ".join(every[:LONGEST_LIST]) + more
