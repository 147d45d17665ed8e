"""A preview replays a draft on stored calls: counts, samples, progress, and the second yes when it is published."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from connector_project.core import jobs
from connector_project.operations import replays, rule_previews, rule_publishing
from connector_project.operations.erasure import run as erasure
from connector_project.operations.models import RulePreview
from telephony.models import AccessLogEntry, Call
from tenants import rule_versions
from tenants.models import RuleDraft, RuleVersion
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import draft_of, publish_rules
from tests.users import create_user

State = RulePreview.State


@pytest.fixture
def missed(pbx, notify):
    """Play missed calls of one caller each; Ivan's phone rings."""

    def play(count=1, *, first=0, rings=(IVAN,)):
        for number in range(first, first + count):
            call = pbx.call(contact=f"7999500{number:04d}", number=NUMBER, rings=list(rings))
            ring = call.notification("waiting", employee_id=rings[-1], at=timezone.now())
            notify(ring, call.notification("lost_call"))

    return play


@pytest.fixture
def answered(pbx, notify):
    def play(count=1, **more):
        for number in range(count):
            fields = {"contact": f"7999600{number:04d}", "number": NUMBER, "talks": [(IVAN, 20)]} | more
            notify(pbx.call(**fields).notification("call_end"))

    return play


@pytest.fixture
def draft(tenant):
    """Change the draft of the client as their page does, and return it."""

    def change(**values):
        RuleDraft.objects.filter(tenant=tenant).update(**values)
        found = draft_of(tenant)
        found.tenant = type(tenant).objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)
        return found

    return change


@pytest.fixture
def requests_sent(request):
    """Return what counts the requests to both vendors."""
    wire = request.getfixturevalue("_wire")
    return lambda: len(wire.calls)


def today(tenant):
    return rule_previews.yesterday(tenant, now=timezone.now()) + timedelta(days=1)


def start(draft, *, by=None, **days):
    day = today(draft.tenant)
    found = {"first": day - timedelta(days=1), "last": day, "seen": rule_versions.stamp(draft)} | days
    return rule_previews.start(draft, **found, by=by, now=timezone.now())


def preview(draft, **days):
    """Preview a draft, and return the finished row."""
    row = start(draft, **days)
    task_queue.drain()
    row.refresh_from_db()
    assert row.state == State.DONE
    return row


def counts(row, name="call"):
    return {code: count for code, count in row.result[name]["counts"].items() if count}


# --- results


def test_draft_that_skips_missed_calls(missed, answered, draft, tenant, requests_sent):
    missed(3)
    answered(2)
    sent = requests_sent()
    row = preview(draft(upload_missed=False))
    assert counts(row) == {"decided": 5, "same": 2, "skipped": 3, "skipped_after": 3}
    assert row.result["call"]["skipped_by"] == {"MISSED_OFF": 3}
    assert counts(row, "popup") == {"decided": 3, "same": 3}
    assert {kind for kind, _pk in row.result["samples"]} == {"call"}
    assert {pk for _kind, pk in row.result["samples"]} == {call.pk for call in Call.objects.filter(is_lost=True)}
    assert requests_sent() == sent
    assert (row.done, row.total, row.percent) == (8, 8, 100)


def test_draft_that_sends_what_was_skipped(missed, draft, tenant):
    publish_rules(tenant, upload_missed=False, popup_incoming="OFF")
    missed(2)
    row = preview(draft(upload_missed=True, popup_incoming="ON_RING"))
    assert counts(row) == {"decided": 2, "sent": 2, "skipped_before": 2}
    assert counts(row, "popup") == {"decided": 2, "sent": 2, "skipped_before": 2}


def test_draft_with_another_owner_resolves_it_from_stored_evidence(answered, draft, tenant):
    answered(2, talks=[(IVAN, 20), (PETR, 5)])
    row = preview(draft(owner="FIRST_TALKER"))
    assert row.result["call"]["fields"] == {"code": 2, "user": 2}
    row = preview(draft(owner="LONGEST_TALKER"))
    assert row.result["call"]["fields"] == {"code": 2, "user": 2}
    assert counts(preview(draft(owner="LAST_TALKER"))) == {"decided": 2, "same": 2}


def test_manager_whom_the_crm_was_not_asked_for(missed, draft, tenant, requests_sent):
    missed(2)
    sent = requests_sent()
    row = preview(draft(missed_owner="RESPONSIBLE"))
    assert row.result["call"]["asked"] == {"CRM": 2}
    assert counts(row) == {"decided": 2}
    assert requests_sent() == sent


def test_field_map_and_recording_link_of_a_draft(answered, draft, tenant):
    answered(1, recorded=True)
    rows = [{"target": "upload.source.source", "facts": ["constant"], "constant": "phone"}]
    row = preview(draft(field_map=rows, recording_link="OURS"))
    assert row.result["call"]["fields"] == {"recording_url": 1, "source.source": 1}


