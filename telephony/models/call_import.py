"""The CallImport model: import of the past calls of one period, first a preview, then the import, in parts."""

from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from telephony.models.choices import FailureReason
from tenants.models import Tenant

# Workers that may run imports at the same time, for all clients; the others are left for live calls.
AT_ONCE = 2
MOMENT = timedelta(microseconds=1)


class CallImportQuerySet(LeasedQuerySet["CallImport"]):
    def open(self) -> "CallImportQuerySet":
        """Return unfinished imports; a client has one at most."""
        return self.filter(state__in=CallImport.OPEN_STATES)

    def due(self, *, now: datetime) -> "CallImportQuerySet":
        """Return imports with work to do. PREVIEWING comes before RUNNING: a person is waiting for it."""
        active = self.filter(state__in=CallImport.ACTIVE_STATES, next_attempt_at__lte=now, tenant__offboarded_at=None)
        return active.order_by("state", "next_attempt_at", "pk")

    def claim_next(self, *, now: datetime) -> "CallImport | None":
        """Claim the next one for this worker: one UPDATE counts the attempt and sets the lease."""
        busy = self.filter(claim_token__isnull=False, next_attempt_at__gt=now).count()
        chosen = self.due(now=now).first() if busy < AT_ONCE else None
        if chosen is None:
            return None
        # It may have been cancelled or finished meanwhile.
        unchanged = models.Q(state=chosen.state, next_attempt_at__lte=now)
        return self.select_related("tenant__uis", "tenant__rules").claim_one(chosen.pk, only=unchanged, now=now)


class CallImport(LeasedJob):
    """The import of one period of one client, from the preview to the last call."""

    class State(Choices):
        PREVIEWING = "PREVIEWING", _("previewing")
        PREVIEWED = "PREVIEWED", _("previewed")
        RUNNING = "RUNNING", _("importing")
        DONE = "DONE", _("imported")
        CANCELLED = "CANCELLED", pgettext_lazy("bulk action", "cancelled")

    ACTIVE_STATES = (State.PREVIEWING, State.RUNNING)
    OPEN_STATES = (*ACTIVE_STATES, State.PREVIEWED)

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="call_imports", verbose_name=_("client"))
    since = models.DateTimeField()
    till = models.DateTimeField()  # exclusive
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.PREVIEWING)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # of the preview, or of the import

    cursor_at = models.DateTimeField()  # everything before this is compared
    last_progress_at = models.DateTimeField()  # time of the last progress
    missing = models.PositiveIntegerField(default=0)  # of the current day: reported calls without a row of ours
    uis_calls = models.PositiveIntegerField(default=0)
    found = models.PositiveIntegerField(default=0)  # reported calls we had no notification of
    skipped_by = models.JSONField(default=dict)  # those of them that a rule skips: {rule: count}
    unexplained = models.PositiveIntegerField(default=0)
    preview_count = models.PositiveIntegerField(default=0)  # number of calls the preview found
    sample = models.JSONField(default=list)  # a few of them, with masked numbers

    reason = models.CharField(max_length=24, choices=FailureReason.as_choices, blank=True, default=FailureReason.NONE)
    code = models.CharField(max_length=60, blank=True)  # the vendor's error code
    detail = models.TextField(blank=True)
    failed_at = models.DateTimeField(null=True)

    objects = CallImportQuerySet.as_manager()

    class Meta:
        verbose_name = _("import of past calls")
        verbose_name_plural = _("imports of past calls")
        ordering = ("-pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(state__in=["PREVIEWING", "RUNNING", "PREVIEWED"]),
                name="one_open_import_per_tenant",
            )
        ]
        indexes = [
            models.Index(
                fields=["state", "next_attempt_at"],
                name="call_import_due",
                condition=models.Q(next_attempt_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.first_day} – {self.last_day}"

    @property
    def first_day(self) -> date:
        """First day of the period, in the client's time zone."""
        return self.since.astimezone(self.tenant.zone).date()

    @property
    def last_day(self) -> date:
        """Last day of the period, in the client's time zone; if today, only its past part is included."""
        return max(self.first_day, (self.till - MOMENT).astimezone(self.tenant.zone).date())

    @property
    def is_active(self) -> bool:
        """Whether it continues without action by a person."""
        return self.state in self.ACTIVE_STATES and self.failed_at is None

    @property
    def share(self) -> float:
        """Share of the period that is compared, 0 to 1."""
        period = self.till - self.since
        return (self.cursor_at - self.since) / period if period else 1.0

    def restart(self, state: State, *, now: datetime) -> None:
        """Restart from the beginning of the period, with counters reset."""
        self.state, self.cursor_at, self.last_progress_at, self.ended_at = state, self.since, now, None
        self.missing = self.uis_calls = self.found = self.unexplained = 0
        self.skipped_by, self.sample = {}, []
        self.advance(now=now)

    def advance(self, *, now: datetime) -> None:
        """Continue from the current position; clear the reason for waiting or failing."""
        self.postpone_until(now, FailureReason.NONE)
        self.failed_at = None

    def postpone_until(self, moment: datetime, reason: FailureReason, *, code: str = "", detail: str = "") -> None:
        """Wait until `moment`, for the given reason."""
        self.reason, self.code, self.detail, self.attempts = reason, code, detail, 0
        self.release(moment)

    def fail(self, reason: FailureReason, *, code: str = "", detail: str = "", now: datetime) -> None:
        """Stop; a person must act."""
        self.postpone_until(now, reason, code=code, detail=detail)
        self.next_attempt_at, self.failed_at = None, now

    def end(self, state: State, *, now: datetime) -> None:
        """Finish the preview or the import. A part still in progress may add its counts."""
        self.state, self.ended_at, self.next_attempt_at, self.failed_at = state, now, None, None
