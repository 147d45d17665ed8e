"""Vendors unavailable for hours, API points exhausted, keys revoked: everything waits, and all of it arrives."""

import pytest

from tests.processes.accounting import check

# One database is enough: these tests are about the vendors.
pytestmark = [pytest.mark.processes, pytest.mark.parametrize("installation", ["redis"], indirect=True)]

HOUR = 60.0
LONGEST_REST = 6.0  # the circuit breaker waits five minutes at most
DOWN = ("503", "timeout", "html")


def asked(plant, side, what):
    by = plant.state()[side]["requests"]["by"]
    return sum(count for name, count in by.items() if what in name)


def fall(plant, side, kind):
    """Let a vendor fail in another way than before."""
    plant.order("repair")
    if kind == "cut":  # The request is carried out, but its answer is lost.
        plant.order("cut", side=side)
    else:
        plant.order("break", side=side, kind=kind)


def let_hours_pass(plant, side, what, *, kinds):
    """Let a vendor be unavailable for an hour in each of these ways, while calls come in."""
    for kind in kinds:
        fall(plant, side, kind)
        before = asked(plant, side, what)
        plant.order("traffic", clients=[0])
        plant.pass_time(minutes=LONGEST_REST)
        plant.wait_for(lambda before=before: asked(plant, side, what) > before, f"a try while {side} has {kind}")
        plant.pass_time(minutes=HOUR - LONGEST_REST)


def come_back(plant):
    """Repair the vendors: after the next successful probe everything that waited continues."""
    plant.order("repair")
    plant.pass_time(minutes=LONGEST_REST)
    plant.wait_for(lambda: plant.ask("consecutive_failures", 0) == [0, 0], "the next probe")
    plant.pass_time(minutes=1)


def test_crm_away_for_hours(plant):
    let_hours_pass(plant, "crm", "calls/upload", kinds=[*DOWN, "cut"])
    come_back(plant)
    check(plant, "CRM away 4 h: 503, time-outs, HTML, cut after accepting")


@pytest.mark.slow
def test_uis_away_for_hours(plant):
    let_hours_pass(plant, "uis", "call_legs_report", kinds=[*DOWN, "cut"])
    come_back(plant)
    check(plant, "UIS away 4 h: 503, time-outs, HTML, cut after accepting")


@pytest.mark.slow
def test_both_away_for_hours(plant):
    for side in ("uis", "crm"):
        plant.order("break", side=side, kind="503")
    plant.order("traffic", clients=[0], times=2)
    for _hour in range(3):
        plant.pass_time(minutes=HOUR)
    come_back(plant)
    check(plant, "both away 3 h")


def test_notifications_held_back_for_an_hour(plant):
    """UIS's report has the calls first; the notifications an hour later change nothing."""
    plant.order("notices", do="hold")
    plant.order("traffic", clients=[0], times=2)
    plant.turn_clock(minutes=LONGEST_REST)
    plant.ask("run", "telephony.reconcile_all")
    plant.until(lambda state: len(state["crm"]["calls"]) == 8, "all calls in the CRM")
    plant.turn_clock(minutes=HOUR)
    late = plant.order("notices", do="send")["sent_late"]
    assert (set(late), len(late) > 8) == ({200}, True)
    assert not any(event["type"] == "in" for event in plant.state()["crm"]["events"])
    check(plant, "notifications held back for an hour")


def test_points_used_up(plant):
    """The points of the minute, then of the day: what needs none continues, the rest waits as long as UIS says."""
    plant.order("points", minute=0)
    plant.order("traffic", clients=[0])
    plant.until(lambda state: len(state["crm"]["calls"]) == 1, "the missed call, which needs no points")
    plant.order("points", day=0)
    plant.pass_time(minutes=2)
    plant.order("traffic", clients=[0])
    plant.until(lambda state: len(state["crm"]["calls"]) == 2, "the second missed call")
    burnt = plant.state()["uis"]["requests"]["refused"]
    plant.pass_time(minutes=10)
    plant.order("points")
    plant.pass_time(minutes=24 * HOUR)
    check(plant, "points used up: of the minute, of the day")
    assert burnt <= 6


@pytest.mark.parametrize(
    ("side", "code"), [("crm", "key"), pytest.param("uis", "access_token_blocked", marks=pytest.mark.slow)]
)
def test_key_revoked_in_the_middle(plant, side, code):
    """The connection is suspended with its code, only probes are sent, and then everything continues."""
    with plant.traffic(clients=[0], times=3, pause=0.1):
        plant.order("revoke", side=side)
    plant.wait_for(lambda: code in plant.ask("doors", 0), "the connection to be paused")
    plant.order("traffic", clients=[0])
    plant.pass_time(minutes=HOUR)
    before = asked(plant, side, "")
    for _hour in range(3):
        plant.pass_time(minutes=HOUR)
    assert asked(plant, side, "") - before <= 5
    assert {stopped for *_rest, stopped in plant.ask("calls", 0).values()} == {""}
    plant.order("restore", side=side)
    plant.ask("run", "crm.probe_all" if side == "crm" else "telephony.probe_all")
    plant.wait_for(lambda: plant.ask("doors", 0) == ["", ""], "the connection to be open")
    plant.pass_time(minutes=5)
    check(plant, f"key of {side} revoked in the middle, back after 4 h")
