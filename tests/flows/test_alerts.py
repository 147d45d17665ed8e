"""Problems open incidents, and incidents send alerts: each is opened once, sent once and resolved automatically."""

import itertools
import re
import smtplib
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from connector_project.core import workers
from connector_project.core.check_results import Responsible
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations import tasks as operations_tasks
from connector_project.operations import tenant_status
from connector_project.operations.alerts import actions, delivery, incident_texts, rules
from connector_project.operations.alerts.delivery import MOST_TRIES, PAUSES_SECONDS
from connector_project.operations.models import AlertDelivery, Incident, TrafficProfile
from telephony.models import Call, CallLogEntry, DailyReconciliation, FailureReason, Notification, Step
from tenants import rule_versions
from tenants.access_errors import AccessError
from tenants.models import AuditLogEntry, CrmConnection, Tenant, UisConnection, User
from tests import task_queue
from tests.conftest import CONTACT, NUMBER
from tests.fakes.alert_receiver import SECRET, URL

MOSCOW = ZoneInfo("Europe/Moscow")
MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=MOSCOW)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
State = Incident.State
DIGESTS = map(str, itertools.count())


@pytest.fixture
def clock():
    """A Monday at noon; the tests move it."""
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def _channels(settings):
    """Enable both alert channels."""
    settings.ALARM_EMAILS = ["ops@example.net", "boss@example.net"]
    settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET = URL, SECRET


@pytest.fixture
def minutes(clock, receiver, _channels, db):
    """Let minutes pass, as the schedules do; queues in `dead` have no worker, tenants in `events_from` send events."""

    def run(count=1, *, every=MINUTE, dead=(), events_from=()):
        for _evaluation in range(count):
            clock.shift(every)
            for name in set(workers.QUEUES) - set(dead):
                WorkerHeartbeat.objects.update_or_create(
                    name=name, defaults={"queue": name, "last_seen_at": timezone.now()}
                )
            for tenant in events_from:
                add_event(tenant)
            operations_tasks.evaluate_alerts()
            task_queue.drain()

    return run


def add_event(tenant):
    """Receive an event of a tenant."""
    Notification.objects.create(tenant=tenant, received_at=timezone.now(), digest=next(DIGESTS), outcome="DONE")


def add_tenant(name, **values):
    """Create an active tenant without accounts at the vendors."""
    tenant = Tenant.objects.create(name=name, slug=name, **({"activated_at": MONDAY - 30 * DAY} | values))
    UisConnection.objects.create(tenant=tenant)
    CrmConnection.objects.create(tenant=tenant)
    rule_versions.begin(tenant, {}, now=timezone.now())
    add_event(tenant)
    return tenant


@pytest.fixture
def shop(clock, db):
    return add_tenant("Ромашка")


@pytest.fixture
def other(shop):
    """A second tenant, which must stay without incidents."""
    tenant = add_tenant("Чужой")
    yield tenant
    assert not tenant.incidents.exists()


def update_profiles():
    """Do what the schedule does once a day."""
    operations_tasks.update_traffic_profiles()
    task_queue.drain()


def call(tenant, session_id=1, *, at=None, **values):
    at = at or timezone.now()
    stamps = {"started_at": at, "ended_at": at, "retry_window_started_at": at}
    return Call.objects.create(tenant=tenant, session_id=session_id, **({"state": "READY"} | stamps | values))


def incident_keys(**conditions):
    """Return the incidents by kind, reason and state."""
    return list(Incident.objects.filter(**conditions).order_by("pk").values_list("kind", "reason", "state"))


def in_russian(text):
    """Return a text in the language of the alerts."""
    with translation.override("ru"):
        return str(text)


# How each kind of problem begins and ends: what causes it, what fixes it, which incident it opens.


def deny_access(tenant):
    tenant.uis.suspend("ip_not_whitelisted", "no", now=timezone.now())


def restore_access(tenant):
    tenant.uis.refresh_from_db()
    tenant.uis.restore()


def make_calls_overdue(tenant):
    call(tenant, next_attempt_at=timezone.now() - 15 * MINUTE)


def make_crm_unavailable(tenant):
    at = timezone.now() - 31 * MINUTE
    call(tenant, at=at, reason="CRM_UNAVAILABLE", next_attempt_at=timezone.now() + HOUR)


def use_up_points(tenant):
    at = timezone.now() - 31 * MINUTE
    call(tenant, at=at, state="FETCHING_LEGS", reason="UIS_QUOTA", next_attempt_at=timezone.now() + HOUR)


def upload_calls(_tenant):
    Call.objects.update(state="UPLOADED", next_attempt_at=None, failed_at=None, reason="")
    CrmConnection.objects.update(consecutive_failures=0, retry_at=None)


