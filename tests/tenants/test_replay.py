"""The replay is a function of facts and rules alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.decisions import Recording
from tenants.field_map.facts import Fact
from tenants.replay import (
    MAY_WAIT,
    NOBODY,
    NOT_ANSWERED,
    Asked,
    CallFacts,
    Outcome,
    Party,
    RingFacts,
    Version,
    compare,
    replay_call,
    replay_popup,
)
from tenants.rules import MissedOwner, Owner, Rules
from tenants.transfer_rules import RuleInput

ENDED = datetime(2026, 3, 10, 9, tzinfo=UTC)
IVAN, PETR = Party(employee=1, name="Ivan", code="101", user=27), Party(employee=2, name="Petr", code="102")
CALL = CallFacts(
    call=RuleInput(direction="in", is_answered=True, is_internal=False, contact="79990000001", number="74950000001"),
    is_lost=False,
    is_missed=False,
    ended_at=ENDED,
    decided_at=ENDED + timedelta(minutes=1),
    columns={"result": "ANSWERED"},
    facts={Fact.CONTACT: "+79990000001", Fact.NUMBER: "+74950000001", Fact.STORE: "main"},
    recording=Recording.READY,
    rung=(1, 2),
    owners={Owner.LAST_TALKER: IVAN, Owner.FIRST_TALKER: PETR, MissedOwner.LAST_RUNG: PETR},
)
MISSED = replace(
    CALL, call=replace(CALL.call, is_answered=False), is_lost=True, is_missed=True, recording=Recording.NONE
)
RING = RingFacts(call=CALL.call, has_answered=False, party=IVAN, facts=CALL.facts)


def version(**rules):
    found = Rules(**rules)
    return Version(found, found.rule_set(str))


def fields(call=CALL, **rules):
    return replay_call(call, version(**rules), salt="s").fields


def test_record_of_the_default_rules():
    assert fields() == {
        "result": "ANSWERED",
        "phone": "+79990000001",
        "external_phone": "+74950000001",
        "site": "main",
        "recording_url": "UIS",
        "code": "101",
        "user": "27",
    }


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"upload_answered": False}, "ANSWERED_OFF"),
        ({"number_filter": "EXCEPT", "numbers": ("74950000001",)}, "NUMBER"),
        ({"contact_filter": "EXCEPT", "contacts": ("7999*",)}, "CONTACT"),
        ({"employee_filter": "EXCEPT", "employees": (1,)}, "EMPLOYEE"),
        ({"employee_filter": "EXCEPT", "employees": (1,), "owner": "FIRST_TALKER"}, ""),
        ({"employee_filter": "EXCEPT", "employees": (2,), "owner": "FIRST_TALKER"}, "EMPLOYEE"),
    ],
)
def test_rule_that_skips(rules, reason):
    assert replay_call(CALL, version(**rules), salt="").skip_reason == reason


def test_fixed_reason_is_that_of_every_version():
    call = replace(CALL, fixed_reason="MANUAL")
    assert replay_call(call, version(), salt="") == Outcome(skip_reason="MANUAL")


def test_owner_of_a_missed_call():
    assert fields(MISSED)["code"] == "102"
    nobody = replace(MISSED, owners={**MISSED.owners, MissedOwner.NOBODY: NOBODY})
    assert "code" not in fields(nobody, missed_owner="NOBODY")
    assert replay_call(MISSED, version(missed_owner="RESPONSIBLE"), salt="").asked == Asked.CRM
    asked = replace(MISSED, owners={**MISSED.owners, MissedOwner.RESPONSIBLE: Party(user=99)})
    assert fields(asked, missed_owner="RESPONSIBLE")["user"] == "99"


def test_filter_of_employees_is_applied_before_the_crm_is_asked():
    rules = {"missed_owner": "RESPONSIBLE", "employee_filter": "EXCEPT", "employees": (2,)}
    assert replay_call(MISSED, version(**rules), salt="").skip_reason == "EMPLOYEE"


def test_whose_phones_rang_are_asked_where_nobody_owns_a_call():
    nobody = replace(MISSED, owners={MissedOwner.NOBODY: NOBODY})
    rules = {"missed_owner": "NOBODY", "employee_filter": "EXCEPT", "employees": (1,)}
    assert replay_call(nobody, version(**rules), salt="").skip_reason == "EMPLOYEE"


def test_call_of_which_uis_was_not_asked():
    call = replace(CALL, call=replace(CALL.call, is_internal=True), is_complete=False)
    assert replay_call(call, version(), salt="").skip_reason == "INTERNAL_OFF"
    assert replay_call(call, version(upload_internal=True), salt="").asked == Asked.UIS


@pytest.mark.parametrize(
    ("recording", "rules", "after", "link"),
    [
        (Recording.READY, {}, 1, "UIS"),
        (Recording.READY, {"recording_link": "OURS"}, 1, "OURS"),
        (Recording.READY, {"send_recording": False}, 1, None),
        (Recording.NONE, {}, 1, None),
        (Recording.TOO_LONG, {}, 1, "OURS"),
        (Recording.AWAITED, {}, 1, MAY_WAIT),
        (Recording.AWAITED, {}, 10, "OURS"),
        (Recording.AWAITED, {"recording_wait_minutes": 30}, 10, MAY_WAIT),
        (Recording.AWAITED, {"recording_link": "OURS"}, 1, "OURS"),
        (Recording.READY, {"recording_link": "OURS", "recording_days": 0}, 1, None),
        (Recording.READY, {"recording_days": 0}, 1, "UIS"),
    ],
)
def test_link_to_the_recording(recording, rules, after, link):
    call = replace(CALL, recording=recording, decided_at=ENDED + timedelta(minutes=after))
    assert fields(call, **rules).get("recording_url") == link


def test_our_link_of_an_upload_that_did_not_wait():
    call = replace(CALL, recording=Recording.AWAITED, is_early=True)
    assert fields(call)["recording_url"] == "OURS"
    assert "recording_url" not in fields(call, recording_days=0)
    assert fields(replace(call, has_kept_link=True), recording_days=0)["recording_url"] == "OURS"


def test_field_map_reads_the_employee_of_the_version():
    rows = [{"target": "upload.source.medium", "facts": ["employee"]}]
    assert fields(field_map=rows)["source.medium"] == "Ivan"
    assert fields(field_map=rows, owner="FIRST_TALKER")["source.medium"] == "Petr"


@pytest.mark.parametrize(
    ("choice", "own", "answered", "found"),
    [
        ("ON_RING", "", False, "ring"),
        ("ON_ANSWER", "", True, "answer"),
        ("ON_ANSWER", "", False, NOT_ANSWERED),
        ("OFF", "", True, "POPUP_OFF"),
        ("OFF", "ON_RING", False, "ring"),
        ("ON_RING", "OFF", False, "POPUP_OFF"),
    ],
)
def test_popup(choice, own, answered, found):
    ring = replace(RING, choice=own, has_answered=answered)
    outcome = replay_popup(ring, version(popup_incoming=choice))
    assert (outcome.fields.get("opens") or outcome.skip_reason) == found


def test_comparison_names_each_field():
    before, after = Outcome(fields={"a": "1", "b": "2"}), Outcome(fields={"a": "1", "c": "3"})
    found = compare(before, after)
    assert [tuple(change) for change in found.changes] == [("b", "2", ""), ("c", "", "3")]
    assert not found.is_same
    assert compare(before, after, without=["b", "c"]).is_same
    assert not compare(before, Outcome(skip_reason="NUMBER")).is_same
    assert compare(Outcome(skip_reason="NUMBER"), Outcome(skip_reason="NUMBER")).is_same


@given(
    draft=st.fixed_dictionaries(
        {
            "upload_answered": st.booleans(),
            "upload_missed": st.booleans(),
            "owner": st.sampled_from(list(Owner)[:2]),
            "missed_owner": st.sampled_from(MissedOwner),
            "recording_link": st.sampled_from(["UIS", "OURS"]),
            "send_recording": st.booleans(),
        }
    ),
    call=st.sampled_from([CALL, MISSED]),
    recording=st.sampled_from(Recording),
)
def test_replay_is_one_of_three_and_the_same_each_time(draft, call, recording):
    facts, rules = replace(call, recording=recording), version(**draft)
    outcome = replay_call(facts, rules, salt="")
    assert [bool(outcome.skip_reason), bool(outcome.asked), bool(outcome.fields)].count(True) == 1
    assert compare(outcome, replay_call(facts, rules, salt="")).is_same
