"""Set-up checks and their results: a stable code, a message, the responsible party and the menu path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices

Text = str | Promise
LONGEST_LIST = 10


class Responsible(Choices):
    """Who must act; the values are those of `check_tenant`, `explain_call` and the API."""

    CLIENT = "client", _("the client")
    OPERATOR = "operator", _("the operator")
    DEVELOPERS = "developers", _("the developers")
    UIS = "uis", "UIS"
    CRM = "crm", "retailCRM"


@dataclass(frozen=True, kw_only=True)
class Check:
    """The definition of a check. Its texts may contain %(names)s, which a result fills in."""

    code: str
    responsible: Responsible
    passed: Text
    failed: Text
    where: Text = ""  # the menu path
    variants: Mapping[str, Text] = field(default_factory=dict)  # replace `failed`, by the `kind` of a result


class _SafeFormatDict(dict[str, str]):
    """Parameters of a message. A result stored before an update may lack parameters of the new message."""

    def __missing__(self, name: str) -> str:
        return "…"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    check: Check
    ok: bool
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The message in the active language; if the check failed, with the menu path."""
        if self.ok:
            return str(self.check.passed) % _SafeFormatDict(self.params)
        failed_text = self.check.variants.get(self.params.get("kind", ""), self.check.failed)
        return f"{str(failed_text) % _SafeFormatDict(self.params)} {self.where}".strip()

    @property
    def where(self) -> str:
        """The menu path to the setting that must be changed."""
        return str(self.check.where) % _SafeFormatDict(self.params)

    def to_json(self) -> dict[str, Any]:
        """Return the result for a JSON column."""
        return {"check": self.check.code, "ok": self.ok, "params": dict(self.params)}


def passed(check: Check, **params: object) -> CheckResult:
    return CheckResult(check, ok=True, params={name: str(value) for name, value in params.items()})


def failed(check: Check, **params: object) -> CheckResult:
    return CheckResult(check, ok=False, params={name: str(value) for name, value in params.items()})


def result(check: Check, *, is_ok: bool, **params: object) -> CheckResult:
    return passed(check, **params) if is_ok else failed(check, **params)


class CheckFailed(Exception):
    """A check that something depends on failed; the result says what is wrong, who must act and where."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__(result.message)
        self.result = result


def require(result: CheckResult) -> None:
    """Raise CheckFailed unless the check passed."""
    if not result.ok:
        raise CheckFailed(result)


def join_limited(names: Iterable[object]) -> str:
    """Join names with commas; of a long list only the first ten and the number of the others."""
    every = [str(name) for name in names]
    more = f" … (+{len(every) - LONGEST_LIST})" if len(every) > LONGEST_LIST else ""
    return ", ".join(every[:LONGEST_LIST]) + more
