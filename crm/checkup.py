"""Runs all checks of a client and stores the results."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain

from django.db import transaction

from connector_project.queue import enqueue
from crm import checks
from telephony import checks as uis_checks
from tenants.finding import Check, Finding
from tenants.models import CheckUp, Tenant

TASK = "crm.tasks.check_up"
TAKES_AT_MOST = timedelta(minutes=2)
CHECKS: dict[str, Check] = {check.code: check for check in (*uis_checks.ALL, *checks.ALL)}


def run(tenant: Tenant, *, now: datetime) -> list[Finding]:
    """Run all checks, store and return the results. Checks that could not run are left out; never raises."""
    results = (
        uis_checks.of_account(tenant, now=now),
        checks.look(tenant, now=now),
        uis_checks.of_notifications(tenant, now=now) if tenant.activated_at else (),
    )
    found = _once(chain.from_iterable(results))
    CheckUp.objects.update_or_create(
        tenant=tenant,
        defaults={
            "asked_at": None,
            "checked_at": now,
            "findings": [finding.stored() for finding in found],
            "failing": sum(1 for finding in found if not finding.is_ok),
        },
    )
    return found


def _once(found: Iterable[Finding]) -> list[Finding]:
    """Return one result per check code; a failed result replaces a passed one."""
    by_code: dict[str, Finding] = {}
    for finding in found:
        if by_code.setdefault(finding.check.code, finding).is_ok:
            by_code[finding.check.code] = finding
    return list(by_code.values())


@transaction.atomic
def ask(tenant: Tenant, *, now: datetime) -> None:
    """Queue a run of the checks. It has finished when `asked_at` is empty again."""
    CheckUp.objects.update_or_create(tenant=tenant, defaults={"asked_at": now})
    enqueue(TASK, tenant.pk, queue="fast")


def is_running(checkup: CheckUp | None, *, now: datetime) -> bool:
    """Return whether a run is in progress; a run whose worker died counts as ended after TAKES_AT_MOST."""
    return checkup is not None and checkup.asked_at is not None and now - checkup.asked_at < TAKES_AT_MOST


def kept(checkup: CheckUp | None) -> list[Finding]:
    """Return the results of the last run, without checks that no longer exist."""
    return list(_read(checkup.findings)) if checkup else []


def _read(rows: Iterable[dict[str, object]]) -> Iterable[Finding]:
    for row in rows:
        check, about = CHECKS.get(str(row.get("check"))), row.get("about")
        if check is not None and isinstance(about, dict):
            yield Finding(check, bool(row.get("ok")), about)