def back_off(tenant):
    """Put the CRM connection into back-off after failed requests; of two calls one was never attempted."""
    at = timezone.now() - 31 * MINUTE
    call(tenant, 1, at=at, next_attempt_at=at)
    call(tenant, 2, at=at, reason="CRM_UNAVAILABLE", next_attempt_at=at)
    CrmConnection.objects.filter(tenant=tenant).update(consecutive_failures=6, retry_at=timezone.now())


def fail_calls(tenant):
    for number in range(5):
        call(tenant, number, failed_at=timezone.now(), reason="CRM_REFUSED")


def add_unexplained_calls(tenant):
    DailyReconciliation.objects.create(
        tenant=tenant, day=MONDAY.date() - DAY, uis_calls=9, unexplained=2, counted_at=timezone.now()
    )


def explain_calls(_tenant):
    DailyReconciliation.objects.update(unexplained=0)


def upload_as_missed(tenant):
    call(tenant, state="UPLOADED").log(Step.LATE_ANSWER, now=timezone.now())


def let_a_day_pass(_tenant):
    CallLogEntry.objects.update(at=timezone.now() - DAY)


KINDS = {
    "ACCESS_DENIED": (deny_access, restore_access, ("ACCESS_DENIED", "uis:ip_not_whitelisted"), Responsible.CLIENT),
    "BACKLOG": (make_calls_overdue, upload_calls, ("BACKLOG", "OVERDUE"), Responsible.OPERATOR),
    "CRM_UNAVAILABLE": (make_crm_unavailable, upload_calls, ("BACKLOG", "CRM_UNAVAILABLE"), Responsible.CRM),
    "POINTS": (use_up_points, upload_calls, ("BACKLOG", "UIS_QUOTA"), Responsible.CLIENT),
    "BACK_OFF": (back_off, upload_calls, ("BACKLOG", "CRM_UNAVAILABLE"), Responsible.CRM),
    "FAILURE_RATE": (fail_calls, upload_calls, ("FAILURE_RATE", "CRM_REFUSED"), Responsible.OPERATOR),
    "UNEXPLAINED": (add_unexplained_calls, explain_calls, ("UNEXPLAINED", "NOT_IN_REPORT"), Responsible.DEVELOPERS),
    "LATE_ANSWER": (
        upload_as_missed,
        let_a_day_pass,
        ("LATE_ANSWER", "UPLOADED_AS_MISSED"),
        Responsible.OPERATOR,
    ),
}
# What the message of an incident must name.
NAMED = {
    "ACCESS_DENIED": AccessError.ADDRESS_NOT_LISTED.label,
    "CRM_UNAVAILABLE": FailureReason.CRM_UNAVAILABLE.label,
    "POINTS": FailureReason.UIS_QUOTA.label,
    "FAILURE_RATE": FailureReason.CRM_REFUSED.label,
}
CONTEXT = {"BACK_OFF": {"calls": 2}, "FAILURE_RATE": {"failed": 5}, "UNEXPLAINED": {"calls": 2}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_incident_is_opened_once_resolved_automatically_and_sent_once(minutes, shop, other, receiver, kind):
    cause, fix, key, responsible = KINDS[kind]
    minutes(2, events_from=[shop, other])
    assert (incident_keys(), mail.outbox, receiver.received) == ([], [], [])
    cause(shop)
    minutes(5, events_from=[shop, other])
    assert incident_keys(tenant=shop) == [(*key, State.OPEN)]
    assert Incident.objects.get().seen_count == 5
    (email,) = mail.outbox
    assert email.to == ["ops@example.net", "boss@example.net"]
    assert "Ромашка" in email.subject
    assert in_russian(responsible.label) in email.body
    assert f"https://connector.example.com/admin/operations/incident/{Incident.objects.get().pk}/change/" in email.body
    (message,) = receiver.received
    assert (message["type"], message["data"]["kind"], message["data"]["reason"]) == ("incident.opened", *key)
    (incident,) = message["data"]["incidents"]
    assert (incident["name"], incident["responsible"]) == ("Ромашка", responsible)
    assert incident["message"] in email.body
    assert in_russian(NAMED.get(kind, "")) in incident["message"]
    for name, value in CONTEXT.get(kind, {}).items():
        assert incident["context"][name] == value
        assert str(value) in incident["message"]
    fix(shop)
    minutes(4, events_from=[shop, other])
    assert incident_keys() == [(*key, State.OPEN)]
    minutes(10, events_from=[shop, other])
    assert incident_keys() == [(*key, State.RESOLVED)]
    assert [message["type"] for message in receiver.received] == ["incident.opened", "incident.resolved"]
    opened, resolved = mail.outbox
    assert opened.subject != resolved.subject
    assert receiver.received[1]["data"]["incidents"][0]["message"] in resolved.body
    with translation.override("ru"):
        resolved_text = incident_texts.resolved_message(Incident.objects.get())
    assert [resolved_text in email.body for email in mail.outbox] == [False, True]
    assert len(receiver.tries) == 2


@pytest.mark.slow
def test_no_events_incident_is_sent_and_resolved_by_the_next_event(minutes, shop, other, receiver):
    minutes(14, every=5 * MINUTE, events_from=[other])
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.OPEN)]
    assert states() == {"Ромашка": "NO_EVENTS", "Чужой": "ACTIVE"}
    assert receiver.received[0]["data"]["incidents"][0]["context"] == {
        "since": shop.notifications.get().received_at.isoformat(),
        "by": "hours",
    }
    minutes(3, every=5 * MINUTE, events_from=[shop, other])
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.RESOLVED)]
    assert states() == {"Ромашка": "ACTIVE", "Чужой": "ACTIVE"}


