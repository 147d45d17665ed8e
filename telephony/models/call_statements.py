"""The statements that each call passes through, compiled: how calls are found, claimed, locked and saved."""

import functools
import uuid
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models

from connector_project.core import jobs
from connector_project.core.compiled_queries import CompiledInsert, CompiledSelect, CompiledUpdate, Placeholders
from telephony.models.choices import State
from tenants.models import Tenant

if TYPE_CHECKING:
    from telephony.models.call import Call
    from telephony.models.call_queryset import CallQuerySet


def _model() -> "type[Call]":
    return apps.get_model("telephony", "Call")


def _calls() -> "CallQuerySet":
    rows: CallQuerySet = _model()._default_manager.all()
    return rows


def _of_claim(given: Placeholders) -> "CallQuerySet":
    return _calls().filter(pk__in=given.integers("pks"), claim_token=given.uuid("token"))


# A call by `tenant` and `session`, with its employee.
LOCKED: "CompiledSelect[Call]" = CompiledSelect(
    lambda given: (
        _calls()
        .select_for_update(of=("self",))
        .filter(tenant=given.integer("tenant"), session_id=given.integer("session"))
        .select_related("employee")
        .order_by()
    )
)
# The calls of a claim by `pks` and `token`, in the order in which they began.
CLAIMED: "CompiledSelect[Call]" = CompiledSelect(
    lambda given: _of_claim(given).select_related("employee").order_by("started_at", "pk"), lists=["pks"]
)
# The client of a claim, with what a step needs: once for all of its calls.
TENANT: CompiledSelect[Tenant] = CompiledSelect(
    lambda given: Tenant.objects.select_related("uis", "crm", "rule_version").filter(pk=given.integer("tenant"))
)
# What is left of a claim, in the order of primary keys.
STILL_CLAIMED: "CompiledSelect[Call]" = CompiledSelect(
    lambda given: _of_claim(given).select_for_update(of=("self",)).select_related("employee").order_by("pk"),
    lists=["pks"],
)
# The primary keys alone of what is left of a claim.
STILL_CLAIMED_KEYS: CompiledSelect[tuple[int]] = CompiledSelect(
    lambda given: _of_claim(given).select_for_update().order_by("pk").values_list("pk"), lists=["pks"]
)
# The claims that hold calls of one `tenant` in a `state` at `now`.
CLAIMS: CompiledSelect[tuple[uuid.UUID | None]] = CompiledSelect(
    lambda given: (
        _calls()
        .held(now=given.moment("now"))
        .filter(tenant=given.integer("tenant"), state=given.text("state"))
        .order_by()
        .values_list("claim_token")
        .distinct()
    )
)


@functools.cache
def inserts(model: type[models.Model]) -> CompiledInsert:
    """Return what inserts calls, or entries of their log."""
    return CompiledInsert(model)


@functools.cache
def first_due(state: State) -> CompiledSelect[tuple[bool]]:
    """Return what finds whether the first due call of a `tenant` at `now` has low priority."""

    def build(given: Placeholders) -> Any:
        due = _calls().due_of(given.integer("tenant"), state, now=given.moment("now"))
        return due.values_list("is_low_priority")[:1]

    return CompiledSelect(build)


@functools.cache
def free(
    state: State, suspect: models.Q, limit: int, is_low_priority: bool | None, *, is_before: bool
) -> CompiledSelect[tuple[int, bool]]:
    """Return what locks the due calls of a `tenant` at `now`, in order, and tells whether `suspect` holds for them.

    Without those that somebody else is claiming. With `is_before` only those that became due `before` a moment.
    """

    def build(given: Placeholders) -> Any:
        chosen = _calls().due_of(
            given.integer("tenant"),
            state,
            is_low_priority=is_low_priority,
            due_before=given.moment("before") if is_before else None,
            now=given.moment("now"),
        )
        free_calls = chosen.select_for_update(skip_locked=True).annotate(is_suspect=suspect)
        return free_calls.values_list("pk", "is_suspect")[:limit]

    return CompiledSelect(build)


@functools.cache
def leases(first_attempt_at: Any) -> CompiledUpdate:
    """Return what claims those of the calls `pks` that are still due; see `LeasedQuerySet.set_lease`."""

    def build(given: Placeholders) -> Any:
        now = given.moment("now")
        free = _calls().filter(pk__in=given.integers("pks"), state=given.text("state"), next_attempt_at__lte=now)
        fields = jobs.lease_fields(given.uuid("token"), given.text("worker"), until=now + jobs.LEASE)
        return free, {**fields, "first_attempt_at": first_attempt_at(now)}

    return CompiledUpdate(build, lists=["pks"])


@functools.cache
def changes(names: tuple[str, ...]) -> CompiledUpdate:
    """Return what writes the same values of these attributes to the calls `pks`."""

    def build(given: Placeholders) -> Any:
        columns = {field.attname: field for field in _model()._meta.concrete_fields}
        values = {columns[name].name: given.value_of(columns[name]) for name in names}
        return _calls().filter(pk__in=given.integers("pks")), values

    return CompiledUpdate(build, lists=["pks"])
