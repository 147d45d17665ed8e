"""Runs all checks of a client and stores the results."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain

from django.db import transaction

from connector_project.core.check_results import CHECKS, CheckResult
from connector_project.core.task_queue import enqueue
from connector_project.operations.checks import history
from crm import checks
from telephony import checks as uis_checks
from tenants.models import CheckRun, Tenant

TASK = "connector_project.operations.tasks.run_checks"
TAKES_AT_MOST = timedelta(minutes=2)


def run(tenant: Tenant, *, now: datetime) -> list[CheckResult]:
    """Run all checks, store and return the results. Checks that could not run are left out; never raises."""
    results = (
        uis_checks.account_checks(tenant, now=now),
        checks.run_checks(tenant, now=now),
        uis_checks.rules_pass(tenant),
        uis_checks.notification_checks(tenant, now=now) if tenant.activated_at else (),
    )
    found = _deduplicate(chain.from_iterable(results))
    before = CheckRun.objects.filter(tenant=tenant).first() or CheckRun()
    CheckRun.objects.update_or_create(
        tenant=tenant,
        defaults={
            "requested_at": None,
            "checked_at": now,
            "results": [finding.to_json() for finding in found],
            "failing": history.update(before.failing, before.results, found, now=now),
            "failed_count": sum(1 for finding in found if not finding.ok),
        },
    )
    return found


def _deduplicate(found: Iterable[CheckResult]) -> list[CheckResult]:
    """Return one result per check code; a failed result replaces a passed one."""
    by_code: dict[str, CheckResult] = {}
    for finding in found:
        if by_code.setdefault(finding.check.code, finding).ok:
            by_code[finding.check.code] = finding
    return list(by_code.values())


@transaction.atomic
def request_run(tenant: Tenant, *, now: datetime) -> None:
    """Queue a run of the checks. It has finished when `requested_at` is empty again."""
    CheckRun.objects.update_or_create(tenant=tenant, defaults={"requested_at": now})
    enqueue(TASK, tenant.pk, queue="fast")


def is_running(run: CheckRun | None, *, now: datetime) -> bool:
    """Return whether a run is in progress; a run whose worker died counts as ended after TAKES_AT_MOST."""
    return run is not None and run.requested_at is not None and now - run.requested_at < TAKES_AT_MOST


def not_run(found: Iterable[CheckResult]) -> list[str]:
    """Return the codes of the checks that have no result: disabled features, denied access."""
    return sorted(CHECKS.keys() - {finding.check.code for finding in found})


def stored_results(run: CheckRun | None) -> list[CheckResult]:
    """Return the results of the last run, without checks that no longer exist."""
    rows = run.results if run else []
    return [
        CheckResult(CHECKS[row["check"]], bool(row.get("ok")), row["params"])
        for row in rows
        if row.get("check") in CHECKS and isinstance(row.get("params"), dict)
    ]