def states():
    return {tenant.name: tenant_status.state(tenant).name for tenant in tenant_status.with_status(Tenant.objects.all())}


def add_past_calls(tenant, *, hour, calls, weekday=0, weeks=4, minute=0):
    """Create calls in an hour of a weekday, in each of the past weeks."""
    monday = MONDAY.replace(hour=hour, minute=minute, tzinfo=tenant.zone) + weekday * DAY
    numbers = iter(range(10_000_000 * (weekday + 1) + hour * 10_000, 10**12))
    for week in range(1, weeks + 1):
        for _call in range(calls):
            at = monday - week * 7 * DAY
            call(tenant, next(numbers), at=at, state="UPLOADED")


@pytest.mark.slow
def test_no_events_opens_in_minutes_on_a_busy_monday_and_not_on_a_quiet_sunday(minutes, clock, shop, other, receiver):
    for hour in (11, 12, 13):
        add_past_calls(shop, hour=hour, calls=60)
        add_past_calls(shop, hour=hour, calls=1, weekday=-1)
    add_event(other)
    update_profiles()
    assert TrafficProfile.objects.get(tenant=shop).weeks == 4
    assert TrafficProfile.objects.get(tenant=other).weeks == 0
    minutes(16, events_from=[other])
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.OPEN)]
    context = receiver.received[0]["data"]["incidents"][0]["context"]
    assert context["by"] == "profile"
    assert str(context["usual"]) in mail.outbox[0].body
    sunday = MONDAY + 6 * DAY
    clock.move_to(sunday.replace(hour=11))
    add_event(shop)
    minutes(12, every=5 * MINUTE, events_from=[other])
    assert incident_keys(tenant=shop, opened_at__gte=sunday - HOUR) == []


def test_profile_is_in_the_tenants_time_zone(clock, shop, db):
    Tenant.objects.update(time_zone="Europe/Berlin")
    shop.refresh_from_db()
    # On 25 October 2026 clocks in Berlin go back; nine in the morning stays nine.
    clock.move_to(datetime(2026, 11, 2, 12, tzinfo=shop.zone))
    for week in range(1, 5):
        at = datetime(2026, 11, 2, 9, 30, tzinfo=shop.zone) - timedelta(weeks=week)
        call(shop, week, at=at, state="UPLOADED")
    offsets = [started_at.utcoffset() for started_at in Call.objects.values_list("started_at", flat=True)]
    assert len(offsets) == 4
    update_profiles()
    profile = TrafficProfile.objects.get()
    assert (profile.hours[9], sum(profile.hours)) == (4, 4)


def test_profile_ignores_internal_calls_and_needs_two_weeks(clock, shop):
    call(shop, 1, at=MONDAY - 13 * DAY, state="UPLOADED")
    call(shop, 2, at=MONDAY - 20 * DAY, state="SKIPPED", is_internal=True)
    call(shop, 3, at=MONDAY, state="UPLOADED")
    update_profiles()
    assert (TrafficProfile.objects.get().weeks, sum(TrafficProfile.objects.get().hours)) == (0, 1)
    call(shop, 4, at=MONDAY - 15 * DAY, state="UPLOADED")
    update_profiles()
    assert (TrafficProfile.objects.get().weeks, sum(TrafficProfile.objects.get().hours)) == (3, 2)


def test_profile_update_is_one_task_per_tenant_with_a_fixed_query_count(shop):
    add_past_calls(shop, hour=12, calls=20)
    quiet = add_tenant("quiet")
    add_tenant("off", is_paused=True)

    def cost(tenant):
        operations_tasks.update_traffic_profile(tenant.pk)
        with CaptureQueriesContext(connection) as queries:
            operations_tasks.update_traffic_profile(tenant.pk)
        return len(queries)

    assert cost(shop) == cost(quiet)
    TrafficProfile.objects.all().delete()
    operations_tasks.update_traffic_profiles()
    assert task_queue.drain() == 2
    assert {profile.tenant.name: sum(profile.hours) for profile in TrafficProfile.objects.all()} == {
        "Ромашка": 80,
        "quiet": 0,
    }


