"""Clients made by copying the rows of the first one: activated, synchronised, linked and registered, in seconds."""

import time
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, TypeVar

from django.db import models, transaction

from connector_project.core import task_queue
from connector_project.core.models import RollupZone
from connector_project.core.secret_tokens import generate_token
from connector_project.operations import tasks as operations_tasks
from crm import integration_module
from crm import tasks as crm_tasks
from crm.popup_rollup import POPUPS
from telephony import tasks
from telephony.models import DailyReconciliation, ReportCursor
from telephony.stats.rollup import CALLS
from tenants.models import (
    CheckRun,
    CrmConnection,
    CrmUser,
    Employee,
    RemoteList,
    RuleDraft,
    RuleVersion,
    Tenant,
    UisConnection,
    UisStatus,
    VirtualNumber,
)
from tests.simulator.environment import SLUG

# What one client has after its first hours, beside its connections.
_COPIED: tuple[Any, ...] = (
    *(Employee, CrmUser, VirtualNumber, UisStatus, RemoteList),
    *(ReportCursor, DailyReconciliation, CheckRun),
)
BATCH = 1000
ModelT = TypeVar("ModelT", bound=models.Model)


def slug_of(client: int) -> str:
    """Return the short name of the client with this number."""
    return f"{SLUG}-{client}" if client else SLUG


def add_copies(new: Sequence[tuple[int, str, str, str]]) -> list[tuple[str, dict[str, str]]]:
    """Add clients with these numbers, UIS keys, and addresses and keys of the CRM.

    Return for each its webhook URL, and what differs in its CRM's module from the first client's.
    """
    first = _first()
    with transaction.atomic():
        tenants = Tenant.objects.bulk_create(
            [_copy(first, name=slug_of(one), slug=slug_of(one), activation_token=generate_token()) for one, *_ in new],
            batch_size=BATCH,
        )
        for tenant, (_client, token, address, key) in zip(tenants, new, strict=True):
            _set_connections(tenant, first, token=token, address=address, key=key)
        UisConnection.objects.bulk_create([tenant.uis for tenant in tenants], batch_size=BATCH)
        CrmConnection.objects.bulk_create([tenant.crm for tenant in tenants], batch_size=BATCH)
        for model in _COPIED:
            rows = list(model.objects.filter(tenant=first))
            copies = [_copy(row, tenant=tenant) for tenant in tenants for row in rows]
            model.objects.bulk_create(copies, batch_size=BATCH)
        _copy_rules(first, tenants)
        # They have no calls, so nothing is left to be counted.
        RollupZone.objects.bulk_create(
            RollupZone(rollup=rollup.name, tenant_id=tenant.pk, time_zone=tenant.time_zone)
            for tenant in tenants
            for rollup in (CALLS, POPUPS)
        )
    known = list(_secrets(first))
    return [
        (integration_module.addresses(tenant)["notifications"], dict(zip(known, _secrets(tenant), strict=True)))
        for tenant in tenants
    ]


def _first() -> Tenant:
    """Return the first client after all of its periodic work."""
    pk = Tenant.objects.get(slug=SLUG).pk
    for task in (tasks.sync_employees, crm_tasks.link_users, tasks.reconcile_calls, tasks.close_days):
        task(pk)
    operations_tasks.run_checks(pk)
    operations_tasks.update_traffic_profile(pk)
    while _is_claimed(pk):  # A worker may do the same now: its claims must not be copied.
        time.sleep(0.05)
    return Tenant.objects.select_related("uis", "crm", "rule_version", "draft").get(pk=pk)


def _is_claimed(pk: int) -> bool:
    is_module_claimed = CrmConnection.objects.filter(tenant=pk).exclude(module_claim=None).exists()
    is_compared = ReportCursor.objects.filter(tenant=pk).exclude(claim_token=None).exists()
    return is_module_claimed or is_compared or task_queue.depth("default") > 0


def _set_connections(tenant: Tenant, first: Tenant, *, token: str, address: str, key: str) -> None:
    """Give a copied client connections of its own, in the memory only."""
    own: dict[str, Any] = {"tenant": tenant, "account_id": "", "holds_account": False}
    tenant.uis = _copy(first.uis, access_token=token, hook=generate_token(), **own)
    tenant.crm = _copy(
        first.crm, address=address, key=key, hook=generate_token(), client_id=generate_token(), module_code="", **own
    )
    tenant.crm.module_code = integration_module.code(tenant)
    own_module = {"where": integration_module._fingerprint(tenant), "account": tenant.crm.account}
    tenant.crm.registered_module = first.crm.registered_module | own_module


def _copy_rules(first: Tenant, tenants: Sequence[Tenant]) -> None:
    rows = [_copy(first.current_version, tenant=tenant) for tenant in tenants]
    versions = RuleVersion.objects.bulk_create(rows, batch_size=BATCH)
    drafts = [_copy(first.draft, tenant=one.tenant, based_on=one) for one in versions]
    RuleDraft.objects.bulk_create(drafts, batch_size=BATCH)
    for version in versions:
        version.tenant.rule_version = version
    Tenant.objects.bulk_update(tenants, ["rule_version"], batch_size=BATCH)


def _secrets(tenant: Tenant) -> Iterator[str]:
    """Yield what is the client's own in its module at the CRM."""
    yield from (tenant.crm.hook, tenant.crm.client_id, tenant.activation_token)
    yield f'"{tenant.crm.module_code}"'


def _copy(row: ModelT, **changes: object) -> ModelT:
    """Return an unsaved copy of a row, with some other values."""
    made = copy(row)
    made.pk, made._state, made._state.adding = None, copy(row._state), True
    made._state.fields_cache = {}
    for name, value in changes.items():
        setattr(made, name, value)
    return made
