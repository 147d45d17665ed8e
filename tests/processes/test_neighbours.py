"""A problem of one client does not affect 50 others, and its backlog does not delay live calls."""

import pytest

from tests.processes.accounting import check
from tests.processes.conftest import CLIENTS

pytestmark = [pytest.mark.processes, pytest.mark.parametrize("shared_installation", ["redis"], indirect=True)]

SLOW, OTHERS = 0, list(range(1, CLIENTS))


@pytest.fixture
def many_tenants(installation):
    """Fifty-one clients, and the four workers of a usual installation."""
    installation.add_clients(CLIENTS)
    installation.start_worker("worker-2")
    return installation


def count_calls(installation, clients):
    return sum(len(account["calls"]) for account in installation.vendors() if account["client"] in clients)


def count_uploads(installation, client):
    by = installation.state(client)["crm"]["requests"]["by"]
    return sum(times for name, times in by.items() if name.endswith("calls/upload"))


@pytest.mark.exhaustive
def test_live_calls_precede_the_backlog_of_an_outage(installation):
    """400 calls waited for an hour; a live call does not wait for them."""
    installation.order("break", side="crm", kind="503")
    installation.order("notices", do="drop")
    installation.order("traffic", clients=[0], kinds=["missed"], times=400)
    installation.turn_clock(minutes=6)
    installation.ask("run", "telephony.reconcile_all")
    installation.wait_for(lambda: installation.ask("consecutive_failures", 0)[1], "a failed upload")
    installation.turn_clock(minutes=60)
    installation.order("repair")
    installation.order("delay", side="crm", seconds=2, part="calls/upload")
    installation.ask("sweep")
    installation.until(lambda state: len(state["crm"]["calls"]) > 1, "the first call of the backlog")
    installation.order("notices", do="send")
    session = installation.play("answered")["session"]
    installation.until(lambda state: len(state["crm"]["calls"]) == 401, "all calls in the CRM")
    arrived = [call["externalId"] for call in installation.vendors()[0]["calls"]]
    assert arrived.index(f"uis-{session}") < 400  # Some calls of the backlog came after it.
    assert installation.vendors()[0]["over_limit"] == 0
    check(installation, "backlog of 400 after an outage, and a live call")


def test_slow_crm_of_one_tenant_does_not_delay_fifty_others(many_tenants):
    many_tenants.order("traffic", clients=OTHERS, kinds=["missed", "answered"])
    many_tenants.wait_for(lambda: count_calls(many_tenants, OTHERS) == 100, "the calls of fifty clients", interval=0.5)
    check(many_tenants, "51 clients, no faults: the 50", clients=OTHERS)

    many_tenants.delete_calls()
    # The clock has jumped: until they beat again the workers seem to be dead, and their uploads do not count.
    many_tenants.wait_for(lambda: not many_tenants.ask("stopped_workers"), "the heartbeats of all workers")
    many_tenants.order("delay", side="crm", part="calls/upload", seconds=30, client=SLOW)
    many_tenants.order("traffic", clients=[SLOW], times=5, pause=0.5)
    many_tenants.order("traffic", clients=OTHERS, kinds=["missed", "answered"])
    # Until the first one times out, at most two of the four workers upload its calls.
    assert count_uploads(many_tenants, SLOW) <= 2 or many_tenants.ask("consecutive_failures", SLOW)[1]
    many_tenants.wait_for(lambda: count_calls(many_tenants, OTHERS) == 100, "the calls of fifty clients", interval=0.5)
    states = {state for state, *_rest in many_tenants.ask("calls", SLOW).values()}
    assert "UPLOADED" not in states  # They did not wait for it.
    check(many_tenants, "one CRM takes 30 s: the 50 others", clients=OTHERS)

    many_tenants.order("delay", side="crm", part="call/event", seconds=30, client=SLOW)
    for _ring in range(3):
        many_tenants.play("ring", client=SLOW)
    session = many_tenants.play("ring", client=OTHERS[0])["session"]
    shown = f"uis-{session}"
    many_tenants.wait_for(
        lambda: shown in str(many_tenants.state(OTHERS[0])["crm"]["popups"]), "the pop-up of another client"
    )

    many_tenants.order("repair")
    many_tenants.pass_time(minutes=6)
    many_tenants.wait_for(lambda: many_tenants.ask("consecutive_failures", SLOW)[1] == 0, "the next probe")
    many_tenants.pass_time(minutes=4)
    check(many_tenants, "one CRM takes 30 s: the slow one, after the repair", clients=[SLOW])