@pytest.mark.slow
def test_calls_in_the_report_without_events_open_a_no_events_incident_outside_business_hours(
    minutes, clock, shop, other
):
    Tenant.objects.update(opens_at="07:00", closes_at="08:00")
    for number in range(3):
        call(shop, number, at=timezone.now() + MINUTE, origin="REPORT", state="UPLOADED")
        call(other, number, at=timezone.now() - HOUR, origin="REPORT", state="UPLOADED")
    minutes(14)
    assert incident_keys() == []
    minutes(3)
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.OPEN)]
    assert Incident.objects.get().context["calls"] == 3
    # Outside business hours the calls grow old; the incident stays open.
    clock.shift(8 * HOUR)
    minutes(10)
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.OPEN)]
    minutes(10, events_from=[shop, other])
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.RESOLVED)]


def test_reconciliation_that_finds_unreported_calls_opens_an_incident(
    minutes, clock, pbx, crm, tenant, run_queue, stranger
):
    from telephony import tasks

    clock.shift(HOUR)
    for number in range(4):
        pbx.call(contact=f"7999000009{number}", number=NUMBER, started_at=timezone.now(), rings=[300001])
    clock.shift(20 * MINUTE)
    add_event(stranger)
    tasks.reconcile_all()
    run_queue()
    assert Call.objects.filter(origin="REPORT").count() == 4
    minutes(events_from=[stranger])
    assert incident_keys() == [("NO_EVENTS", "NO_EVENTS", State.OPEN)]
    assert Incident.objects.get().context["by"] == "report"


@pytest.mark.slow
def test_no_events_of_all_tenants_is_one_message(minutes, clock, receiver, db):
    shops = [add_tenant(f"shop-{number}") for number in range(8)]
    for tenant in shops:
        add_past_calls(tenant, hour=12, calls=40)
    update_profiles()
    minutes(2, events_from=shops)
    minutes(5, every=5 * MINUTE)
    system_wide = Incident.objects.get(tenant=None)
    assert (system_wide.kind, system_wide.state, system_wide.context["by"]) == ("NO_EVENTS", "OPEN", "all")
    assert Incident.objects.filter(tenant__isnull=False).count() == 8
    assert len(mail.outbox) == len(receiver.received) == 1
    with translation.override("ru"):
        assert incident_texts.subject_name(system_wide) in mail.outbox[0].subject
    minutes(4, every=5 * MINUTE, events_from=shops)
    assert not Incident.objects.exclude(state=State.RESOLVED).exists()
    assert [message["type"] for message in receiver.received] == ["incident.opened", "incident.resolved"]


@pytest.mark.usefixtures("_channels")
@pytest.mark.parametrize("name", ["default", "fast"])
def test_queue_without_a_worker_is_reported_by_the_other_cluster(clock, receiver, shop, name):
    other_queue = {"default": "fast", "fast": "default"}[name]
    for queue_name in workers.QUEUES:
        WorkerHeartbeat.objects.create(name=queue_name, queue=queue_name, last_seen_at=timezone.now())
    clock.shift(MINUTE)
    WorkerHeartbeat.objects.filter(queue=other_queue).update(last_seen_at=timezone.now())
    evaluate = {"default": operations_tasks.evaluate_alerts_fallback, "fast": operations_tasks.evaluate_alerts}[name]
    evaluate()
    evaluate()
    assert incident_keys() == [("WORKER", f"NO_HEARTBEAT:{name}", State.OPEN)]
    from django_q.models import OrmQ

    # Sent through the queue that has a worker.
    assert set(OrmQ.objects.values_list("key", flat=True)) == {other_queue}
    task_queue.drain()
    assert len(mail.outbox) == len(receiver.received) == 1


def test_fallback_evaluates_only_when_the_other_queue_cannot(minutes, shop):
    deny_access(shop)
    WorkerHeartbeat.objects.create(name="x", queue="default", last_seen_at=timezone.now())
    operations_tasks.evaluate_alerts_fallback()
    assert incident_keys() == []


def test_dead_workers_are_reported_and_not_their_consequences(minutes, shop, other, receiver):
    minutes(events_from=[shop, other])
    make_calls_overdue(shop)
    minutes(3, dead=["fast"], events_from=[shop, other])
    assert {kind for kind, _reason, _state in incident_keys()} == {"BACKLOG", "WORKER"}
    assert [message["data"]["kind"] for message in receiver.received] == ["WORKER"]
    # With the workers back and the work still late, the backlog is sent.
    minutes(6, events_from=[shop, other])
    assert {message["data"]["kind"] for message in receiver.received} == {"WORKER", "BACKLOG"}


