"""Each fault: how it begins and ends, how long it lasts, and in which states it can be met."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Model
from django.db.models.expressions import RawSQL
from django.utils.module_loading import import_string

from tenants.models import CrmConnection, UisConnection
from tests import task_queue
from tests.fakes.retailcrm_faults import GARBLED
from tests.flows.liveness.simulation import Killed, KilledAtWrite, World
from tests.flows.liveness.states import State

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LOST_KEY = "gAAAAABlostkeylostkeylostkeylostkeylostkeylostkeylostkeylostkeylostkeylostkeylostkeylostkeylostkey=="

End = Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """`begin` returns what ends it. One that `lasts` no time is over by itself; None: for ever."""

    begin: Callable[[World, State], End]
    group: str
    lasts: timedelta | None = timedelta()
    vendor: str = ""  # only states that need this vendor meet it
    is_met: Callable[[State], bool] = lambda _state: True


def _repair(world: World) -> End:
    def end() -> None:
        world.uis_world.repair()
        world.crm_world.repair()
        world.receiver.answers, world.receiver.hangs, world.receiver.retry_after = 0, False, 0

    return end


def _uis(kind: str, *, times: int | None = None, retry_after: str = "") -> Callable[[World, State], End]:
    def begin(world: World, _state: State) -> End:
        world.uis_world.break_down(kind, times=times)
        world.uis_world.retry_after = retry_after
        return _repair(world)

    return begin


def _crm(kind: str, *, times: int | None = None, retry_after: int | None = None) -> Callable[[World, State], End]:
    def begin(world: World, _state: State) -> End:
        world.crm_world.break_down(kind, times=times, retry_after=retry_after)
        return _repair(world)

    return begin


def _receiver(**fields: object) -> Callable[[World, State], End]:
    def begin(world: World, _state: State) -> End:
        for name, value in fields.items():
            setattr(world.receiver, name, value)
        return _repair(world)

    return begin


def _garbled_row(world: World, state: State) -> End:
    for method in state.methods:
        if "." in method:
            world.uis_world.break_down("no_result", method=method)
        else:
            world.crm_world.break_down("no_result", path_part=method)
    return _repair(world)


def _uis_denied(world: World, _state: State) -> End:
    world.pbx.token_state = "blocked"
    return lambda: setattr(world.pbx, "token_state", "valid")


def _crm_denied(world: World, _state: State) -> End:
    key, world.crm.key = world.crm.key, "revoked"
    return lambda: setattr(world.crm, "key", key)


def _uis_right(world: World, state: State) -> End:
    world.pbx.unavailable_methods |= {method for method in state.methods if "." in method}
    return world.pbx.unavailable_methods.clear


def _crm_right(world: World, _state: State) -> End:
    scopes = set(world.crm.scopes)
    world.crm.scopes -= {"telephony_write", "telephony_read"}
    return lambda: world.crm.scopes.update(scopes)


def _uis_right_then_503(world: World, state: State) -> End:
    repair = _uis_right(world, state)

    def end() -> None:
        repair()
        world.uis_world.break_down("503", times=1)

    return end


def _crm_right_then_503(world: World, state: State) -> End:
    repair = _crm_right(world, state)

    def end() -> None:
        repair()
        world.crm_world.break_down("503", times=1)

    return end


def _points(limit: str) -> Callable[[World, State], End]:
    def begin(world: World, _state: State) -> End:
        value = getattr(world.pbx, limit)
        setattr(world.pbx, limit, 0)
        return lambda: setattr(world.pbx, limit, value)

    return begin


def _queue_lost(_world: World, _state: State) -> End:
    task_queue.lose()
    return lambda: None


def _killed_at_write(number: int) -> Callable[[World, State], End]:
    def begin(world: World, state: State) -> End:
        world.around = KilledAtWrite(state.tasks, number)
        return lambda: None

    return begin


def _killed_at_request(world: World, _state: State) -> End:
    def kill() -> None:
        world.uis_world.hang = world.crm_world.hang = lambda: world.wait(timedelta(seconds=10))
        raise Killed

    for vendor in (world.uis_world, world.crm_world):
        vendor.hang = kill
        vendor.break_down("timeout", times=1)
    return _repair(world)


def function_of(dotted: str) -> tuple[Any, Any]:
    """Return a function by its dotted name, and what has it. Raises AttributeError."""
    module, name = dotted.rsplit(".", 1)
    owner = import_string(module) if module.endswith(".steps") else __import__(module, fromlist=[name])
    return owner, getattr(owner, name)


def _raises(world: World, state: State) -> End:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError

    owner, right = function_of(state.breaks_in)
    name = state.breaks_in.rpartition(".")[2]
    setattr(owner, name, fail)
    world.undo.append(lambda: setattr(owner, name, right))
    return lambda: setattr(owner, name, right)


def _column_unreadable(_world: World, state: State) -> End:
    assert state.column is not None
    model, column = state.column
    _encrypt_with_lost_key(model, column)
    return lambda: None


def _keys_unreadable(_world: World, _state: State) -> End:
    keys = [(UisConnection, "access_token"), (CrmConnection, "key")]
    right = {model: getattr(model._default_manager.get(), column) for model, column in keys}
    for model, column in keys:
        _encrypt_with_lost_key(model, column)

    def end() -> None:
        for model, column in keys:
            model._default_manager.update(**{column: right[model]})

    return end


def _encrypt_with_lost_key(model: type[Model], column: str) -> None:
    """Replace the stored text in all rows: the field itself would encrypt with the right key."""
    model._default_manager.update(**{column: RawSQL("%s", [LOST_KEY])})


FAULTS: dict[str, Fault] = {
    "UIS 503 for an hour": Fault(_uis("503"), "away", HOUR, "UIS"),
    "UIS hangs for an hour": Fault(_uis("timeout"), "away", HOUR, "UIS"),
    **{f"UIS garbled once: {kind}": Fault(_uis(kind, times=1), "garbled", vendor="UIS") for kind in GARBLED},
    "UIS denies access for days": Fault(_uis_denied, "denied", 4 * DAY, "UIS"),
    "UIS lacks the right for days": Fault(_uis_right, "denied", 4 * DAY, "UIS"),
    "UIS lacks the right for days, then 503 once": Fault(_uis_right_then_503, "denied", 4 * DAY, "UIS"),
    "UIS asks to wait for a day once": Fault(_uis("503", times=1, retry_after="86400"), "wait", vendor="UIS"),
    "UIS has no points for an hour": Fault(_points("minute_limit"), "points", HOUR, "UIS"),
    "CRM 503 for an hour": Fault(_crm("503"), "away", HOUR, "CRM"),
    "CRM hangs for an hour": Fault(_crm("timeout"), "away", HOUR, "CRM"),
    **{f"CRM garbled once: {kind}": Fault(_crm(kind, times=1), "garbled", vendor="CRM") for kind in GARBLED},
    "CRM denies access for days": Fault(_crm_denied, "denied", 4 * DAY, "CRM"),
    "CRM lacks the right for days": Fault(_crm_right, "denied", 4 * DAY, "CRM"),
    "CRM lacks the right for days, then 503 once": Fault(_crm_right_then_503, "denied", 4 * DAY, "CRM"),
    "CRM asks to wait for a day once": Fault(_crm("503", times=1, retry_after=86_400), "wait", vendor="CRM"),
    "receiver 503 for an hour": Fault(_receiver(answers=503), "away", HOUR, "receiver"),
    "receiver hangs for an hour": Fault(_receiver(hangs=True), "away", HOUR, "receiver"),
    "receiver asks to wait for a day": Fault(_receiver(answers=503, retry_after=86_400), "wait", HOUR, "receiver"),
    "always garbled for this row": Fault(_garbled_row, "poison", None, is_met=lambda state: bool(state.methods)),
    "queue lost": Fault(_queue_lost, "queue"),
    "worker killed after the claim": Fault(_killed_at_write(2), "worker"),
    "worker killed at the result": Fault(_killed_at_write(3), "worker"),
    "worker killed at the request": Fault(
        _killed_at_request, "worker", is_met=lambda state: bool(state.vendors & {"UIS", "CRM"})
    ),
    "code raises for this row for an hour": Fault(_raises, "code", HOUR),
    "code raises for this row for ever": Fault(_raises, "poison", None),
    "row cannot be decrypted": Fault(_column_unreadable, "poison", None, is_met=lambda state: bool(state.column)),
    "keys cannot be decrypted for an hour": Fault(_keys_unreadable, "code", HOUR),
}


def cases(states: dict[str, State]) -> list[tuple[str, str]]:
    """Return all pairs of a state and a fault that can meet."""
    return [
        (name, fault_name)
        for name, state in states.items()
        for fault_name, fault in FAULTS.items()
        if (not fault.vendor or fault.vendor in state.vendors) and fault.is_met(state)
    ]
