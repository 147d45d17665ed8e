"""The BulkAction model: one action on many rows, or an import of past calls; its progress and result."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import models
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from telephony.models.choices import OPEN_STATES, FailureReason, ImportChoice, State
from tenants.models import Tenant

# Workers that may run imports at the same time, for all clients; the others are left for live calls.
AT_ONCE = 2
PROGRESS_FIELDS = ["seen", "done", "done_by_tenant", "progressed_at", "lost_leases"]  # by one row


@dataclass(frozen=True)
class Seen:
    """What a person knew of a call when they requested an action."""

    is_open: bool
    failed_at: datetime | None

    @classmethod
    def of_call(cls, call: Any) -> "Seen":
        """Return the same of a call, or of the row of an action."""
        return cls(is_open=State(call.state) in OPEN_STATES, failed_at=call.failed_at)


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What one portion of a bulk action did, and where the next one begins."""

    seen: int  # rows, or calls in UIS's report
    done: Mapping[int, int]  # by client
    cursor: int
    is_last: bool
    changes: Mapping[str, Any] = field(default_factory=dict)  # of further fields


class BulkActionQuerySet(LeasedQuerySet["BulkAction"]):
    def open(self) -> "BulkActionQuerySet":
        return self.filter(state__in=BulkAction.OPEN_STATES)

    def due(self, *, now: datetime) -> "BulkActionQuerySet":
        """Return actions with work to do, in turns. PREVIEWING comes before RUNNING: a person is waiting for it."""
        # One that waits for nothing is due also if the clock of the machine that queued it is ahead.
        queued = models.Q(claim_token=None, reason=FailureReason.NONE, next_attempt_at__isnull=False)
        due = self.filter(queued | models.Q(next_attempt_at__lte=now), tenant__offboarded_at=None)
        return due.order_by("state", "next_attempt_at", "pk")

    def claim_next(self, *, now: datetime) -> "BulkAction | None":
        """Claim the next one for this worker; None if there is none, or enough workers run imports."""
        running = self.held(now=now).filter(kind=BulkAction.Kind.IMPORT)
        due = self.due(now=now)
        if running.count() >= AT_ONCE:
            due = due.exclude(kind=BulkAction.Kind.IMPORT)
        rows = self.select_related("tenant__uis", "tenant__rule_version", "requested_by")
        for pk, state in due.values_list("pk", "state")[: 2 * AT_ONCE]:
            # It may have been cancelled, or claimed by another worker, meanwhile.
            if claimed := rows.claim_one(pk, only=models.Q(state=state), now=now):
                return claimed
        return None


