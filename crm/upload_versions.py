"""By which version of the rules claimed calls are uploaded, and which of them it skips.

The current version decides about a call until its record may have reached the CRM. From then on it is the version of
that record: what the CRM has cannot be changed, nor may a later rule count it as skipped.
"""

import time
from collections.abc import Iterator, Sequence
from copy import copy
from datetime import datetime

from telephony.calls import steps
from telephony.calls.steps import Moved
from telephony.models import Call, State, Step
from tenants.models import RuleVersion, Tenant
from tenants.rules import Rules
from tenants.transfer_rules import Filter


def split(tenant: Tenant, batch: Sequence[Call], *, now: datetime) -> list[list[Call]]:
    """Return the calls to upload, apart by the version that decides about them: that of their `tenant`.

    Those that the current version skips, or whose owner it may choose otherwise, go their way here.
    """
    current = tenant.rule_version_id
    tried = [call for call in batch if _may_be_in_the_crm(call)]
    fresh = [call for call in batch if call not in tried]
    if any(call.rule_version_id != current for call in fresh):
        fresh = _without_outdated(tenant, fresh, now=now)
    if _may_skip(tenant, fresh):
        fresh = _without_skipped(tenant, fresh, now=now)
    if others := [call for call in fresh if call.rule_version_id != current]:
        _note_version(tenant, others)
    together = fresh + [call for call in tried if call.rule_version_id == current]
    apart = _by_version(tenant, [call for call in tried if call.rule_version_id != current])
    return [group for group in (together, *apart) if group]


def _may_be_in_the_crm(call: Call) -> bool:
    """Whether a request with the call may have been sent before: its answer was lost, or its worker."""
    return call.attempts > 1 or call.lost_leases > 0 or bool(call.reason)


def _without_outdated(tenant: Tenant, batch: Sequence[Call], *, now: datetime) -> list[Call]:
    """Let the calls be evaluated anew whose owner was chosen by other rules than those of now; return the others.

    So one version decides all of a record, whenever it was published.
    """
    others = {call.rule_version_id for call in batch} - {tenant.rule_version_id}
    versions = RuleVersion.objects.in_bulk(others)
    outdated = [pk for pk, version in versions.items() if _chooses(version.value) != _chooses(tenant.rules)]
    anew = [call for call in batch if call.rule_version_id in outdated]
    evaluated = Moved(state=State.DEBOUNCING, changes={"crm_user_id": None})
    steps.finish([(call, evaluated) for call in anew], Step.EVALUATE, started=time.monotonic(), now=now)
    return [call for call in batch if call not in anew]


def _chooses(rules: Rules) -> tuple[str, str]:
    """Return the rules that choose the owner of a call."""
    return rules.owner, rules.missed_owner


def _may_skip(tenant: Tenant, batch: Sequence[Call]) -> bool:
    """Whether a rule may skip a call of the batch though it had passed: by another version, or by what it asks of."""
    is_asking = bool(tenant.rules.field_map.rows) or tenant.rules.employee_filter != Filter.ALL
    return is_asking or any(call.rule_version_id != tenant.rule_version_id for call in batch)


def _without_skipped(tenant: Tenant, batch: Sequence[Call], *, now: datetime) -> list[Call]:
    """Skip the calls that a rule leaves out by what is known of them now; return the others."""
    rule_set = tenant.rule_set
    skipped = [(call, rule) for call in batch if (rule := call.skipping_rule(rule_set, now=now))]
    if not skipped:
        return list(batch)
    results = [(call, Moved(state=State.SKIPPED, changes={"skip_reason": rule})) for call, rule in skipped]
    steps.finish(results, Step.EVALUATE, started=time.monotonic(), now=now)
    left_out = [call for call, _rule in skipped]
    return [call for call in batch if call not in left_out]


def _note_version(tenant: Tenant, batch: Sequence[Call]) -> None:
    """Store before the request by which version the records are made: if its answer is lost, they stay as they are."""
    current = tenant.current_version
    Call.objects.filter(pk__in=[call.pk for call in batch]).update(rule_version=current)
    for call in batch:
        call.rule_version = current


def _by_version(tenant: Tenant, batch: Sequence[Call]) -> Iterator[list[Call]]:
    versions = RuleVersion.objects.in_bulk({call.rule_version_id for call in batch}) if batch else {}
    for pk, version in versions.items():
        group = [call for call in batch if call.rule_version_id == pk]
        decides = _with_version(tenant, version)
        for call in group:
            call.tenant = decides
        yield group


def _with_version(tenant: Tenant, version: RuleVersion) -> Tenant:
    """Return the client as if this version were the current one; never to be saved."""
    made = copy(tenant)
    made._state = copy(tenant._state)
    made._state.fields_cache = dict(tenant._state.fields_cache)
    made.rule_version = version
    return made