@pytest.mark.slow
def test_one_reason_with_fifty_tenants_is_one_message_that_lists_them(minutes, receiver, shop):
    shops = [shop, *(add_tenant(f"shop-{number}") for number in range(60))]
    minutes(events_from=shops)
    for tenant in shops[:50]:
        tenant.crm.suspend("account", "gone", now=timezone.now())
    minutes(12, events_from=shops)
    assert Incident.objects.filter(kind="ACCESS_DENIED", tenant__isnull=False).count() == 50
    (message,) = receiver.received
    assert (message["data"]["count"], message["data"]["incidents"][0]["tenant"]) == (51, None)
    assert len({incident["tenant"] for incident in message["data"]["incidents"]}) == 50
    (email,) = mail.outbox
    assert "shop-7\n" in email.body
    *_rows, more, _all = email.body.strip().split("\n\n")
    assert email.body.count("/change/") == 50
    assert re.findall(r"\d+", more) == ["1"]
    # Later tenants belong to the same incident.
    shops[55].crm.suspend("account", "gone", now=timezone.now())
    minutes(12, events_from=shops)
    assert len(receiver.received) == 1


@pytest.mark.slow
def test_later_incidents_are_grouped_in_the_next_message(minutes, receiver, shop):
    shops = [add_tenant(f"shop-{number}") for number in range(10)]
    everyone = [shop, *shops]
    for tenant in shops[:4]:
        tenant.crm.suspend("account", "gone", now=timezone.now())
        minutes(events_from=everyone)
    minutes(8, events_from=everyone)
    assert [message["data"]["count"] for message in receiver.received] == [1, 3]


@pytest.mark.slow
def test_failed_webhook_is_retried_until_it_succeeds(minutes, receiver, shop):
    receiver.answers = 500
    deny_access(shop)
    minutes(10, events_from=[shop])
    assert receiver.received == []
    assert len(mail.outbox) == 1
    waiting = AlertDelivery.objects.get(channel="WEBHOOK")
    assert waiting.state == AlertDelivery.State.WAITING
    assert "500" in waiting.detail
    tries = len(receiver.tries)
    assert 3 <= tries <= 6
    receiver.answers = 0
    minutes(16, events_from=[shop])
    assert [message["type"] for message in receiver.received] == ["incident.opened"]
    assert set(receiver.tries) == {f"msg_{waiting.message_id.hex}"}
    assert AlertDelivery.objects.get(channel="WEBHOOK").state == AlertDelivery.State.SENT
    minutes(10, events_from=[shop])
    assert len(receiver.tries) == tries + 1


@pytest.mark.slow
def test_retry_after_of_the_receiver_is_respected(minutes, receiver, shop):
    receiver.answers, receiver.retry_after = 429, 1800
    deny_access(shop)
    minutes(5, every=5 * MINUTE, events_from=[shop])
    assert len(receiver.tries) == 1
    receiver.answers = 0
    minutes(10, events_from=[shop])
    assert len(receiver.received) == 1


def create_messages(*bodies, attempts=0):
    now = timezone.now()
    for body in bodies:
        row = {"subject": body, "body": body, "attempts": attempts, "next_attempt_at": now}
        AlertDelivery.objects.create(channel="WEBHOOK", created_at=now, **row)


@pytest.mark.usefixtures("_channels", "db")
def test_hanging_receiver_is_tried_with_one_of_many_messages(clock, receiver):
    create_messages(*["{}"] * 10)
    receiver.hangs = True
    delivery.resume_due(now=timezone.now(), queue="default")
    task_queue.drain()
    assert len(receiver.tries) == 1
    assert sorted(AlertDelivery.objects.values_list("attempts", flat=True)) == [0] * 9 + [1]
    receiver.hangs = False
    for _minute in range(4):
        clock.shift(MINUTE)
        delivery.resume_due(now=timezone.now(), queue="default")
        task_queue.drain()
    assert AlertDelivery.objects.exclude(state="SENT").count() == 0


@pytest.mark.usefixtures("_channels", "db")
def test_message_that_the_receiver_never_takes_holds_up_no_other(clock, receiver):
    receiver.refuses = b"poison"
    create_messages('{"is": "poison"}')
    for number in range(12):
        if number == 6:
            create_messages('{"is": "good"}')
        clock.shift(MINUTE)
        delivery.resume_due(now=timezone.now(), queue="default")
        task_queue.drain()
    assert receiver.received == [{"is": "good"}]
    assert len(receiver.tries) <= 8


@pytest.mark.usefixtures("_channels", "db")
def test_messages_that_failed_at_once_do_not_wait_for_each_other(clock, receiver):
    """Two workers sent them, and both were refused."""
    create_messages(*[f'{{"is": {number}}}' for number in range(3)], attempts=1)
    for _minute in range(5):
        clock.shift(MINUTE)
        delivery.resume_due(now=timezone.now(), queue="default")
        task_queue.drain()
    assert sorted(one["is"] for one in receiver.received) == [0, 1, 2]


