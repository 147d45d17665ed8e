"""Vendors away for hours, points used up, keys revoked: everything waits, nothing is burnt, and all of it arrives."""

import pytest

from tests.processes.accounting import check

# One kind of database is enough: what is tried here are the vendors.
pytestmark = [pytest.mark.processes, pytest.mark.parametrize("installation", ["redis"], indirect=True)]

HOUR = 60.0
LONGEST_REST = 6.0  # a vendor that is away is left alone for five minutes at most
DOWN = ("503", "timeout", "html")


def asked(plant, side, what):
    by = plant.state()[side]["requests"]["by"]
    return sum(count for name, count in by.items() if what in name)


def fall(plant, side, kind):
    """Put a side out of order in another way than before."""
    plant.order("repair")
    if kind == "cut":  # It is all carried out, and nobody hears so.
        plant.order("cut", side=side)
    else:
        plant.order("break", side=side, kind=kind)


def let_hours_pass(plant, side, what, *, kinds):
    """Let a side be away for an hour in each of these ways, while calls come in; it is looked at all the time."""
    for kind in kinds:
        fall(plant, side, kind)
        before = asked(plant, side, what)
        plant.order("traffic", clients=[0])
        plant.pass_time(minutes=LONGEST_REST)
        plant.wait_for(lambda before=before: asked(plant, side, what) > before, f"a try while {side} has {kind}")
        plant.pass_time(minutes=HOUR - LONGEST_REST)


def come_back(plant):
    """Mend the vendors: when the next look finds them there, all that waited goes on."""
    plant.order("repair")
    plant.pass_time(minutes=LONGEST_REST)
    plant.wait_for(lambda: plant.ask("consecutive_failures", 0) == [0, 0], "the next look")
    plant.pass_time(minutes=1)


def test_crm_away_for_hours(plant):
    let_hours_pass(plant, "crm", "calls/upload", kinds=[*DOWN, "cut"])
    come_back(plant)
    check(plant, "CRM away 4 h: 503, time-outs, HTML, cut after accepting")


def test_uis_away_for_hours(plant):
    let_hours_pass(plant, "uis", "call_legs_report", kinds=[*DOWN, "cut"])
    come_back(plant)
    check(plant, "UIS away 4 h: 503, time-outs, HTML, cut after accepting")


def test_both_away_for_hours(plant):
    for side in ("uis", "crm"):
        plant.order("break", side=side, kind="503")
    plant.order("traffic", clients=[0], times=2)
    for _hour in range(3):
        plant.pass_time(minutes=HOUR)
    come_back(plant)
    check(plant, "both away 3 h")


def test_notifications_held_back_for_an_hour(plant):
    """UIS's list tells of the calls first; what the notifications say an hour later changes nothing."""
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
    """The minute's points, then the day's: what needs none goes on, the rest waits for as long as UIS says."""
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


@pytest.mark.parametrize(("side", "code"), [("crm", "key"), ("uis", "access_token_blocked")])
def test_key_revoked_in_the_middle(plant, side, code):
    """The connection is paused and says why, nothing knocks but the probe, and all goes on from where it stood."""
    with plant.traffic(clients=[0], times=3, pause=0.1):
        plant.order("revoke", side=side)
    plant.wait_for(lambda: code in plant.ask("doors", 0), "the connection to be paused")
    plant.order("traffic", clients=[0])
    plant.pass_time(minutes=HOUR)
    knocks = asked(plant, side, "")
    for _hour in range(3):
        plant.pass_time(minutes=HOUR)
    assert asked(plant, side, "") - knocks <= 5
    assert {stopped for *_rest, stopped in plant.ask("calls", 0).values()} == {""}
    plant.order("restore", side=side)
    plant.ask("run", "crm.probe_all" if side == "crm" else "telephony.probe_all")
    plant.wait_for(lambda: plant.ask("doors", 0) == ["", ""], "the connection to be open")
    plant.pass_time(minutes=5)
    check(plant, f"key of {side} revoked in the middle, back after 4 h")
