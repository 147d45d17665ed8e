"""From each state, with each fault and then health, a row is final within the stated time."""

from datetime import timedelta

import pytest
import time_machine

from tests.flows.liveness import bounds
from tests.flows.liveness.bounds import BOUNDS, FAULT_GROUPS
from tests.flows.liveness.faults import FAULTS, cases, function_of
from tests.flows.liveness.simulation import ASK, World, begin
from tests.flows.liveness.states import STATES, is_failed

pytestmark = pytest.mark.one_database

# For the runs that leave the many others out: those of the vendors are in the tests of the flows.
CORE = {"worker killed after the claim"}
# These end as failed: by their own rule, or because a person asked for it.
MAY_FAIL = ("Activation", "Command", "Popup")


def bounded():
    """Return the cases that end; those that are not of the core run only with all tests."""
    ending = [case for case in cases(STATES) if BOUNDS[case[0]].final[FAULTS[case[1]].group]]
    return [pytest.param(*case, marks=[] if case[1] in CORE else [pytest.mark.exhaustive]) for case in ending]


@pytest.fixture
def world(db, monkeypatch, settings, request):
    with time_machine.travel(begin(), tick=False) as traveller:
        names = ("tenant", "pbx", "crm", "uis_world", "crm_world", "receiver")
        found = {name: request.getfixturevalue(name) for name in names}
        hook = found["tenant"].uis.hook
        world = World(**found, hook=hook, traveller=traveller, monkeypatch=monkeypatch, settings=settings)
        for vendor in (world.uis_world, world.crm_world):
            vendor.hang = lambda: world.wait(timedelta(seconds=10))
        yield world
        for undo in world.undo:
            undo()


@pytest.mark.parametrize(("state", "fault"), bounded())
def test_row_is_final_in_time(world, state, fault):
    is_final = STATES[state].create(world)
    cause = FAULTS[fault]
    vendors = STATES[state].vendors & {cause.vendor} if cause.vendor else STATES[state].vendors
    world.left_out -= set().union(*(ASK[vendor] for vendor in vendors))
    end = cause.begin(world, STATES[state])
    if cause.lasts:
        world.work()
        world.run_for(cause.lasts)
        end()
    bound = BOUNDS[state].final[cause.group]
    assert world.minutes_until(is_final, most=bound) <= bound
    if cause.group not in {"poison", "code"} and not state.startswith(MAY_FAIL):
        assert not is_failed()


@pytest.mark.parametrize("name", sorted({state.breaks_in for state in STATES.values() if state.breaks_in}))
def test_code_that_a_fault_breaks_is_there(name):
    assert callable(function_of(name)[1])


def test_each_state_and_each_group_has_its_bounds():
    assert set(BOUNDS) == set(STATES)
    assert {fault.group for fault in FAULTS.values()} == set(FAULT_GROUPS)


def test_all_open_states_are_here():
    """A state that is added to a queue must be added above."""
    from connector_project.operations.models import Activation
    from crm.models import Command
    from telephony.models import BulkAction, Call, Notification
    from telephony.models.choices import OPEN_STATES

    named = {name.split()[-1] for name in STATES}
    assert {str(state) for state in OPEN_STATES} <= named
    assert {"RECEIVED", "QUEUED"} <= named
    assert set(Notification.Outcome.values) == {"RECEIVED", "QUEUED", "DONE", "REPEATED", "DROPPED", "UNREADABLE"}
    assert set(Command.State.values) == {"RECEIVED", "RUNNING", "DONE", "FAILED", "REFUSED"}
    assert set(BulkAction.Kind.values) == {"RETRY", "SKIP", "REPROCESS", "IMPORT"}
    assert set(Activation.Step.values) <= named
    assert Call.State.UPLOADED not in OPEN_STATES


def test_document_has_the_same_table():
    page = bounds.PAGE.read_text()
    assert bounds.render(page) == page, "python -m tests.flows.liveness.bounds --write"
