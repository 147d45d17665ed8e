"""Vendors unavailable for hours, API points exhausted, keys revoked: everything waits, and all of it arrives."""

import pytest

from tests.processes.accounting import check

# One database is enough: these tests are about the vendors.
pytestmark = [pytest.mark.processes, pytest.mark.parametrize("shared_installation", ["redis"], indirect=True)]

HOUR = 60.0
LONGEST_BACKOFF = 6.0  # the circuit breaker waits five minutes at most
DOWN = ("503", "timeout", "html")


def count_requests(installation, side, what):
    by = installation.state()[side]["requests"]["by"]
    return sum(count for name, count in by.items() if what in name)


def break_vendor(installation, side, kind):
    """Let a vendor fail in another way than before."""
    installation.order("repair")
    if kind == "cut":  # The request is carried out, but its answer is lost.
        installation.order("cut", side=side)
    else:
        installation.order("break", side=side, kind=kind)


def is_tried_again(installation, side, what, before):
    """Return whether the vendor got a new request of this kind; let the next back-off pass.

    Requests of other kinds share the back-off: each of them may be the one that finds the vendor still unavailable.
    """
    if count_requests(installation, side, what) > before:
        return True
    installation.pass_time(minutes=LONGEST_BACKOFF)
    return False


def let_hours_pass(installation, side, what, *, kinds):
    """Let a vendor be unavailable for an hour in each of these ways, while calls come in."""
    for kind in kinds:
        break_vendor(installation, side, kind)
        before = count_requests(installation, side, what)
        installation.order("traffic", clients=[0])
        installation.wait_for(
            lambda before=before: is_tried_again(installation, side, what, before),
            f"a try while {side} has {kind}",
            interval=2,
        )
        installation.pass_time(minutes=HOUR - LONGEST_BACKOFF)


def recover(installation):
    """Repair the vendors: after the next successful probe everything that waited continues."""
    installation.order("repair")
    installation.pass_time(minutes=LONGEST_BACKOFF)
    installation.wait_for(lambda: installation.ask("consecutive_failures", 0) == [0, 0], "the next probe")
    installation.pass_time(minutes=1)


def test_crm_unavailable_for_hours(installation):
    let_hours_pass(installation, "crm", "calls/upload", kinds=[*DOWN, "cut"])
    recover(installation)
    check(installation, "CRM unavailable 4 h: 503, time-outs, HTML, cut after accepting")


@pytest.mark.exhaustive
def test_uis_unavailable_for_hours(installation):
    let_hours_pass(installation, "uis", "call_legs_report", kinds=[*DOWN, "cut"])
    recover(installation)
    check(installation, "UIS unavailable 4 h: 503, time-outs, HTML, cut after accepting")


@pytest.mark.exhaustive
def test_both_vendors_unavailable_for_hours(installation):
    for side in ("uis", "crm"):
        installation.order("break", side=side, kind="503")
    installation.order("traffic", clients=[0], times=2)
    for _hour in range(3):
        installation.pass_time(minutes=HOUR)
    recover(installation)
    check(installation, "both unavailable 3 h")


def test_notifications_delayed_by_an_hour(installation):
    """UIS's report has the calls first; the notifications an hour later change nothing."""
    installation.order("notices", do="hold")
    installation.order("traffic", clients=[0], times=2)
    installation.turn_clock(minutes=LONGEST_BACKOFF)
    installation.ask("run", "telephony.reconcile_all")
    installation.until(lambda state: len(state["crm"]["calls"]) == 8, "all calls in the CRM")
    installation.turn_clock(minutes=HOUR)
    late = installation.order("notices", do="send")["sent_late"]
    assert (set(late), len(late) > 8) == ({200}, True)
    assert not any(event["type"] == "in" for event in installation.state()["crm"]["events"])
    check(installation, "notifications delayed by an hour")


def test_api_points_exhausted(installation):
    """The points of the minute, then of the day: work without points continues, other work waits as UIS states."""
    installation.order("points", minute=0)
    installation.order("traffic", clients=[0])
    installation.until(lambda state: len(state["crm"]["calls"]) == 1, "the missed call, which needs no points")
    installation.order("points", day=0)
    installation.pass_time(minutes=2)
    installation.order("traffic", clients=[0])
    installation.until(lambda state: len(state["crm"]["calls"]) == 2, "the second missed call")
    refused = installation.state()["uis"]["requests"]["refused"]
    installation.pass_time(minutes=10)
    # The refusal says how long to wait from now: the clock must not turn while a request is under way.
    installation.wait_for(lambda: installation.ask("count_claimed") == 0, "the workers to be idle")
    installation.order("points")
    installation.pass_time(minutes=24 * HOUR)
    check(installation, "API points exhausted: of the minute, of the day")
    assert refused <= 6


@pytest.mark.parametrize(
    ("side", "code"), [("crm", "key"), pytest.param("uis", "access_token_blocked", marks=pytest.mark.exhaustive)]
)
def test_key_revoked_during_traffic(installation, side, code):
    """The connection is suspended with its code, only probes are sent, and then everything continues."""
    with installation.traffic(clients=[0], times=3, pause=0.1):
        installation.order("revoke", side=side)
    installation.wait_for(lambda: code in installation.ask("denied_codes", 0), "the connection to be paused")
    installation.order("traffic", clients=[0])
    installation.pass_time(minutes=HOUR)
    before = count_requests(installation, side, "")
    for _hour in range(3):
        installation.pass_time(minutes=HOUR)
    assert count_requests(installation, side, "") - before <= 5
    assert {failed for *_rest, failed in installation.ask("calls", 0).values()} == {""}
    installation.order("restore", side=side)
    installation.ask("run", "crm.probe_all" if side == "crm" else "telephony.probe_all")
    installation.wait_for(lambda: installation.ask("denied_codes", 0) == ["", ""], "the connection to be open")
    installation.pass_time(minutes=5)
    check(installation, f"key of {side} revoked during traffic, back after 4 h")