@pytest.mark.usefixtures("_channels", "db")
def test_receiver_that_hangs_for_long_is_tried_with_one_message_a_minute(clock, receiver):
    create_messages(*["{}"] * 5, attempts=delivery.SUSPECT_AFTER_TRIES + 1)
    receiver.hangs = True
    for _minute in range(10):
        clock.shift(MINUTE)
        delivery.resume_due(now=timezone.now(), queue="default")
        task_queue.drain()
    assert 5 <= len(receiver.tries) <= 10


def test_rule_that_breaks_keeps_its_incidents_and_stops_no_other_rule(minutes, shop, other, receiver, monkeypatch):
    deny_access(shop)
    minutes(2, events_from=[shop, other])
    assert incident_keys() == [("ACCESS_DENIED", "uis:ip_not_whitelisted", State.OPEN)]
    monkeypatch.setattr(rules.AccessIsDenied, "find", lambda *_args, **_kwargs: [].pop())
    make_calls_overdue(shop)
    minutes(8, events_from=[shop, other])
    assert incident_keys() == [
        ("ACCESS_DENIED", "uis:ip_not_whitelisted", State.OPEN),
        ("BACKLOG", "OVERDUE", State.OPEN),
    ]
    assert len(receiver.received) == 2


def test_incident_that_cannot_be_described_stops_no_other_message(minutes, shop, receiver):
    """Such as one of a kind that an update has removed."""
    for state in (State.OPEN, State.RESOLVED):
        Incident.objects.create(
            tenant=shop, kind="REMOVED", reason=state, state=state, opened_at=MONDAY, last_seen_at=timezone.now()
        )
    deny_access(shop)
    minutes(2, events_from=[shop])
    assert [message["data"]["kind"] for message in receiver.received] == ["ACCESS_DENIED"]


def test_undeliverable_message_fails_after_three_days_and_is_sent_manually(minutes, clock, receiver, shop):
    assert timedelta(days=3) <= sum(waits(MOST_TRIES), timedelta(0)) <= timedelta(days=3, hours=1)
    receiver.answers = 404
    deny_access(shop)
    minutes(events_from=[shop])
    AlertDelivery.objects.filter(channel="WEBHOOK").update(attempts=MOST_TRIES - 2)
    minutes(2, every=HOUR, events_from=[shop])
    lost = AlertDelivery.objects.get(channel="WEBHOOK")
    assert (lost.state, lost.attempts) == (AlertDelivery.State.FAILED, MOST_TRIES)
    assert "404" in lost.detail
    receiver.answers = 0
    minutes(2, every=HOUR, events_from=[shop])
    assert receiver.received == []
    delivery.retry(lost, now=timezone.now())
    task_queue.drain()
    assert [message["type"] for message in receiver.received] == ["incident.opened"]


def waits(tries):
    """Return the delays between this many attempts."""
    for number in range(tries - 1):
        yield timedelta(seconds=PAUSES_SECONDS[min(number, len(PAUSES_SECONDS) - 1)])


@pytest.mark.slow
def test_unavailable_mail_server_stops_neither_webhook_nor_evaluation(minutes, receiver, shop, monkeypatch):
    sends = []

    def disconnect(_self, messages):
        sends.append(len(messages))
        raise smtplib.SMTPServerDisconnected("login ops")

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", disconnect)
        deny_access(shop)
        minutes(5, events_from=[shop])
    assert len(receiver.received) == 1
    assert len(sends) >= 2
    assert AlertDelivery.objects.get(channel="MAIL").detail == "SMTPServerDisconnected"
    minutes(10, events_from=[shop])
    assert len(mail.outbox) == 1


def test_messages_are_sent_after_the_queue_was_lost(minutes, receiver, shop):
    deny_access(shop)
    WorkerHeartbeat.objects.create(name="x", queue="default", last_seen_at=timezone.now())
    WorkerHeartbeat.objects.create(name="y", queue="fast", last_seen_at=timezone.now())
    operations_tasks.evaluate_alerts()
    assert task_queue.lose() >= 2
    minutes(events_from=[shop])
    assert len(mail.outbox) == len(receiver.received) == 1


