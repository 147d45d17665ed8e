"""The alert rule of set-up checks: one that was fine before and fails, or that keeps failing."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import CHECKS, CheckResult, Responsible
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.redaction import redact
from connector_project.operations.alerts.rule import Context, Key, Rule
from connector_project.operations.checks.history import UNAVAILABLE, Failing
from connector_project.operations.models import Incident
from tenants.models import CheckRun, Tenant

# Runs are hours apart; a client who has just been set up has time to mend what was never right.
KEEPS_FAILING_RUNS = 2
# The alert about employees whose phones ring says which of them matter.
OTHERS = frozenset({"USERS_LINKED"})
# A notification that never came may be of a kind that the client does not have, such as outgoing calls.
NEVER_CAME = "EVENT_"
Kind = Incident.Kind


class FailingChecks(Rule):
    kind = Kind.CHECK_FAILED
    resolved_text = _("The check passes again.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        found = {pk: codes for pk, failing in _RUNS.fetch() if (codes := _worth_an_alert(failing))}
        # The results, which are long, only of the few that need them.
        runs = CheckRun.objects.filter(tenant__in=found).order_by("pk")
        for pk, results in runs.values_list("tenant", "results") if found else ():
            params = {row.get("check"): row.get("params") or {} for row in results if not row.get("ok")}
            for code, since in found[pk].items():
                values = {name: redact(str(value)) for name, value in params.get(code, {}).items()}
                yield self.incident(code, pk, since=datetime.fromisoformat(since), params=values)

    def text(self, incident: Incident, context: Context) -> str:
        check = CHECKS.get(incident.reason)
        message = CheckResult(check, ok=False, params=context.get("params", {})).message if check else incident.reason
        return gettext("A check fails since %(moment)s: %(message)s") % (context | {"message": message})

    def responsible(self, incident: Incident) -> Responsible:
        check = CHECKS.get(incident.reason)
        return check.responsible if check else Responsible.OPERATOR

    def is_explained(self, key: Key, others: Collection[Key]) -> bool:
        """Denied access fails checks, too, and says more."""
        return any(kind == Kind.ACCESS_DENIED and pk == key[0] for pk, kind, _reason in others)


_RUNS: CompiledSelect[tuple[int, Any]] = CompiledSelect(
    lambda _given: (
        CheckRun.objects.filter(tenant__in=Tenant.objects.live(), failed_count__gt=0)
        .order_by("pk")
        .values_list("tenant", "failing")
    )
)


def _worth_an_alert(failing: Failing) -> dict[str, str]:
    """Return since when the checks fail that need an alert."""
    ours = {code: one for code, one in failing.items() if code in CHECKS and code not in OTHERS}
    return {code: one["since"] for code, one in ours.items() if _is_worth_an_alert(code, one)}


def _is_worth_an_alert(code: str, history: dict[str, Any]) -> bool:
    """One answer is no verdict on a vendor that is away; a check that never passed is still being set up."""
    was_ok = bool(history.get("was_ok")) and code not in UNAVAILABLE
    keeps_failing = history.get("runs", 0) >= KEEPS_FAILING_RUNS and not code.startswith(NEVER_CAME)
    return was_ok or keeps_failing
