"""The Notification model: each received webhook and its outcome."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models.functions import RowNumber
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.jobs import QUEUED_FOR, LeasedJob, LeasedQuerySet
from connector_project.core.networks import LONGEST_ADDRESS
from telephony.uis.types import Event
from tenants.models import RuleVersion, Tenant
from tenants.transfer_rules import SkipReason

LONGEST_EVENT = 40
POPUP_TTL = timedelta(seconds=10)  # a pop-up that is opened later only disturbs
# Notifications whose pop-up was dropped by a fault; a condition of an index, so without names of the class.
POPUP_FAULTS = models.Q(
    outcome="DROPPED",
    reason__in=[
        *("STALE", "CRM_AWAY", "CRM_FAILED", "CRM_DENIED", "INTERNAL_ERROR"),
        *("UNKNOWN_EMPLOYEE", "NOT_LINKED"),
    ],
)
# What no worker has read or holds; a condition of an index.
WAITING = models.Q(outcome="RECEIVED", claim_token__isnull=True)
# The fields that processing writes; the body, the largest part of the row, is never rewritten.
PROCESSING_FIELDS = [
    *["key", "event", "session_id", "employee_uis_id", "happened_at", "parsed_event"],
    *["outcome", "reason", "detail", "next_attempt_at", "claim_token"],
]


class NotificationQuerySet(LeasedQuerySet["Notification"]):
    def unprocessed(self, *, now: datetime) -> "NotificationQuerySet":
        """Return notifications that no worker has read yet; one that broke its worker is not waited for."""
        # Queued, claimed or due: a failed one is postponed for longer.
        return self.filter(outcome=Notification.Outcome.RECEIVED, next_attempt_at__lte=now + QUEUED_FOR)

    def kept_events(self, tenant_id: Any, session_id: Any) -> "NotificationQuerySet":
        """Return the notifications of a call whose events are its evidence; also with placeholders."""
        return self.filter(tenant=tenant_id, session_id=session_id, parsed_event__isnull=False)

    def supersede(self) -> None:
        """Let the events of these be evidence no longer; what was done for them stays. Needs a transaction."""
        # Two workers that process notifications of one call must not wait for each other.
        rows = self.select_for_update(skip_locked=True).order_by("pk")
        superseded = self.model.objects.filter(pk__in=list(rows.values_list("pk", flat=True)))
        plain = [Notification.Reason.NONE, Notification.Reason.NOTHING_TO_DO]
        superseded.filter(reason__in=plain).update(reason=Notification.Reason.SUPERSEDED)
        superseded.update(parsed_event=None)

    def too_late_for_popup(self, *, now: datetime) -> "NotificationQuerySet":
        """Return processed notifications of a ringing phone whose pop-up has not been opened in time."""
        ringing = self.filter(outcome=Notification.Outcome.QUEUED, event__in=[Event.WAITING, Event.OUTGOING])
        return ringing.filter(received_at__lt=now - POPUP_TTL)

    def in_turn(self) -> "NotificationQuerySet":
        """Order by turns of the tenants: the oldest of each, then the second of each, and so on."""
        oldest_first = ["next_attempt_at", "pk"]
        turn = models.Window(RowNumber(), partition_by="tenant", order_by=oldest_first)
        return self.annotate(turn=turn).order_by("turn", *oldest_first)

    def with_related(self) -> "NotificationQuerySet":
        """Join the tenant with both connections and the rules."""
        return self.select_related("tenant__uis", "tenant__crm", "tenant__rule_version")


class Notification(LeasedJob):
    """One webhook request of UIS."""

    class Outcome(Choices):
        RECEIVED = "RECEIVED", _("not processed yet")
        QUEUED = "QUEUED", _("queued")
        DONE = "DONE", _("done")
        REPEATED = "REPEATED", _("duplicate")
        DROPPED = "DROPPED", _("dropped")
        UNREADABLE = "UNREADABLE", _("unreadable")

    class Reason(Choices):
        NONE = "", ""
        EMPTY = "EMPTY", _("the body is empty")
        NOT_JSON = "NOT_JSON", _("the body is not JSON: check the template for missing commas and brackets")
        NO_EVENT = "NO_EVENT", _("the template has no field “event”")
        UNKNOWN_EVENT = "UNKNOWN_EVENT", _("the field “event” has an unknown value")
        NO_SESSION = "NO_SESSION", _("call_session_id is missing or was not filled in")
        BAD_CHARSET = "BAD_CHARSET", _("the body is not UTF-8, and the stated charset is unknown: use UTF-8")
        STALE = "STALE", _("received too late for a pop-up")
        CALL_OVER = "CALL_OVER", _("the call ended before the pop-up could be shown")
        ON_ANSWER = "ON_ANSWER", _("the pop-up opens when the employee answers")
        COLLEAGUE_ANSWERED = "COLLEAGUE_ANSWERED", _("a colleague had already answered")
        PAUSED = "PAUSED", _("the client is paused or not activated: no pop-ups")
        CRM_DENIED = "CRM_DENIED", _("the CRM rejects our access")
        NO_EMPLOYEE = "NO_EMPLOYEE", _("UIS named no employee")
        UNKNOWN_EMPLOYEE = "UNKNOWN_EMPLOYEE", _("the employee is not in our list")
        NOT_LINKED = "NOT_LINKED", _("the employee is not linked to a CRM user")
        ALREADY_SHOWN = "ALREADY_SHOWN", _("the pop-up is already on the screen")
        RULE = "RULE", _("suppressed by a rule")
        CRM_AWAY = "CRM_AWAY", _("the CRM was not answering")
        CRM_FAILED = "CRM_FAILED", _("the CRM did not accept the pop-up")
        INTERNAL_ERROR = "INTERNAL_ERROR", _("internal error: tell the developers of the connector")
        UNKNOWN_SOURCE = (
            "UNKNOWN_SOURCE",
            _("it came from an address that is not among the client's expected ones: UIS's report decides"),
        )
        NOTHING_TO_DO = "NOTHING_TO_DO", _("nothing to do")
        ERASED = "ERASED", _("the number was erased")
        SUPERSEDED = "SUPERSEDED", _("no longer used: the call had many more, and UIS's report decides")

    # Several indices begin with the client, so that it needs none of its own.
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="notifications", verbose_name=_("client"), db_index=False
    )
    received_at = models.DateTimeField(_("received"))
    event_in_url = models.CharField(_("event in the URL"), max_length=LONGEST_EVENT, blank=True)
    via_old_hook = models.BooleanField(default=False, editable=False)  # received at the webhook URL before rotation
    query = models.TextField(_("query"), blank=True)
    body = models.TextField(_("body"), blank=True)
    digest = models.CharField(max_length=64)
    source = models.CharField(_("source address"), max_length=LONGEST_ADDRESS, blank=True, default="")
    repeats = models.PositiveIntegerField(_("repeats"), default=0)
    # Repeats of late, for the tenant's limit: the number of the last one's ten seconds, those in them, in their minute.
    repeat_window = models.BigIntegerField(null=True, editable=False)
    window_repeats = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    minute_repeats = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    key = models.CharField(max_length=200, null=True, editable=False)  # noqa: DJ001 -- unprocessed rows have none, and NULL is not unique
    event = models.CharField(_("event"), max_length=20, blank=True, default="")
    session_id = models.BigIntegerField(_("session"), null=True)
    employee_uis_id = models.BigIntegerField(null=True)
    happened_at = models.DateTimeField(_("happened"), null=True)
    # What `calls.stored_events` reads and writes; NULL until processed, and for unreadable ones.
    parsed_event = models.JSONField(null=True, editable=False)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.as_choices, default=Outcome.RECEIVED)
    reason = models.CharField(_("reason"), max_length=24, choices=Reason.as_choices, blank=True, default=Reason.NONE)
    detail = models.TextField(_("detail"), blank=True, default="")

    objects = NotificationQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-received_at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="notification_stored_once"),
            models.UniqueConstraint(fields=["tenant", "key"], name="notification_processed_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "session_id"], name="notification_by_session"),
            # Of the events that are kept: those of one kind are few, whatever else is stored of a call.
            models.Index(
                fields=["tenant", "session_id", "event", "-id"],
                name="notification_kept_events",
                condition=models.Q(parsed_event__isnull=False),
            ),
            models.Index(
                fields=["next_attempt_at"],
                name="notification_pending",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Those that wait for their first worker, and those that one has: `webhooks.turns`.
            models.Index(fields=["tenant", "received_at", "id"], name="notification_waiting", condition=WAITING),
            models.Index(fields=["tenant"], name="notification_claimed", condition=models.Q(claim_token__isnull=False)),
            models.Index(fields=["-received_at", "-id"], name="notification_newest"),
            models.Index(
                fields=["repeat_window"],
                name="notification_repeated",
                condition=models.Q(repeat_window__isnull=False),
            ),
            models.Index(fields=["tenant", "-received_at"], name="notification_of_tenant"),
            models.Index(fields=["tenant", "event", "-received_at"], name="notification_of_event"),
            # Rings without a pop-up by a fault are few, and looked for each minute.
            models.Index(fields=["received_at"], name="notification_popup_fault", condition=POPUP_FAULTS),
            # What still has its raw text, for the purge.
            models.Index(
                fields=["tenant", "received_at"],
                name="notification_with_payload",
                condition=~models.Q(query="", body=""),
            ),
            models.Index(
                fields=["tenant", "event_in_url", "reason", "-received_at"],
                name="notification_unreadable",
                condition=models.Q(outcome="UNREADABLE"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event or self.event_in_url or '?'} {self.session_id or ''}"

    @property
    def has_no_text(self) -> bool:
        """Return whether the text of a readable notification was deleted: by its retention, or because of its size."""
        is_read = self.outcome not in {self.Outcome.RECEIVED, self.Outcome.UNREADABLE}
        return is_read and not (self.query or self.body)

    @staticmethod
    def rule_detail(rule: SkipReason | str, version: RuleVersion, *, own: str) -> str:
        """Return the detail of a pop-up that the rules did not show: by which rule, of which version.

        `own` is what the employee has chosen for themselves; "" if the rules chose.
        """
        return f"{rule}:{version.number}" + (f":{own}" if own else "")

    @property
    def suppressed_by(self) -> tuple[str, str]:
        """The rule that suppressed the pop-up, and the number of its version; ("", "") if none did."""
        rule, number, _own = self.suppression
        return (rule, number) if self.reason == self.Reason.RULE else ("", "")

    @property
    def suppression(self) -> tuple[str, str, str]:
        """What `rule_detail` has: the rule, the number of the version, the employee's own choice."""
        rule, number, own, *_rest = [*self.detail.split(":"), "", "", ""]
        return rule, number, own

    def close(self, outcome: Outcome, reason: str = "", detail: str = "") -> None:
        """Set the outcome; the row is not processed again."""
        self.outcome, self.reason, self.detail = outcome, reason, detail
        self.release(None)
