"""Every table and how long its rows are kept. A test fails on a model that is in none of these lists.

docs/retention.md has the same as a table for people; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef, Q

from telephony.models import BulkAction, Call, State
from tenants.retention import Term


@dataclass(frozen=True)
class Kept:
    """Rows of a table are kept for a term, counted from a column, and only finished ones are purged."""

    term: Term
    since: str  # a datetime or date column
    finished: Q = field(default_factory=Q)


_NOT_DUE = Q(next_attempt_at=None)
_DONE_STATES = (State.UPLOADED, State.SKIPPED)
# In this order: a notification goes after its call.
TERMS: Mapping[str, Kept] = {
    "telephony.Call": Kept(Term.CALLS, "started_at", _NOT_DUE & Q(state__in=_DONE_STATES)),
    "telephony.Notification": Kept(Term.CALLS, "received_at", _NOT_DUE),
    "telephony.BulkAction": Kept(
        Term.CALLS, "ended_at", Q(state__in=[BulkAction.State.DONE, BulkAction.State.CANCELLED])
    ),
    "crm.Popup": Kept(Term.CALLS, "received_at", ~Q(state="OPENING")),
    "crm.Command": Kept(Term.CALLS, "received_at", _NOT_DUE),
    "crm.UnknownId": Kept(Term.CALLS, "last_seen_on"),
    "operations.Incident": Kept(Term.CALLS, "resolved_at", Q(state="RESOLVED")),
    "operations.AlertDelivery": Kept(Term.PAYLOAD, "created_at", _NOT_DUE),
    "telephony.OutgoingRequest": Kept(Term.PAYLOAD, "sent_at"),
    "operations.Erasure": Kept(Term.LOGS, "requested_at", _NOT_DUE),
    "telephony.DailyReconciliation": Kept(Term.LOGS, "day", Q(closed_at__isnull=False)),
    "telephony.AccessLogEntry": Kept(Term.LOGS, "last_at"),
    "tenants.AuditLogEntry": Kept(Term.LOGS, "at"),
    "tenants.ApiKey": Kept(Term.LOGS, "revoked_at"),
    "admin.LogEntry": Kept(Term.LOGS, "action_time"),
    "django_q.Task": Kept(Term.PAYLOAD, "stopped"),
}
# Rows that are deleted with the row that they belong to.
WITH_PARENT: Mapping[str, tuple[str, str]] = {
    "telephony.CallLogEntry": ("telephony.Call", "call"),
    "telephony.RecordingLink": ("telephony.Call", "call"),
    "telephony.RequestedCall": ("telephony.OutgoingRequest", "request"),
    "telephony.BulkActionRow": ("telephony.BulkAction", "action"),
}
# Rows that end by themselves: the queue, sessions, heartbeats, failed sign-ins.
TRANSIENT: Mapping[str, str] = {
    "sessions.Session": "until it expires; clearsessions runs daily",
    "django_q.OrmQ": "until a worker takes it",
    "core.QueuedTask": "as long as its entry of the queue",
    "core.WorkerHeartbeat": "10 minutes after the last heartbeat",
    "operations.RulePreview": "a week after its end; deleted nightly",
    "telephony.CallDelta": "until it is counted, every minute",
    "crm.PopupDelta": "until it is counted, every minute",
    "axes.AccessAttempt": "until it counts no more; deleted daily",
    "axes.AccessAttemptExpiration": "as long as its attempt",
    "axes.AccessFailureLog": "not written: the audit log has it",
    "axes.AccessLog": "not written: the audit log has it",
}
# Settings and state: one row per client, account, person or thing, deleted with it.
PERMANENT: Mapping[str, str] = {
    "tenants.Tenant": "until the client's data is deleted",
    "tenants.UisConnection": "with the client",
    "tenants.CrmConnection": "with the client",
    "tenants.RuleDraft": "with the client",
    "tenants.RuleVersion": "with the client: calls and pop-ups name the one that decided",
    "tenants.Employee": "with the client",
    "tenants.CrmUser": "with the client",
    "tenants.VirtualNumber": "with the client",
    "tenants.UisStatus": "with the client",
    "tenants.RemoteList": "with the client",
    "tenants.CheckRun": "with the client; the last run only",
    "tenants.ErasureKey": "with the client",
    "tenants.ReconnectLink": "with the client; the last one only",
    "telephony.ReportCursor": "with the client; one row per kind",
    "telephony.DailyCalls": "as long as a call of the day is kept: it counts them",
    "telephony.DailyEmployeeCalls": "as long as a call of the day is kept: it counts them",
    "crm.DailyPopups": "as long as a pop-up of the day is kept: it counts them",
    "crm.DailyPopupsOfAll": "as long as a pop-up of the day is kept: it counts them",
    "crm.UploadVerification": "with the client; the last one only",
    "operations.Activation": "with the client; the last one only",
    "operations.TrafficProfile": "with the client; the last one only",
    "core.RateLimitSlot": "one row per rate limit",
    "core.Rollup": "one row per roll-up",
    "core.RollupZone": "with the client; one row per roll-up",
    "core.PeriodicRound": "one row per kind of periodic work",
    "tenants.User": "until an administrator deletes the account",
    "auth.Group": "permanently",
    "auth.Permission": "permanently",
    "contenttypes.ContentType": "permanently",
    "django_q.Schedule": "permanently",
    "tenants.TotpDevice": "with the account",
    "tenants.RecoveryCode": "with the account",
    "operations.MarketplaceRegistration": "permanently: a request is accepted once",
}
# The raw texts of a notification are emptied earlier than its row is deleted.
PAYLOAD = Kept(Term.PAYLOAD, "received_at", _NOT_DUE & ~Q(query="", body=""))
NOTIFICATION = "telephony.Notification"


def model_of(label: str) -> type[models.Model]:
    return apps.get_model(label)


def installed(labels: Mapping[str, object]) -> list[str]:
    """Return the labels of models that this installation has."""
    known = {model._meta.label for model in apps.get_models()}
    return [label for label in labels if label in known]


def without_call(*, started_before: object) -> Q:
    """Return the condition on notifications that no call needs: it has none, or one that is purged too."""
    kept = TERMS["telephony.Call"]
    calls = Call.objects.filter(tenant=OuterRef("tenant"), session_id=OuterRef("session_id"))
    return ~Q(Exists(calls.exclude(kept.finished, started_at__lt=started_before)))