@pytest.mark.parametrize("default", ["ru", "en"])
@pytest.mark.parametrize("worker", ["ru", "en"])
def test_each_receiver_reads_their_own_language(minutes, receiver, shop, settings, default, worker):
    """The worker's own language does not matter."""
    settings.ALARM_EMAILS = ["a@example.net", "ru:b@example.net", "en:c@example.net"]
    settings.ALARM_LANGUAGE = default
    deny_access(shop)
    with translation.override(worker):
        minutes(2, events_from=[shop])
    received = {address: email for email in mail.outbox for address in email.to}
    assert sorted(received) == ["a@example.net", "b@example.net", "c@example.net"]
    assert len(mail.outbox) == 2
    for address, language in (("a@example.net", default), ("b@example.net", "ru"), ("c@example.net", "en")):
        with translation.override(language):
            assert str(AccessError.ADDRESS_NOT_LISTED.label) in received[address].body
            assert str(Incident.Kind.ACCESS_DENIED.label) in received[address].subject
            assert str(Responsible.CLIENT.label) in received[address].body
    (message,) = receiver.received
    with translation.override(default):
        assert str(AccessError.ADDRESS_NOT_LISTED.label) in message["data"]["incidents"][0]["message"]


def test_mail_of_a_language_without_receivers_is_closed(minutes, receiver, shop, settings, monkeypatch):
    settings.ALARM_EMAILS = ["en:c@example.net"]
    monkeypatch.setattr(delivery, "_send_mail", lambda _alert: (_ for _ in ()).throw(OSError))
    deny_access(shop)
    minutes(events_from=[shop])
    monkeypatch.undo()
    settings.ALARM_EMAILS = ["a@example.net"]
    minutes(3, events_from=[shop])
    assert (AlertDelivery.objects.get(channel="MAIL").state, mail.outbox) == (AlertDelivery.State.FAILED, [])


def test_task_that_runs_twice_sends_once(minutes, receiver, shop):
    deny_access(shop)
    minutes(events_from=[shop])
    for alert in AlertDelivery.objects.all():
        operations_tasks.send_alert(alert.pk)
    assert len(mail.outbox) == len(receiver.tries) == 1


def test_without_a_channel_nothing_is_sent_now_or_later(minutes, receiver, shop, settings):
    settings.ALARM_EMAILS, settings.ALARM_WEBHOOK_URL = [], ""
    deny_access(shop)
    minutes(2, events_from=[shop])
    assert len(incident_keys()) == 1
    assert not AlertDelivery.objects.exists()
    settings.ALARM_EMAILS = ["ops@example.net"]
    minutes(2, events_from=[shop])
    assert mail.outbox == []


def test_disabled_channel_closes_its_messages(minutes, receiver, shop, settings):
    receiver.answers = 500
    deny_access(shop)
    minutes(events_from=[shop])
    settings.ALARM_WEBHOOK_URL = ""
    minutes(5, events_from=[shop])
    assert AlertDelivery.objects.get(channel="WEBHOOK").state == AlertDelivery.State.FAILED


def act(name, incident, *, by=None, note=""):
    return actions.apply(actions.ACTIONS[name], [incident.pk], by=by, note=note, now=timezone.now())


@pytest.mark.slow
def test_muted_incident_sends_nothing_until_it_is_resolved(minutes, receiver, shop, other):
    deny_access(shop)
    minutes(events_from=[shop, other])
    assert act("mute", Incident.objects.get()) == 1
    minutes(12, every=5 * MINUTE, events_from=[shop, other])
    assert incident_keys() == [("ACCESS_DENIED", "uis:ip_not_whitelisted", State.MUTED)]
    restore_access(shop)
    minutes(4, every=5 * MINUTE, events_from=[shop, other])
    assert incident_keys() == [("ACCESS_DENIED", "uis:ip_not_whitelisted", State.RESOLVED)]
    assert len(receiver.received) == len(mail.outbox) == 1
    # The same problem later is sent again.
    deny_access(shop)
    minutes(2, events_from=[shop, other])
    assert [state for _kind, _reason, state in incident_keys()] == [State.RESOLVED, State.OPEN]
    assert len(receiver.received) == 2


@pytest.mark.slow
def test_muted_no_events_is_not_shown_as_a_status(minutes, shop):
    minutes(14, every=5 * MINUTE)
    assert states() == {"Ромашка": "NO_EVENTS"}
    act("mute", Incident.objects.get())
    assert states() == {"Ромашка": "ACTIVE"}


@pytest.mark.slow
def test_manually_resolved_incident_is_reopened_if_it_lasts(minutes, shop, receiver):
    deny_access(shop)
    minutes(events_from=[shop])
    act("resolve", Incident.objects.get())
    minutes(14, events_from=[shop])
    assert [state for _kind, _reason, state in incident_keys()] == [State.RESOLVED]
    minutes(2, events_from=[shop])
    assert [state for _kind, _reason, state in incident_keys()] == [State.RESOLVED, State.OPEN]
    assert [message["type"] for message in receiver.received] == [
        "incident.opened",
        "incident.resolved",
        "incident.opened",
    ]


