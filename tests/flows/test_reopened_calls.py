"""Skipped calls of which UIS tells more: they are resolved anew, and the rules are applied to what is known now."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from telephony import client_factory
from telephony.calls import manual, pipeline, reopen
from telephony.calls.sources import Sources
from telephony.models import Call, CallLogEntry, Notification
from telephony.recordings import stream
from tenants.models import Employee, VirtualNumber
from tenants.transfer_rules import SkipReason
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules, publish_rules_for_all

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

OTHER_CONTACT = "79990000009"


@dataclass(frozen=True)
class Story:
    """What is told first, by which the rule skips the call, and what is told then. Values replace those of UIS."""

    rules: dict[str, object]
    first: list[tuple[str, dict[str, object]]]
    then: list[tuple[str, dict[str, object]]]
    sent: dict[str, object] = field(default_factory=dict)
    is_answered: bool = True


LEFT_OUT = {
    "target": "upload.phone",
    "facts": ["contact"],
    "form": "leave_the_record_out",
    "subject": "number",
    "values": ["74950000002"],
}
LOST_IN_THE_MENU = ("lost_call", {"employee_ids": [], "wait_time_duration": 3})
STORIES = {
    SkipReason.MISSED_OFF: Story(
        {"upload_missed": False}, [LOST_IN_THE_MENU], [("talk_started", {}), ("call_end", {})]
    ),
    SkipReason.ANSWERED_OFF: Story(
        {"upload_answered": False}, [("call_end", {})], [("call_end", {"external_id": "click-7"})], {"type": "out"}
    ),
    SkipReason.OUTGOING_OFF: Story(
        {"upload_outgoing": False},
        [("outgoing", {}), ("call_end", {"direction": None})],
        [("call_end", {"direction": "in"})],
        {"type": "in"},
    ),
    SkipReason.INTERNAL_OFF: Story({}, [("call_end", {"contact_phone_number": "102"})], [("call_end", {})]),
    SkipReason.HIDDEN_NUMBER: Story(
        {}, [("call_end", {"contact_phone_number": "anonymous"})], [("call_end", {})], is_answered=False
    ),
    SkipReason.NUMBER: Story(
        {"number_filter": "ONLY"},
        [("call_end", {"virtual_phone_number": "74950000002"})],
        [("call_end", {})],
        is_answered=False,
    ),
    SkipReason.EMPLOYEE: Story(
        {"employee_filter": "ONLY"},
        [("lost_call", {"employee_ids": []})],
        [("waiting", {})],
        {"code": "102"},
        is_answered=False,
    ),
    SkipReason.CONTACT: Story(
        {"contact_filter": "EXCEPT", "contacts": OTHER_CONTACT},
        [("call_end", {"contact_phone_number": OTHER_CONTACT})],
        [("call_end", {})],
        is_answered=False,
    ),
    SkipReason.FIELD_MAP: Story(
        {"field_map": [LEFT_OUT]},
        [("call_end", {"virtual_phone_number": "74950000002"})],
        [("call_end", {})],
        is_answered=False,
    ),
    SkipReason.EXPIRED: Story(
        {}, [("call_end", {"start_time": "2001-01-01 10:00:00", "notification_time": None})], [("call_end", {})]
    ),
}
BY_REASON = pytest.mark.parametrize(("reason", "story"), STORIES.items(), ids=lambda value: str(value)[:20])


@pytest.fixture
def told(tenant, pbx, notify):
    """Return what plays a story: a function that sends these notifications of one call."""
    publish_rules(tenant, numbers=[VirtualNumber.objects.get(number=NUMBER)])
    publish_rules(tenant, employees=[Employee.objects.get(uis_id=PETR)])
    began = timezone.now() - timedelta(seconds=40)

    def play(story):
        publish_rules(tenant, **story.rules)
        talks = [(PETR, 30)] if story.is_answered else []
        call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN, PETR], talks=talks)
        ends = iter(range(100))

        def body(event, values):
            answered = call.notification("call_end") if event == "lost_call" and story.is_answered else None
            employee_id = PETR if event in {"waiting", "talk_started", "outgoing"} else None
            base = answered or call.notification(event, employee_id=employee_id)
            lost = (
                {"event": event, "is_lost": True, "talk_time_duration": 0, "total_time_duration": None}
                if answered
                else {}
            )
            stamp = call.account.stamp(call.ended_at + timedelta(seconds=next(ends)))
            return {**base, **lost, **({"notification_time": stamp} if event == "call_end" else {}), **values}

        return lambda events, **more: notify(*[body(event, values | more) for event, values in events])

    return play


def skip_reasons():
    return list(Call.objects.values_list("state", "skip_reason"))


def test_every_rule_has_a_story():
    by_people = {SkipReason.MANUAL, SkipReason.NOT_IMPORTED, SkipReason.ERASED}  # test_import_choice has imports
    assert set(STORIES) == set(SkipReason) - by_people - {SkipReason.POPUP_OFF}


@BY_REASON
def test_skipped_call_of_which_more_is_told_is_uploaded(told, crm, later, stranger, reason, story):
    tell = told(story)
    tell(story.first)
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", reason)], [])
    tell(story.then)
    later(timedelta(minutes=1))
    later(timedelta(minutes=1))
    (sent,) = crm.calls
    assert sent["result"] == ("answered" if story.is_answered else "no answer")
    assert {name: sent[name] for name in story.sent} == story.sent
    assert skip_reasons() == [("UPLOADED", "")]
    assert CallLogEntry.objects.filter(step="REOPENED").count() == 1


def test_skipped_call_of_which_a_request_for_its_recording_tells_a_talk_is_uploaded(told, crm, later, stranger):
    """UIS's answer joins the evidence: reconciliation would take the call for decided on it."""
    told(STORIES[SkipReason.MISSED_OFF])(STORIES[SkipReason.MISSED_OFF].first)
    assert stream.refresh_from_uis(Call.objects.with_related().get(), now=timezone.now())
    later(timedelta(minutes=1))
    assert ([sent["result"] for sent in crm.calls], skip_reasons()) == (["answered"], [("UPLOADED", "")])