def test_call_on_its_way_is_undecided_and_an_erased_one_is_gone(missed, draft, tenant, crm_world, run_queue):
    missed(2)
    crm_world.break_down("503")
    missed(1, first=5)
    first = Call.objects.order_by("pk")[0]
    erasure.run(erasure.start(tenant, first.contact, now=timezone.now()).pk, now=timezone.now())
    row = preview(draft(upload_missed=False))
    assert counts(row) == {"decided": 1, "gone": 1, "skipped": 1, "skipped_after": 1, "undecided": 1}
    assert counts(row, "popup")["gone"] == 1


def test_days_are_those_of_the_client(missed, draft, tenant):
    missed(1)
    row = preview(draft(upload_missed=False), last=today(tenant) - timedelta(days=1))
    assert (counts(row), row.total) == ({}, 0)


def test_another_clients_calls_are_not_replayed(missed, draft, tenant, twin, client, twin_pbx, run_queue):
    call = twin_pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    client.post(f"/hooks/uis/{twin.uis.hook}/", call.notification("lost_call"), content_type="application/json")
    run_queue()
    assert (counts(preview(draft(upload_missed=False))), Call.objects.count()) == ({}, 1)


# --- the job


def test_killed_worker_repeats_no_portion(missed, draft, tenant, monkeypatch):
    monkeypatch.setattr(replays, "PORTION", 2)
    monkeypatch.setattr(replays.load_portion, "__kwdefaults__", {"after": None, "size": 2})
    missed(5)
    row = start(draft(upload_missed=False))
    real, calls = rule_previews.preview_counts.add, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(rule_previews.preview_counts, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        task_queue.drain()
    row.refresh_from_db()
    assert (row.done, row.state, row.claim_token is not None) == (2, State.RUNNING, True)
    RulePreview.objects.update(next_attempt_at=timezone.now() - jobs.LEASE)
    task_queue.sweep()
    row.refresh_from_db()
    assert (row.state, counts(row)["skipped"], row.done, row.total) == (State.DONE, 5, 10, 10)


def test_preview_that_breaks_each_time_is_given_up(missed, draft, tenant):
    missed(1)
    row = start(draft(upload_missed=False))
    RulePreview.objects.update(lost_leases=jobs.MAX_LOST_LEASES)
    task_queue.drain()
    row.refresh_from_db()
    assert (row.state, row.is_active) == (State.FAILED, False)


def test_cancelled_preview_stops(missed, draft, tenant):
    missed(1)
    row = start(draft(upload_missed=False))
    assert rule_previews.cancel(row, now=timezone.now())
    task_queue.drain()
    row.refresh_from_db()
    assert (row.state, row.done, row.result) == (State.CANCELLED, 0, {})
    assert not rule_previews.cancel(row, now=timezone.now())


def test_preview_is_deleted_a_week_after_its_end(missed, draft, tenant):
    row = preview(draft(upload_missed=False))
    now = timezone.now()
    assert rule_previews.delete_old(now=now + timedelta(days=6)) == 0
    assert rule_previews.delete_old(now=now + timedelta(days=8)) == 1
    assert not RulePreview.objects.filter(pk=row.pk).exists()


def test_too_many_calls_are_refused_with_a_sentence(missed, draft, tenant, monkeypatch):
    missed(2)
    monkeypatch.setattr(rule_previews, "MOST_CALLS", 1)
    with pytest.raises(ValidationError):
        start(draft(upload_missed=False))
    assert not RulePreview.objects.exists()


def test_second_preview_of_a_client_waits_for_the_first(missed, draft, tenant):
    missed(1)
    first = start(draft(upload_missed=False))
    with pytest.raises(ValidationError):
        start(draft(upload_missed=False))
    assert rule_previews.cancel(first, now=timezone.now())
    assert start(draft(upload_missed=False)).pk != first.pk


def test_draft_that_somebody_has_changed_is_refused(draft, tenant):
    row = draft(upload_missed=False)
    seen = rule_versions.stamp(row)
    with pytest.raises(ValidationError):
        start(draft(upload_answered=False), seen=seen)


# --- the second yes


def publish(draft, *, yes=False):
    return rule_publishing.publish(
        draft, seen=rule_versions.stamp(draft), why="a reason", may_skip_all=yes, by=None, now=timezone.now()
    )


def test_more_skipped_calls_than_usual_need_a_second_yes(missed, answered, draft, tenant, later):
    missed(5)
    answered(5)
    later(timedelta(days=1))
    row = draft(upload_missed=False)
    with pytest.raises(ValidationError) as raised:
        publish(row)
    assert "5" in raised.value.messages[0]
    assert RuleVersion.objects.filter(tenant=tenant).count() == 1
    assert publish(row, yes=True).number == 2


def test_preview_of_exactly_this_draft_is_asked_first(missed, answered, draft, tenant):
    missed(5)  # today: yesterday has no calls
    answered(5)
    row = draft(upload_missed=False)
    assert rule_previews.question(row.tenant, row.value(), now=timezone.now()) == ""
    preview(row)
    assert rule_previews.question(row.tenant, row.value(), now=timezone.now()) != ""
    other = draft(upload_missed=False, upload_outgoing=False)
    assert rule_previews.question(other.tenant, other.value(), now=timezone.now()) == ""


@pytest.mark.parametrize(("skipped", "others"), [(4, 1), (5, 45)])
def test_few_more_skipped_calls_are_not_asked_about(skipped, others):
    share = rule_previews.Share(decided=skipped + others, before=0, after=skipped)
    assert not share.is_unusual
    assert rule_previews.Share(decided=49, before=0, after=5).is_unusual


# --- pages


@pytest.fixture
def visit(client):
    """Sign a user of a group in; return what opens a page."""

    def of(group):
        client.force_login(create_user(f"user-{group}", group))
        return lambda name, *args, **post: (client.post if post else client.get)(
            reverse(f"admin:{name}", args=args), post or None
        )

    return of


def page_text(answer):
    assert answer.status_code == 200
    return answer.content.decode()


def test_operator_previews_and_reads_the_result(visit, missed, draft, tenant):
    missed(1)
    row, open_page, day = draft(upload_missed=False), visit("Operator"), today(tenant)
    form = page_text(open_page("tenants_tenant_rules_preview", tenant.pk))
    assert f'value="{rule_versions.stamp(row)}"' in form
    days = {"first": day.isoformat(), "last": day.isoformat(), "seen": rule_versions.stamp(row)}
    answer = open_page("tenants_tenant_rules_preview", tenant.pk, **days)
    found = RulePreview.objects.get()
    assert answer.url == reverse("admin:tenants_tenant_rule_preview", args=[tenant.pk, found.pk])
    running = page_text(open_page("tenants_tenant_rule_preview", tenant.pk, found.pk))
    assert "data-busy" in running
    assert 'http-equiv="refresh"' in running
    task_queue.drain()
    done = page_text(open_page("tenants_tenant_rule_preview", tenant.pk, found.pk))
    assert "data-busy" not in done
    call = Call.objects.get()
    assert reverse("admin:telephony_call_change", args=[call.pk]) in done
    assert f"+{call.contact}" in done
    assert AccessLogEntry.objects.filter(call=call, username="user-Operator").count() == 1
    publish_page = page_text(open_page("tenants_tenant_rules_publish", tenant.pk))
    assert reverse("admin:tenants_tenant_rule_preview", args=[tenant.pk, found.pk]) in publish_page


def test_support_reads_masked_numbers_and_starts_nothing(visit, missed, draft, tenant):
    missed(1)
    rows = [{"target": "upload.source.content", "facts": ["contact"]}]
    row = preview(draft(field_map=rows))
    open_page, contact = visit("Support"), Call.objects.get().contact
    text = page_text(open_page("tenants_tenant_rule_preview", tenant.pk, row.pk))
    assert contact not in text
    assert contact[-7:] not in text
    assert "data-sample" in text
    assert not AccessLogEntry.objects.exists()
    day = today(tenant).isoformat()
    seen = rule_versions.stamp(draft(field_map=rows))
    assert open_page("tenants_tenant_rules_preview", tenant.pk, first=day, last=day, seen=seen).status_code == 403
    assert open_page("tenants_tenant_rule_preview_cancel", tenant.pk, row.pk, yes="1").status_code == 403
    assert RulePreview.objects.count() == 1


def test_posted_forms_that_a_page_would_not_send(visit, draft, tenant, twin):
    row, open_page, day = draft(upload_missed=False), visit("Operator"), today(tenant)
    good = {"first": day.isoformat(), "last": day.isoformat(), "seen": rule_versions.stamp(row)}
    for bad in (
        {"seen": "1.0"},
        {"seen": ""},
        {"first": "x"},
        {"first": "1900-01-01"},
        {"last": (day + timedelta(days=1)).isoformat()},
        {"first": (day - timedelta(days=31)).isoformat()},
        {"last": (day - timedelta(days=1)).isoformat()},
    ):
        assert page_text(open_page("tenants_tenant_rules_preview", tenant.pk, **good | bad))
    assert not RulePreview.objects.exists()
    mine = start(row)
    assert open_page("tenants_tenant_rule_preview", twin.pk, mine.pk).status_code == 404
    assert open_page("tenants_tenant_rule_preview_cancel", twin.pk, mine.pk, yes="1").status_code == 404
    assert open_page("tenants_tenant_rule_preview_cancel", tenant.pk, mine.pk, yes="1").status_code == 302
    mine.refresh_from_db()
    assert mine.state == State.CANCELLED


def test_call_purged_since_is_shown_as_such(visit, missed, draft, tenant):
    missed(2)
    row = preview(draft(upload_missed=False))
    Call.objects.order_by("pk")[0].delete()
    text = page_text(visit("Operator")("tenants_tenant_rule_preview", tenant.pk, row.pk))
    assert text.count("data-sample=") == 1


def test_samples_take_a_fixed_number_of_queries(visit, missed, draft, tenant, django_assert_max_num_queries):
    missed(6)
    row = preview(draft(upload_missed=False))
    open_page = visit("Support")
    open_page("tenants_tenant_rule_preview", tenant.pk, row.pk)
    with django_assert_max_num_queries(25):
        open_page("tenants_tenant_rule_preview", tenant.pk, row.pk)
