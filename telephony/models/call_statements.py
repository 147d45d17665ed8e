"""The statements that each call passes through, compiled: how calls are claimed, locked and saved."""

import functools
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models

from connector_project.core import jobs
from connector_project.core.compiled_queries import CompiledInsert, CompiledSelect, CompiledUpdate, Placeholders
from telephony.models.choices import State

if TYPE_CHECKING:
    from telephony.models.call import Call
    from telephony.models.call_queryset import CallQuerySet


def _calls() -> "CallQuerySet":
    rows: CallQuerySet = _model()._default_manager.all()
    return rows


def _model() -> "type[Call]":
    return apps.get_model("telephony", "Call")


_locked: "CompiledSelect[Call]" = CompiledSelect(
    lambda given: (
        _calls()
        .select_for_update(of=("self",))
        .filter(tenant=given.integer("tenant"), session_id=given.integer("session"))
        .select_related("employee")
        .order_by()
    )
)
_claimed: "CompiledSelect[Call]" = CompiledSelect(
    lambda given: _calls().filter(pk__in=given.integers("pks"), claim_token=given.uuid("token")).with_related(),
    lists=["pks"],
)
_lock_claimed: "CompiledSelect[Call]" = CompiledSelect(
    lambda given: (
        _calls()
        .filter(pk__in=given.integers("pks"), claim_token=given.uuid("token"))
        .select_for_update(of=("self",))
        .select_related("employee")
        .order_by("pk")
    ),
    lists=["pks"],
)


def locked(tenant_id: int, session_id: int) -> "Call | None":
    """Lock and return a call with its employee. Needs a transaction."""
    return _locked.first(tenant=tenant_id, session=session_id)


def claimed(pks: Sequence[int], token: uuid.UUID) -> "list[Call]":
    """Return the calls of a claim, with what a step needs."""
    return _claimed.fetch(pks=pks, token=token)


def lock_claimed(pks: Sequence[int], token: uuid.UUID | None) -> "list[Call]":
    """Lock and return what is left of a claim, in the order of primary keys. Needs a transaction."""
    return _lock_claimed.fetch(pks=pks, token=token) if pks and token else []


def due_priority(tenant_id: int, state: State, *, now: datetime) -> bool | None:
    """Return whether only calls of low priority are due; None if no call is."""
    found = _due(state).first(tenant=tenant_id, now=now)
    return None if found is None else found[0]


def count_claims(tenant_id: int, state: State, *, now: datetime) -> int:
    """Return how many claims hold calls of this client in one state."""
    return len(_tokens.fetch(tenant=tenant_id, state=state.value, now=now))


def choose(
    tenant_id: int,
    state: State,
    *,
    suspect: models.Q,
    limit: int,
    is_low_priority: bool | None,
    due_before: datetime | None,
    now: datetime,
) -> list[tuple[int, bool]]:
    """Return the calls that are due, in their order, with whether the condition `suspect` holds for them."""
    chooser = _chooser(state, suspect, limit, is_low_priority, is_before=due_before is not None)
    return chooser.fetch(tenant=tenant_id, now=now, before=due_before)


_tokens: CompiledSelect[tuple[uuid.UUID | None]] = CompiledSelect(
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
def _due(state: State) -> CompiledSelect[tuple[bool]]:
    def build(given: Placeholders) -> Any:
        due = _calls().due_of(given.integer("tenant"), state, now=given.moment("now"))
        return due.values_list("is_low_priority")[:1]

    return CompiledSelect(build)


@functools.cache
def _chooser(
    state: State, suspect: models.Q, limit: int, is_low_priority: bool | None, *, is_before: bool
) -> CompiledSelect[tuple[int, bool]]:
    def build(given: Placeholders) -> Any:
        due = _calls().due_of(
            given.integer("tenant"),
            state,
            is_low_priority=is_low_priority,
            due_before=given.moment("before") if is_before else None,
            now=given.moment("now"),
        )
        return due.annotate(is_suspect=suspect).values_list("pk", "is_suspect")[:limit]

    return CompiledSelect(build)


def insert(row: models.Model) -> None:
    """Insert a new call, or an entry of a call's log. Raises IntegrityError if the call's session has a row."""
    _inserter(type(row)).insert([row])


@functools.cache
def _inserter(model: type[models.Model]) -> CompiledInsert:
    return CompiledInsert(model)


def set_fields(pks: Sequence[int], values: dict[str, Any]) -> None:
    """Write the same values, by the names of attributes, to all of these calls."""
    _setter(tuple(values)).run(pks=pks, **values)


@functools.cache
def _setter(names: tuple[str, ...]) -> CompiledUpdate:
    def build(given: Placeholders) -> Any:
        columns = {field.attname: field for field in _model()._meta.concrete_fields}
        changes = {columns[name].name: given.value_of(columns[name]) for name in names}
        return _calls().filter(pk__in=given.integers("pks")), changes

    return CompiledUpdate(build, lists=["pks"])


def set_lease(pks: Sequence[int], state: State, *, first_attempt_at: Any, now: datetime) -> uuid.UUID:
    """Claim those of these calls that are still due, and return the token; see `LeasedQuerySet.set_lease`."""
    token = uuid.uuid4()
    values: dict[str, Any] = {"token": token, "worker": jobs.worker_name(), "state": state.value, "now": now}
    _leaser(first_attempt_at).run(pks=pks, **values)
    return token


@functools.cache
def _leaser(first_attempt_at: Any) -> CompiledUpdate:
    def build(given: Placeholders) -> Any:
        now = given.moment("now")
        free = _calls().filter(pk__in=given.integers("pks"), state=given.text("state"), next_attempt_at__lte=now)
        fields = jobs.lease_fields(given.uuid("token"), given.text("worker"), until=now + jobs.LEASE)
        return free, {**fields, "first_attempt_at": first_attempt_at(now)}

    return CompiledUpdate(build, lists=["pks"])
