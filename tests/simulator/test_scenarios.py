"""Each scene reaches the connector through its public door, and what follows shows in the simulator's state."""

import pytest

from telephony.models import Notification
from tests.simulator import scenarios
from tests.simulator.fixtures import IVAN, PETR, Wrong
from tests.simulator.state import state


def users_with_cards(world):
    return sorted(state(world)["crm"]["cards"])


def history(world):
    return [(call["type"], call["result"], call["manager"]) for call in state(world)["crm"]["calls"]]


def test_ring_answer_and_end_open_and_close_cards(world, play):
    play("ring")
    assert users_with_cards(world) == ["27", "28"]
    play("answer", employee=PETR)
    assert users_with_cards(world) == ["28"]
    play("end")
    assert users_with_cards(world) == []
    assert history(world) == [("in", "answered", 28)]


@pytest.mark.parametrize("form", ["flat", "nested", "query"])
def test_ringing_plays_the_whole_call_in_every_form(world, play, form):
    sent = play("ringing", pause=0, form=form)["sent"]
    assert {one["status"] for one in sent} == {200}
    assert history(world) == [("in", "answered", 28)]


def test_end_without_an_answer_is_a_missed_call(world, play):
    play("ring", employees=[IVAN])
    assert [one["event"] for one in play("end")["sent"]] == ["call_end", "lost_call"]
    assert history(world) == [("in", "no answer", 27)]


def test_missed_call_arrives(world, play):
    session = play("missed")["session"]
    assert [call["externalId"] for call in state(world)["crm"]["calls"]] == [f"uis-{session}"]
    assert history(world) == [("in", "no answer", 28)]


def test_call_of_days_ago_that_nobody_told_of_stands_in_uis_alone(world, play):
    session = play("missed", days_ago=3, events=[])["session"]
    began = world.pbx.sessions[session].started_at
    assert (history(world), (world.uis.now() - began).days) == ([], 3)


def test_answered_call_arrives_with_its_recording(world, play):
    play("answered", talk=42)
    call = state(world)["crm"]["calls"][0]
    assert (call["duration"], bool(call["recordUrl"]), call["manager"]) == (42, True, 27)


def test_answered_call_whose_report_is_late_waits(world, play):
    play("answered", visible_after=60, record_after=60, events=["call_end"])
    assert history(world) == []


def test_click_is_dialled_and_ends_in_the_history(world, play):
    phone = play("click", user=27)["phone"]
    assert [params["contact"] for params in state(world)["uis"]["dialled"]] == [phone.removeprefix("+")]
    play("dialled")
    assert users_with_cards(world) == ["27"]
    play("end", talk=20)
    assert history(world) == [("out", "answered", 27)]


def test_status_reaches_uis(world, play):
    play("status", user=27, status="dinner")
    assert state(world)["uis"]["employees"][0]["status"] == "break"


def test_sync_hires_on_both_sides(world, play):
    hired = play("sync")
    seen = state(world)
    assert hired["employee"] in [row["id"] for row in seen["uis"]["employees"]]
    assert hired["user"] in [row["id"] for row in seen["crm"]["users"]]


def test_broken_template_is_taken_and_unreadable(play):
    assert play("broken")["sent"] == [{"event": "broken template", "status": 200}]
    assert Notification.objects.get().outcome == Notification.Outcome.UNREADABLE


@pytest.mark.parametrize(
    "name", ["incoming", "waiting", "outgoing", "talk_started", "talk_finished", "call_end", "lost_call", "recorded"]
)
def test_single_event_plays_from_nothing(world, play, name):
    assert {one["status"] for one in play("event", event=name)["sent"]} == {200}
    assert not Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE).exists()


def test_single_events_in_order_are_one_call(play):
    names = ["incoming", "waiting", "talk_started", "talk_finished", "call_end", "recorded"]
    assert len({play("event", event=name)["session"] for name in names}) == 1


def test_lost_end_after_an_answered_call_is_a_new_call(world, play):
    answered = play("event", event="call_end")["session"]
    lost = play("event", event="call_end", is_lost=True)["session"]
    assert answered != lost
    assert [call["result"] for call in state(world)["crm"]["calls"]][-1] == "no answer"


@pytest.mark.parametrize(
    "asked",
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
def test_what_cannot_be_played_is_refused_with_a_sentence(world, asked):
    with pytest.raises(Wrong, match=r"\w+ \w+"):
        scenarios.play(world, asked, send=lambda *_request: (200, ""))