def test_reopening_does_not_duplicate_a_newer_incident_with_the_same_reason(minutes, shop):
    deny_access(shop)
    minutes(events_from=[shop])
    old = Incident.objects.get()
    act("resolve", old)
    minutes(4, every=5 * MINUTE, events_from=[shop])
    assert act("reopen", old) == 0
    new = Incident.objects.exclude(pk=old.pk).get()
    act("resolve", new)
    assert act("reopen", old) == 1


@pytest.mark.slow
def test_action_on_a_system_wide_incident_is_in_the_audit_log(minutes, shop):
    olga = User.objects.create_user("olga")
    minutes(2, dead=["fast"], events_from=[shop])
    incident = Incident.objects.get()
    act("acknowledge", incident, by=olga, note="Звоню дежурному")
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by, incident.note) == (State.ACKNOWLEDGED, olga, "Звоню дежурному")
    change = AuditLogEntry.objects.get()
    assert (change.action, change.user, change.tenant, change.new) == ("ACKNOWLEDGED", olga, None, "Звоню дежурному")
    minutes(8, events_from=[shop])
    assert incident_keys() == [("WORKER", "NO_HEARTBEAT:fast", State.RESOLVED)]


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"is_paused": True}, {"offboarded_at": MONDAY}, {"activated_at": None}])
def test_incidents_of_an_inactive_tenant_are_resolved_without_a_message(minutes, shop, receiver, change):
    deny_access(shop)
    minutes(events_from=[shop])
    Tenant.objects.update(**change)
    minutes(10)
    assert incident_keys() == [("ACCESS_DENIED", "uis:ip_not_whitelisted", State.RESOLVED)]
    assert [message["type"] for message in receiver.received] == ["incident.opened"]
    make_calls_overdue(shop)
    minutes(14, every=5 * MINUTE)
    assert len(incident_keys()) == 1


@pytest.mark.slow
def test_no_events_is_not_sent_while_the_connection_is_suspended(minutes, shop, receiver):
    tenant = shop
    tenant.uis.suspend("account_inactive", "off", now=timezone.now())
    minutes(14, every=5 * MINUTE)
    assert {kind for kind, _reason, _state in incident_keys()} == {"ACCESS_DENIED", "NO_EVENTS"}
    assert [message["data"]["kind"] for message in receiver.received] == ["ACCESS_DENIED"]
    assert receiver.received[0]["data"]["incidents"][0]["responsible"] == Responsible.UIS
    assert in_russian(Responsible.UIS.label) in mail.outbox[0].body


@pytest.mark.slow
def test_evaluation_has_the_same_query_count_for_one_and_for_many_tenants(minutes, shop):
    def cost():
        with CaptureQueriesContext(connection) as queries:
            operations_tasks.evaluate_alerts()
        return len(queries)

    fail_calls(shop)
    deny_access(shop)
    minutes(events_from=[shop])
    few = cost()
    shops = [add_tenant(f"shop-{number}") for number in range(30)]
    for tenant in shops:
        deny_access(tenant)
        fail_calls(tenant)
    minutes(12, events_from=[shop, *shops])
    assert Incident.objects.count() == 64
    assert cost() == few


def test_concurrent_evaluations_open_and_send_once(minutes, shop, receiver, monkeypatch):
    """The second run finds the same problems and does not see what the first one wrote."""
    from connector_project.operations.alerts import incidents, rules

    minutes(events_from=[shop])
    deny_access(shop)
    found = rules.find_problems(rules.load_clients(), now=timezone.now())
    real = incidents.unresolved
    incidents.sync_incidents(found, live={shop.pk}, now=timezone.now())
    with monkeypatch.context() as patch:
        patch.setattr(incidents, "unresolved", lambda: real().none())
        incidents.sync_incidents(found, live={shop.pk}, now=timezone.now())
    minutes(events_from=[shop])
    assert incident_keys() == [("ACCESS_DENIED", "uis:ip_not_whitelisted", State.OPEN)]
    assert len(receiver.received) == 1


@pytest.mark.slow
def test_messages_contain_no_phone_key_or_webhook_url(minutes, shop, receiver):
    shop.uis.suspend("odd", f"no access for {CONTACT} with token=abcdef123456", now=timezone.now())
    call(shop, 7, contact=CONTACT, number=NUMBER, next_attempt_at=timezone.now() - HOUR)
    for number in range(5):
        call(shop, 10 + number, contact=CONTACT, failed_at=timezone.now(), reason="INTERNAL_ERROR", detail=CONTACT)
    minutes(14, every=5 * MINUTE)
    text = "".join(alert.subject + alert.body for alert in AlertDelivery.objects.all())
    assert len(receiver.received) >= 3
    assert not re.search(r"\d{10,}", text.replace("uis-", ""))
    assert "abcdef" not in text
    assert shop.uis.hook not in text


def test_signature_matches_the_example_of_the_standard():
    body = '{"test": 2432232314}'
    signed = delivery.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, secret=SECRET)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
