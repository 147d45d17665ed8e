"""Set-up checks and their results: a stable code, a message, the responsible party and the menu path."""

from collections import defaultdict
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
    """A check, defined beside the code that decides it. Its texts may contain %(names)s, which a result fills in."""

    code: str
    passed: Text
    failed: Text
    where: Text = ""  # the menu path
    responsible: Responsible = Responsible.CLIENT
    variants: Mapping[str, Text] = field(default_factory=dict)  # replace `failed`, by the `kind` of a result

    def __post_init__(self) -> None:
        CHECKS[self.code] = self

    def result(self, *, is_ok: bool, **params: object) -> "CheckResult":
        """Return a result of this check, with the parameters of its message."""
        return CheckResult(self, ok=is_ok, params={name: str(value) for name, value in params.items()})


# Every check by its code: stored results refer to it.
CHECKS: dict[str, Check] = {}


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    check: Check
    ok: bool
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The message in the active language; if the check failed, with the menu path."""
        failed = self.check.variants.get(self.params.get("kind", ""), self.check.failed)
        text = str(self.check.passed) if self.ok else f"{failed} {self.check.where}".strip()
        # A result stored before an update may lack parameters of the new message.
        return text % defaultdict(lambda: "…", self.params)

    def to_json(self) -> dict[str, Any]:
        """Return the result for a JSON column."""
        return {"check": self.check.code, "ok": self.ok, "params": dict(self.params)}


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