def test_miss_that_waits_for_the_crm_is_decided_again_by_better_facts(told, crm, later, tenant):
    """By what is known now a rule skips it: the CRM must not get it when it is back."""
    story = STORIES[SkipReason.CONTACT]
    tell = told(story)
    tenant.crm.record_failure(wait=900, is_live=True, now=timezone.now())
    tell([("call_end", {})])
    later(timedelta(seconds=10))
    assert skip_reasons() == [("READY", "")]
    tell([("call_end", {})], notification_name="again")
    assert skip_reasons() == [("READY", "")], "Nothing new."
    tell([("call_end", {"contact_phone_number": OTHER_CONTACT})])
    for _minute in range(20):
        later(timedelta(minutes=1))
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", SkipReason.CONTACT)], [])


@BY_REASON
def test_event_that_changes_nothing_leaves_a_call_skipped(told, crm, later, uis_world, reason, story):
    tell = told(story)
    tell(story.first)
    uis_world.requests.clear()
    for name in ("again", "and again"):
        tell(story.first, notification_name=name)
        later(timedelta(minutes=1))
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", reason)], [])
    assert (CallLogEntry.objects.filter(step="REOPENED").count(), uis_world.requests) == (0, [])


@BY_REASON
def test_changed_rules_alone_reopen_no_call(told, crm, tenant, reason, story):
    tell = told(story)
    tell(story.first)
    everything = {"upload_internal": True, "number_filter": "ALL", "employee_filter": "ALL", "contact_filter": "ALL"}
    everything |= {"upload_missed": True, "upload_answered": True, "upload_outgoing": True}
    publish_rules(tenant, **everything)
    tell(story.first, notification_name="again")
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", reason)], [])


@BY_REASON
def test_what_a_person_skipped_stays_skipped(told, crm, later, monkeypatch, tenant, reason, story):
    type(tenant).objects.update(is_paused=True)
    publish_rules_for_all(upload_internal=True)
    monkeypatch.setattr(pipeline, "OWNER_INDEPENDENT_REASONS", set())
    tell = told(Story({}, story.first, story.then, is_answered=story.is_answered))
    tell(story.first)
    Call.objects.update(state="READY", claim_token=None, skip_reason="")
    assert manual.skip(Call.objects.get(), "a test", now=timezone.now())
    type(tenant).objects.update(is_paused=False)
    tell(story.then)
    later(timedelta(minutes=1))
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", SkipReason.MANUAL)], [])


