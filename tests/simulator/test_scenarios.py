"""Each scene reaches the connector over HTTP, and its result shows in the simulator's state."""

import pytest

from telephony.models import Notification
from tests.simulator import scenarios
from tests.simulator.fixtures import IVAN, PETR, BadRequest
from tests.simulator.state import state


def users_with_popups(simulated):
    return sorted(state(simulated)["crm"]["popups"])


def history(simulated):
    return [(call["type"], call["result"], call["manager"]) for call in state(simulated)["crm"]["calls"]]


def test_ring_answer_and_end_open_and_close_popups(simulated, play):
    play("ring")
    assert users_with_popups(simulated) == ["27", "28"]
    play("answer", employee=PETR)
    assert users_with_popups(simulated) == ["28"]
    play("end")
    assert users_with_popups(simulated) == []
    assert history(simulated) == [("in", "answered", 28)]


@pytest.mark.parametrize("form", ["flat", "nested", "query"])
def test_ringing_plays_the_whole_call_in_every_form(simulated, play, form):
    sent = play("ringing", pause=0, form=form)["sent"]
    assert {one["status"] for one in sent} == {200}
    assert history(simulated) == [("in", "answered", 28)]


def test_end_without_an_answer_is_a_missed_call(simulated, play):
    play("ring", employees=[IVAN])
    assert [one["event"] for one in play("end")["sent"]] == ["call_end", "lost_call"]
    assert history(simulated) == [("in", "no answer", 27)]


def test_missed_call_arrives(simulated, play):
    session = play("missed")["session"]
    assert [call["externalId"] for call in state(simulated)["crm"]["calls"]] == [f"uis-{session}"]
    assert history(simulated) == [("in", "no answer", 28)]


def test_past_call_without_notifications_is_in_uis_only(simulated, play):
    session = play("missed", days_ago=3, events=[])["session"]
    started_at = simulated.pbx.sessions[session].started_at
    assert (history(simulated), (simulated.uis.now() - started_at).days) == ([], 3)


def test_answered_call_arrives_with_its_recording(simulated, play):
    play("answered", talk=42)
    call = state(simulated)["crm"]["calls"][0]
    assert (call["duration"], bool(call["recordUrl"]), call["manager"]) == (42, True, 27)


def test_answered_call_whose_report_is_late_waits(simulated, play):
    play("answered", visible_after=60, record_after=60, events=["call_end"])
    assert history(simulated) == []


def test_click_is_dialled_and_ends_in_the_history(simulated, play):
    phone = play("click", user=27)["phone"]
    assert [params["contact"] for params in state(simulated)["uis"]["dialled"]] == [phone.removeprefix("+")]
    play("dialled")
    assert users_with_popups(simulated) == ["27"]
    play("end", talk=20)
    assert history(simulated) == [("out", "answered", 27)]


def test_status_reaches_uis(simulated, play):
    play("status", user=27, status="dinner")
    assert state(simulated)["uis"]["employees"][0]["status"] == "break"


def test_sync_adds_an_employee_in_both_systems(simulated, play):
    added = play("sync")
    shown = state(simulated)
    assert added["employee"] in [row["id"] for row in shown["uis"]["employees"]]
    assert added["user"] in [row["id"] for row in shown["crm"]["users"]]


def test_broken_template_is_accepted_and_unreadable(play):
    assert play("broken")["sent"] == [{"event": "broken template", "status": 200}]
    assert Notification.objects.get().outcome == Notification.Outcome.UNREADABLE


@pytest.mark.parametrize(
    "name", ["incoming", "waiting", "outgoing", "talk_started", "talk_finished", "call_end", "lost_call", "recorded"]
)
def test_single_event_creates_its_call(simulated, play, name):
    assert {one["status"] for one in play("event", event=name)["sent"]} == {200}
    assert not Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE).exists()


def test_single_events_in_order_are_one_call(play):
    names = ["incoming", "waiting", "talk_started", "talk_finished", "call_end", "recorded"]
    assert len({play("event", event=name)["session"] for name in names}) == 1


def test_lost_end_after_an_answered_call_is_a_new_call(simulated, play):
    answered = play("event", event="call_end")["session"]
    lost = play("event", event="call_end", is_lost=True)["session"]
    assert answered != lost
    assert [call["result"] for call in state(simulated)["crm"]["calls"]][-1] == "no answer"


@pytest.mark.parametrize(
    "params",
    [
        {"scene": "dance"},
        {"scene": "ring", "form": "morse"},
        {"scene": "ring", "employees": [1]},
        {"scene": "answer"},
        {"scene": "event", "event": "dance"},
        {"scene": "dialled"},
        {"scene": "status", "status": "asleep"},
        {"scene": "click"},
        {"scene": "answered", "talk": "long"},
    ],
)
def test_invalid_scene_is_rejected_with_a_message(simulated, params):
    with pytest.raises(BadRequest, match=r"\w+ \w+"):
        scenarios.play(simulated, params, send=lambda *_request: (200, ""))
