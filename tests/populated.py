"""An installation in which every page has something to show."""

from collections.abc import Callable
from datetime import timedelta

from django.contrib.admin.models import CHANGE, LogEntry
from django.utils import timezone

from connector_project.core.models import WorkerHeartbeat
from connector_project.core.task_queue import QUEUES
from connector_project.operations import rule_previews
from connector_project.operations.models import AlertDelivery, Erasure, Incident, RulePreview
from crm.models import Command
from telephony import bulk_actions
from telephony.models import AccessLogEntry, BulkAction, Call, DailyReconciliation, Notification, Result
from tenants import api_keys, audit, rule_versions
from tenants.models import AuditLogEntry, Employee, ReconnectLink, RuleDraft, Tenant, User
from tenants.rules import RecordingKind
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes import uis
from tests.rules import draft_of, publish_rules


def populate(tenant: Tenant, pbx: uis.Account, notify: Callable[..., None], *, by: User) -> None:
    """Add rows of every kind: calls in several states, a recording, notifications, an incident, imports, logs."""
    now = timezone.now()
    for queue in QUEUES:
        WorkerHeartbeat.objects.create(name=queue, queue=queue, last_seen_at=now)
    publish_rules(tenant, recording_link=RecordingKind.OURS)
    _add_calls(pbx, notify)
    answered = Call.objects.get(result=Result.ANSWERED)
    AccessLogEntry.objects.create(
        tenant=tenant, call=answered, at=now, last_at=now, user=by, username=by.username, address="192.0.2.1"
    )
    _add_imports(tenant, by=by)
    _add_previews(tenant, by=by)
    _add_incident(tenant)
    ivan = Employee.objects.get(tenant=tenant, uis_id=IVAN)
    Command.objects.create(tenant=tenant, kind=Command.Kind.MAKE_CALL, received_at=now, employee=ivan, contact=CONTACT)
    day = now.astimezone(tenant.zone).date()
    DailyReconciliation.objects.create(tenant=tenant, day=day, uis_calls=3, uploaded=2, unexplained=1, counted_at=now)
    api_keys.create(tenant, "Reports", by=by, now=now)
    Erasure.objects.create(tenant=tenant, token="erased:0", state=Erasure.State.DONE, requested_at=now, ended_at=now)
    ReconnectLink.objects.create(tenant=tenant, expires_at=now + timedelta(days=7), asks_uis=True, asks_crm=True)
    audit.log(tenant, AuditLogEntry.Action.CHECKED, by=by, now=now)
    LogEntry.objects.log_actions(by.pk, Tenant.objects.filter(pk=tenant.pk), CHANGE, "Changed.", single_object=True)


def _add_previews(tenant: Tenant, *, by: User) -> None:
    """Preview a draft that differs, once to the end; another preview is still running."""
    RuleDraft.objects.filter(tenant=tenant).update(upload_missed=False)
    draft = draft_of(tenant)
    draft.tenant, day = tenant, timezone.now().astimezone(tenant.zone).date()
    for _preview in range(2):
        seen = rule_versions.stamp(draft)
        rule_previews.start(draft, first=day, last=day, seen=seen, by=by, now=timezone.now())
        task_queue.drain(pick=lambda task: task == rule_previews.TASK)
    RulePreview.objects.filter(pk=RulePreview.objects.latest("pk").pk).update(
        state=RulePreview.State.RUNNING, next_attempt_at=timezone.now() + timedelta(days=1), ended_at=None
    )


def _add_calls(pbx: uis.Account, notify: Callable[..., None]) -> None:
    began = timezone.now() - timedelta(seconds=60)
    talk = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 20)])
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(ringing.notification("waiting", employee_id=IVAN), talk.notification("call_end"))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"), "{{broken", "{}")
    lost = Call.objects.exclude(result=Result.ANSWERED).order_by("-pk")[0]
    Call.objects.filter(pk=lost.pk).update(
        state="READY", failed_at=timezone.now(), reason="CRM_REFUSED", uploaded_at=None
    )
    assert Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE).exists()


def _add_imports(tenant: Tenant, *, by: User) -> None:
    """Add one that is previewed, and one that failed."""
    now = timezone.now()
    day = now.astimezone(tenant.zone).date()
    bulk_actions.preview_import(tenant, first=day, last=day, by=by, now=now)
    task_queue.drain()
    BulkAction.objects.create(
        kind=BulkAction.Kind.RETRY, requested_at=now, progressed_at=now, total=3, done=1, failed_at=now, requested_by=by
    )


def _add_incident(tenant: Tenant) -> None:
    now = timezone.now()
    Incident.objects.create(tenant=tenant, kind=Incident.Kind.NO_EVENTS, opened_at=now, last_seen_at=now)
    AlertDelivery.objects.create(channel=AlertDelivery.Channel.MAIL, subject="No events", body="…", created_at=now)