def test_better_facts_may_give_another_reason(told, crm, later):
    tell = told(Story({"upload_missed": False}, [], [], is_answered=False))
    tell([("call_end", {"contact_phone_number": "102"})])
    assert skip_reasons() == [("SKIPPED", SkipReason.INTERNAL_OFF)]
    tell([("call_end", {})])
    later(timedelta(minutes=1))
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", SkipReason.MISSED_OFF)], [])
    assert Call.objects.get().contact == CONTACT


def test_talk_told_while_the_miss_is_being_evaluated_is_not_lost(told, crm, later, monkeypatch):
    """The worker has read the evidence when the talk is told: its outcome is about less than is known."""
    story = STORIES[SkipReason.HIDDEN_NUMBER]
    tell = told(Story({}, story.first, story.then, is_answered=False))
    finish, meanwhile = pipeline.steps.finish, iter([lambda: tell(story.then)])

    def told_meanwhile(*args, **values):
        for tell_more in meanwhile:
            tell_more()
        return finish(*args, **values)

    monkeypatch.setattr(pipeline.steps, "finish", told_meanwhile)
    tell(story.first)
    later(timedelta(minutes=1))
    assert [sent["phone"] for sent in crm.calls] == [f"+{CONTACT}"]


def test_phone_that_rings_after_the_menus_end_reopens_a_skipped_miss(told, crm, later, pbx):
    tell = told(Story({"upload_missed": False}, [], []))
    session = next(iter(pbx.sessions.values()))
    tell([LOST_IN_THE_MENU])
    assert skip_reasons() == [("SKIPPED", SkipReason.MISSED_OFF)]
    ring = session.account.stamp(session.ended_at + timedelta(seconds=9))
    tell([("waiting", {"notification_time": ring})])
    assert skip_reasons() == [("FETCHING_LEGS", "")]
    assert not Notification.objects.filter(outcome="UNREADABLE").exists()


def reopen_by_report(tenant):
    """Compare the call with its row of UIS's report."""
    now, tenant = timezone.now(), type(tenant).objects.get(pk=tenant.pk)  # with the present rules
    (row,) = client_factory.uis_client(tenant.uis).calls(since=now - timedelta(hours=1), till=now)
    with transaction.atomic():
        call = Call.objects.locked(tenant, row.session_id)
        known = Sources.load(tenant, [row.session_id])
        return reopen.reopen_on_report(call, row, known, now=now)


@pytest.mark.parametrize("reason", sorted(set(STORIES) - {SkipReason.ANSWERED_OFF}))
def test_report_that_tells_more_reopens_a_skipped_call_once(told, crm, later, tenant, stranger, reason):
    story = STORIES[reason]
    told(story)(story.first)
    assert reopen_by_report(tenant)
    later(timedelta(minutes=1))
    later(timedelta(minutes=1))
    assert [sent["result"] for sent in crm.calls] == ["answered" if story.is_answered else "no answer"]
    assert not reopen_by_report(tenant)
    assert CallLogEntry.objects.filter(step="REOPENED").count() == 1


def test_report_that_tells_the_same_reopens_nothing(told, crm, tenant):
    tell = told(Story({"upload_missed": False}, [], [], is_answered=False))
    tell([("lost_call", {})])
    publish_rules_for_all(upload_missed=True)
    assert [reopen_by_report(tenant), reopen_by_report(tenant)] == [False, False]
    assert (skip_reasons(), crm.calls) == ([("SKIPPED", SkipReason.MISSED_OFF)], [])


def test_report_that_tells_of_a_talk_notes_an_uploaded_miss_once(told, crm, tenant):
    told(Story({}, [], []))([LOST_IN_THE_MENU])
    assert [sent["result"] for sent in crm.calls] == ["no answer"]
    assert [reopen_by_report(tenant), reopen_by_report(tenant)] == [True, False]
    assert CallLogEntry.objects.filter(step="LATE_ANSWER").count() == 1


def test_report_leaves_alone_what_a_person_skipped(told, crm, tenant):
    story = STORIES[SkipReason.MISSED_OFF]
    told(story)(story.first)
    Call.objects.update(skip_reason=SkipReason.MANUAL)
    assert not reopen_by_report(tenant)