class BulkAction(LeasedJob):
    """One action on every row that a filter matches, or on the past calls of one client."""

    class Kind(Choices):
        RETRY = "RETRY", _("retry calls")
        SKIP = "SKIP", _("skip calls permanently")
        REPROCESS = "REPROCESS", _("reprocess notifications")
        IMPORT = "IMPORT", _("import of past calls")

    class State(Choices):
        PREVIEWING = "PREVIEWING", _("previewing")  # only imports: UIS must be asked what there is
        PREVIEWED = "PREVIEWED", _("previewed")
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")
        CANCELLED = "CANCELLED", pgettext_lazy("bulk action", "cancelled")

    OPEN_STATES = (State.PREVIEWING, State.PREVIEWED, State.RUNNING)

    kind = models.CharField(_("what"), max_length=24, choices=Kind.as_choices)
    # Only of an import, and a client has one open import at most.
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+", verbose_name=_("client"))
    tenants = models.ManyToManyField(Tenant, related_name="+", verbose_name=_("clients"))  # of the rows; of no import
    # The filters, as in the query string of the list; of an import `first` and `last`, the days, both included.
    filters = models.JSONField(default=dict)
    comment = models.TextField(_("reason"), blank=True)  # typed by the person who requested it
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("requested by")
    )
    requested_at = models.DateTimeField(_("requested"))
    total = models.PositiveIntegerField(_("selected"), default=0)  # by the preview
    seen = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(_("done"), default=0)  # of an import: reported calls without a row of ours
    done_by_tenant = models.JSONField(default=dict)  # count by client since the last entry in the audit log
    # Only of an import: everything up to the cursor is processed. Times in Unix seconds.
    cursor_start = models.BigIntegerField(default=0)
    cursor = models.BigIntegerField(default=0)
    cursor_end = models.BigIntegerField(default=0)
    progressed_at = models.DateTimeField()  # time of the last progress
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.RUNNING)
    ended_at = models.DateTimeField(_("ended"), null=True)  # of the preview, or of the action

    reason = models.CharField(max_length=24, choices=FailureReason.as_choices, blank=True, default=FailureReason.NONE)
    code = models.CharField(max_length=60, blank=True)  # the vendor's error code
    detail = models.TextField(blank=True)
    failed_at = models.DateTimeField(_("failed"), null=True)

    # Only of an import.
    unexplained = models.PositiveIntegerField(default=0)
    skipped_by = models.JSONField(default=dict)  # those done that a rule skips: {rule: count}
    # Of its preview: how many are missed, how many others, and the missed without a later talk by the caller's digest.
    kinds = models.JSONField(default=dict)
    sample = models.JSONField(default=list)  # a few of those done, with masked numbers

    objects = BulkActionQuerySet.as_manager()

    class Meta:
        verbose_name = _("bulk action")
        verbose_name_plural = _("bulk actions")
        ordering = ("-requested_at", "-pk")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(state__in=["PREVIEWING", "PREVIEWED", "RUNNING"]),
                name="one_open_import_per_tenant",
            )
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="bulk_action_due", condition=models.Q(next_attempt_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @classmethod
    def visible_condition(cls, tenant_ids: Collection[int], _user: Any) -> models.Q:
        """Return which actions a user with a set of tenants sees: those on rows of these tenants alone."""
        of_action = cls.tenants.through._default_manager.filter(bulkaction=models.OuterRef("pk"))
        is_within = models.Exists(of_action) & ~models.Exists(of_action.exclude(tenant__in=tenant_ids))
        return models.Q(tenant__in=tenant_ids) | models.Q(is_within, tenant=None)

    @property
    @admin.display(description=_("unchanged"))
    def unchanged(self) -> int:
        """Number of rows that needed nothing, or could not be changed."""
        return max(0, self.seen - self.done - self.unexplained)

    @property
    def version(self) -> str:
        """Which preview a page showed: it may be previewed again, with other counts."""
        return f"{self.state} {self.done} {self.ended_at and self.ended_at.isoformat()}"

    @property
    def is_preview(self) -> bool:
        return self.state in {self.State.PREVIEWING, self.State.PREVIEWED}

    @property
    def is_active(self) -> bool:
        """Whether it continues without action by a person."""
        return self.next_attempt_at is not None

    @property
    def import_choice(self) -> ImportChoice:
        return ImportChoice(self.filters.get("choice", ImportChoice.ALL))

    @property
    def counts_by_choice(self) -> dict[ImportChoice, int]:
        """How many calls an import would hand over, by choice, as its preview counted them."""
        missed, others = self.kinds.get("missed", 0), self.kinds.get("others", 0)
        unanswered = sum(self.kinds.get("unanswered", {}).values())
        counts = {ImportChoice.WITHOUT_MISSED: others, ImportChoice.UNANSWERED: unanswered}
        return {choice: counts.get(choice, missed + others) for choice in ImportChoice}

    @property
    def share(self) -> float:
        """Progress, 0 to 1; of an import the share of the period that is compared."""
        part, whole = self.seen, self.total
        if self.kind == self.Kind.IMPORT:
            part, whole = self.cursor - self.cursor_start, self.cursor_end - self.cursor_start
        return min(1.0, part / whole) if whole and self.state != self.State.DONE else 1.0

    @property
    def period(self) -> list[datetime]:
        """Beginning of an import's period, the time up to which it is compared, and its end, exclusive."""
        return [datetime.fromtimestamp(cursor, UTC) for cursor in (self.cursor_start, self.cursor, self.cursor_end)]

    @property
    @admin.display(description=_("state"), ordering="state")
    def status(self) -> str:
        return gettext("failed") if self.failed_at else self.get_state_display()

    def restart(self, state: State, *, now: datetime) -> None:
        """Start from the beginning, with counters reset."""
        self.state, self.cursor, self.progressed_at, self.ended_at = state, self.cursor_start, now, None
        self.seen = self.done = self.unexplained = 0
        self.done_by_tenant, self.skipped_by, self.sample, self.kinds = {}, {}, [], {}
        self.wait_until(now, FailureReason.NONE)

    def add(self, portion: Portion, *, now: datetime) -> None:
        """Add what a portion did."""
        self.seen += portion.seen
        self.done += sum(portion.done.values())
        for pk, count in portion.done.items():
            self.done_by_tenant[str(pk)] = self.done_by_tenant.get(str(pk), 0) + count
        self.cursor, self.progressed_at = portion.cursor, now
        for name, value in portion.changes.items():
            setattr(self, name, value)

    def wait_until(
        self, moment: datetime | None, reason: FailureReason, *, code: str = "", detail: str = "", attempts: int = 0
    ) -> None:
        """Continue at `moment`; NONE is not a reason to wait. `attempts` are those that failed in a row."""
        self.reason, self.code, self.detail, self.attempts, self.failed_at = reason, code, detail, attempts, None
        self.release(moment)

    def end(self, state: State, *, now: datetime) -> None:
        """Finish the preview or the action. A portion still in progress may add its counts."""
        self.state, self.ended_at, self.next_attempt_at, self.failed_at = state, now, None, None


class BulkActionRow(models.Model):
    """A call or notification that an action has not processed yet, as it was when the action was requested."""

    action = models.ForeignKey(BulkAction, models.CASCADE, related_name="rows")
    row_id = models.BigIntegerField()
    state = models.CharField(max_length=24, default="", db_default="")  # of a call
    failed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["action", "row_id"], name="bulk_action_row_in_turn")]

    def __str__(self) -> str:
        return f"{self.action_id} {self.row_id}"

    @property
    def seen(self) -> Seen:
        return Seen.of_call(self)
