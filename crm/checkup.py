"""A client looked at as a whole: asks for every check, keeps what was found, and tells it again without asking."""

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
    """Ask both sides, keep what was found, and return it. What could not be looked at is left out; never raises."""
    looks = (
        uis_checks.of_account(tenant, now=now),
        checks.look(tenant, now=now),
        uis_checks.of_notifications(tenant, now=now) if tenant.activated_at else (),
    )
    found = _once(chain.from_iterable(looks))
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
    """Return each check once: a door that was open at first and is shut at a later question is shut."""
    told: dict[str, Finding] = {}
    for finding in found:
        if told.setdefault(finding.check.code, finding).is_ok:
            told[finding.check.code] = finding
    return list(told.values())


@transaction.atomic
def ask(tenant: Tenant, *, now: datetime) -> None:
    """Have a worker look; whoever waits sees it in `kept` when `asked_at` is empty again."""
    CheckUp.objects.update_or_create(tenant=tenant, defaults={"asked_at": now})
    enqueue(TASK, tenant.pk, queue="fast")


def is_running(checkup: CheckUp | None, *, now: datetime) -> bool:
    """Say whether somebody still may wait for a look: one whose worker died comes to no end."""
    return checkup is not None and checkup.asked_at is not None and now - checkup.asked_at < TAKES_AT_MOST


def kept(checkup: CheckUp | None) -> list[Finding]:
    """Return what the last look found; a check that is no more is left out."""
    return list(_read(checkup.findings)) if checkup else []


def _read(rows: Iterable[dict[str, object]]) -> Iterable[Finding]:
    for row in rows:
        check, about = CHECKS.get(str(row.get("check"))), row.get("about")
        if check is not None and isinstance(about, dict):
            yield Finding(check, bool(row.get("ok")), about)
