"""A problem of one client does not affect 50 others, and its backlog does not delay live calls."""

import pytest

from tests.processes.accounting import check
from tests.processes.conftest import CLIENTS

pytestmark = [pytest.mark.processes, pytest.mark.parametrize("installation", ["redis"], indirect=True)]

SLOW, OTHERS = 0, list(range(1, CLIENTS))


@pytest.fixture
def crowd(plant):
    """Fifty-one clients, and the four workers of a usual installation."""
    plant.add_clients(CLIENTS)
    plant.start_worker("worker-2")
    return plant


def count(plant, clients):
    return sum(len(account["calls"]) for account in plant.vendors() if account["client"] in clients)


def uploads(plant, client):
    by = plant.state(client)["crm"]["requests"]["by"]
    return sum(times for name, times in by.items() if name.endswith("calls/upload"))


@pytest.mark.slow
def test_live_calls_go_before_the_backlog_of_an_outage(plant):
    """400 calls waited for an hour; a live call does not wait for them."""
    plant.order("break", side="crm", kind="503")
    plant.order("notices", do="drop")
    plant.order("traffic", clients=[0], kinds=["missed"], times=400)
    plant.turn_clock(minutes=6)
    plant.ask("run", "telephony.reconcile_all")
    plant.wait_for(lambda: plant.ask("consecutive_failures", 0)[1], "an upload in vain")
    plant.turn_clock(minutes=60)
    plant.order("repair")
    plant.order("delay", side="crm", seconds=2, part="calls/upload")
    plant.ask("sweep")
    plant.until(lambda state: len(state["crm"]["calls"]) > 1, "the first call of the backlog")
    plant.order("notices", do="send")
    session = plant.play("answered")["session"]
    plant.until(lambda state: len(state["crm"]["calls"]) == 401, "all calls in the CRM")
    arrived = [call["externalId"] for call in plant.vendors()[0]["calls"]]
    assert arrived.index(f"uis-{session}") < 400  # Some calls of the backlog came after it.
    assert plant.vendors()[0]["over_limit"] == 0
    check(plant, "backlog of 400 after an outage, and a live call")


def test_slow_crm_of_one_is_not_felt_by_fifty_others(crowd):
    crowd.order("traffic", clients=OTHERS, kinds=["missed", "answered"])
    crowd.wait_for(lambda: count(crowd, OTHERS) == 100, "the calls of fifty clients", interval=0.5)
    check(crowd, "51 clients, nobody in trouble: the 50", clients=OTHERS)

    crowd.forget()
    crowd.order("delay", side="crm", part="calls/upload", seconds=30, client=SLOW)
    crowd.order("traffic", clients=[SLOW], times=5, pause=0.5)
    crowd.order("traffic", clients=OTHERS, kinds=["missed", "answered"])
    # Until the first one times out, at most two of the four workers upload its calls.
    assert uploads(crowd, SLOW) <= 2 or crowd.ask("consecutive_failures", SLOW)[1]
    crowd.wait_for(lambda: count(crowd, OTHERS) == 100, "the calls of fifty clients", interval=0.5)
    states = {state for state, *_rest in crowd.ask("calls", SLOW).values()}
    assert "UPLOADED" not in states  # They did not wait for it.
    check(crowd, "one CRM takes 30 s: the 50 others", clients=OTHERS)

    crowd.order("delay", side="crm", part="call/event", seconds=30, client=SLOW)
    for _ring in range(3):
        crowd.play("ring", client=SLOW)
    session = crowd.play("ring", client=OTHERS[0])["session"]
    shown = f"uis-{session}"
    crowd.wait_for(lambda: shown in str(crowd.state(OTHERS[0])["crm"]["cards"]), "the card of another client")

    crowd.order("repair")
    crowd.pass_time(minutes=6)
    crowd.wait_for(lambda: crowd.ask("consecutive_failures", SLOW)[1] == 0, "the next probe")
    crowd.pass_time(minutes=4)
    check(crowd, "one CRM takes 30 s: the slow one, once it is well", clients=[SLOW])
