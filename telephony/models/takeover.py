"""A period of earlier calls that a person takes over: first it is only looked at, then taken, part by part."""

import uuid
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from telephony.models.due import LEASE
from telephony.models.words import Cause
from tenants.models import Tenant

# Workers that may be at it at the same time, whoever's calls these are: the others are for the calls of today.
AT_ONCE = 2
MOMENT = timedelta(microseconds=1)


class TakeoverQuerySet(models.QuerySet["Takeover"]):
    """Those that are under way."""

    def open(self) -> "TakeoverQuerySet":
        """Those that have not come to an end; a client has one at most."""
        return self.filter(state__in=Takeover.OPEN)

    def due(self, *, now: datetime) -> "TakeoverQuerySet":
        """Those with a part to be done, in turn. LOOKING stands before RUNNING: a person waits for it."""
        at_work = self.filter(state__in=Takeover.AT_WORK, next_attempt_at__lte=now, tenant__left_at=None)
        return at_work.order_by("state", "next_attempt_at", "pk")

    def claim(self, *, now: datetime) -> "Takeover | None":
        """Take the one whose turn it is for this worker: attempt counted, lease set, in one UPDATE."""
        busy = self.filter(claim_token__isnull=False, next_attempt_at__gt=now).count()
        chosen = self.due(now=now).first() if busy < AT_ONCE else None
        if chosen is None:
            return None
        token = uuid.uuid4()
        # The second look at next_attempt_at is what makes one of two workers go without.
        self.filter(pk=chosen.pk, state=chosen.state, next_attempt_at__lte=now).update(
            claim_token=token, attempts=models.F("attempts") + 1, next_attempt_at=now + LEASE
        )
        return self.select_related("tenant__uis", "tenant__rules").filter(pk=chosen.pk, claim_token=token).first()


class Takeover(models.Model):
    """One period of one client, from the first look to the last call."""

    class State(models.TextChoices):
        LOOKING = "LOOKING", _("being looked at")
        LOOKED = "LOOKED", _("looked at")
        RUNNING = "RUNNING", _("being taken over")
        DONE = "DONE", _("taken over")
        CANCELLED = "CANCELLED", _("broken off")

    AT_WORK = (State.LOOKING, State.RUNNING)
    OPEN = (*AT_WORK, State.LOOKED)

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="takeovers", verbose_name=_("client"))
    since = models.DateTimeField()
    till = models.DateTimeField()  # this moment is no more part of it
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.LOOKING)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # of the look, or of the whole

    compared_until = models.DateTimeField()  # how far it has come
    moved_at = models.DateTimeField()  # when it came so far
    missing = models.PositiveIntegerField(default=0)  # of the day it stands in: listed calls without a row of ours
    uis_calls = models.PositiveIntegerField(default=0)
    found = models.PositiveIntegerField(default=0)  # calls of the list nobody had told us of
    skipped_by = models.JSONField(default=dict)  # those of them that a rule keeps back: {rule: count}
    unexplained = models.PositiveIntegerField(default=0)
    foreseen = models.PositiveIntegerField(default=0)  # what the look found
    sample = models.JSONField(default=list)  # a few of them, their numbers masked

    cause = models.CharField(max_length=24, choices=Cause.choices, blank=True, default=Cause.NONE)
    code = models.CharField(max_length=60, blank=True)  # the vendor's own word for it
    says = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)  # since a part last came to an end
    next_attempt_at = models.DateTimeField(null=True)
    claim_token = models.UUIDField(null=True, editable=False)
    stopped_at = models.DateTimeField(null=True)

    objects = TakeoverQuerySet.as_manager()

    class Meta:
        verbose_name = _("takeover of earlier calls")
        verbose_name_plural = _("takeovers of earlier calls")
        ordering = ("-pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(state__in=["LOOKING", "RUNNING", "LOOKED"]),
                name="one_open_takeover_per_tenant",
            )
        ]
        indexes = [
            models.Index(
                fields=["state", "next_attempt_at"],
                name="takeover_due",
                condition=models.Q(next_attempt_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.first_day} – {self.last_day}"

    @property
    def first_day(self) -> date:
        """The first day of the period, by the client's clock."""
        return self.since.astimezone(self.tenant.zone).date()

    @property
    def last_day(self) -> date:
        """The last day of the period, by the client's clock; of today it holds what is over."""
        return max(self.first_day, (self.till - MOMENT).astimezone(self.tenant.zone).date())

    @property
    def is_at_work(self) -> bool:
        """Whether it goes on without anybody."""
        return self.state in self.AT_WORK and self.stopped_at is None

    @property
    def share(self) -> float:
        """How much of the period is compared, 0 to 1."""
        whole = self.till - self.since
        return (self.compared_until - self.since) / whole if whole else 1.0

    def begin(self, state: State, *, now: datetime) -> None:
        """Go through the period from its start, and count anew."""
        self.state, self.compared_until, self.moved_at, self.ended_at = state, self.since, now, None
        self.missing = self.uis_calls = self.found = self.unexplained = 0
        self.skipped_by, self.sample = {}, []
        self.go_on(now=now)

    def go_on(self, *, now: datetime) -> None:
        """Go on from where it stands; whatever held it up is forgotten."""
        self.wait_until(now, Cause.NONE)
        self.stopped_at = None

    def wait_until(self, moment: datetime, cause: Cause, *, code: str = "", says: str = "") -> None:
        """Stay where it stands until `moment`, and say why."""
        self.cause, self.code, self.says, self.next_attempt_at = cause, code, says, moment
        self.attempts, self.claim_token = 0, None

    def stop(self, cause: Cause, *, code: str = "", says: str = "", now: datetime) -> None:
        """Leave it to a person."""
        self.wait_until(now, cause, code=code, says=says)
        self.next_attempt_at, self.stopped_at = None, now

    def end(self, state: State, *, now: datetime) -> None:
        """Come to an end, of the look or of the whole; a part that is at work still tells what it brought."""
        self.state, self.ended_at, self.next_attempt_at, self.stopped_at = state, now, None, None
