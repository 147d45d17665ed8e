"""The Call model: one row per phone call, with its processing state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Reverse
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.jobs import released
from telephony.models import call_statements, choices
from telephony.models.call_queryset import CallQuerySet
from telephony.models.choices import Direction, FailureReason, Result, Step
from telephony.models.retries import RetriedJob
from telephony.uis.attribution import LONGEST as LONGEST_NAME
from tenants import rule_labels
from tenants.models import Employee, RuleVersionField, Tenant, User
from tenants.transfer_rules import RuleInput, RuleSet, SkipReason


class Call(RetriedJob):
    """One phone call of one client, from the first event to the upload to the CRM."""

    State = choices.State

    class Origin(Choices):
        WEBHOOK = "WEBHOOK", _("from a notification")
        REPORT = "REPORT", _("from UIS's report")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="calls", verbose_name=_("client"))
    session_id = models.BigIntegerField(_("session"))
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices)
    origin = models.CharField(_("origin"), max_length=8, choices=Origin.as_choices, default=Origin.WEBHOOK)

    direction = models.CharField(_("direction"), max_length=3, choices=Direction.as_choices, blank=True)
    contact = models.CharField(_("contact"), max_length=32, blank=True)
    number = models.CharField(_("our number"), max_length=32, blank=True)
    started_at = models.DateTimeField(_("started"))
    ended_at = models.DateTimeField(_("ended"))
    is_lost = models.BooleanField(null=True)
    is_internal = models.BooleanField(_("internal"), default=False)
    talk_seconds = models.PositiveIntegerField(_("talk, s"), default=0)  # 0 also where UIS did not say
    wait_seconds = models.PositiveIntegerField(_("wait, s"), default=0)
    result = models.CharField(_("result"), max_length=12, choices=Result.as_choices, blank=True)
    rung_employee_ids = models.JSONField(default=list)
    source = models.CharField(_("source"), max_length=LONGEST_NAME, blank=True)
    scenario = models.CharField(_("scenario"), max_length=LONGEST_NAME, blank=True)
    campaign = models.CharField(_("campaign"), max_length=LONGEST_NAME, blank=True)
    tags = models.JSONField(_("tags"), default=list)
    # Where these four come from, and what else is known of where the call came from: `calls.attribution`.
    attribution = models.JSONField(default=dict, editable=False)
    # "known" or "new": whether the CRM knows the customer; "" if nobody asked.
    crm_customer = models.CharField(_("customer"), max_length=5, blank=True)
    command_external_id = models.CharField(_("click-to-call ID"), max_length=100, blank=True)
    employee = models.ForeignKey(
        Employee, models.SET_NULL, null=True, related_name="+", db_index=False, verbose_name=_("employee")
    )
    crm_user_id = models.BigIntegerField(_("CRM user"), null=True)  # as the CRM named; may be no employee of ours
    uis_snapshot = EncryptedTextField(blank=True, editable=False)  # report row and legs, from calls.evidence
    recording_url = EncryptedTextField(blank=True, editable=False)
    recording_missing_since = models.DateTimeField(null=True, editable=False)  # when UIS was asked and had none
    # UIS records these talks, and had not every recording when it was asked last.
    awaits_recording = models.BooleanField(default=False, editable=False)
    has_legs = models.BooleanField(default=False)  # the legs are known; only the recording may be missing

    is_low_priority = models.BooleanField(_("low priority"), default=False)  # found late, or delayed by an outage
    report_date = models.DateField(_("report date"), null=True)  # in the client's time zone

    # Of the import that found the call; empty if none did.
    import_choice = models.CharField(
        max_length=20, choices=choices.ImportChoice.as_choices, blank=True, default="", db_default="", editable=False
    )
    is_erased = models.BooleanField(default=False, editable=False)  # what is told of it later is ignored
    rule_version = (
        RuleVersionField()
    )  # by which its owner was chosen; when it is done, all of it was decided by this one
    skip_reason = models.CharField(_("rule"), max_length=20, choices=rule_labels.skip_reasons, blank=True)
    uploaded_at = models.DateTimeField(_("uploaded"), null=True)

    objects = CallQuerySet.as_manager()

    class Meta:
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        ordering = ("-started_at", "-pk")
        constraints = [models.UniqueConstraint(fields=["tenant", "session_id"], name="call_once_per_tenant")]
        indexes = [
            models.Index(
                fields=["tenant", "state", "is_low_priority", "next_attempt_at"],
                name="call_due_in_turn",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(
                fields=["tenant", "-failed_at"], name="call_stopped", condition=models.Q(failed_at__isnull=False)
            ),
            models.Index(
                fields=["-started_at"], name="call_stopped_newest", condition=models.Q(failed_at__isnull=False)
            ),
            models.Index(
                fields=["tenant", "report_date", "state"],
                name="call_listed",
                condition=models.Q(report_date__isnull=False),
            ),
            models.Index(fields=["-started_at", "-id"], name="call_newest"),
            models.Index(fields=["tenant", "-started_at"], name="call_of_tenant"),
            models.Index(fields=["contact", "-started_at"], name="call_of_contact"),
            models.Index(fields=["session_id"], name="call_of_session"),
            models.Index(fields=["number", "-started_at"], name="call_of_number"),
            # Searches by the last digits of a number.
            models.Index(Reverse("contact"), models.F("started_at").desc(), name="call_of_contact_end"),
            models.Index(
                fields=["employee", "-started_at"],
                name="call_of_employee",
                condition=models.Q(employee__isnull=False),
            ),
            # Calls that did not reach the CRM are rare and often searched for.
            models.Index(
                fields=["state", "-started_at"],
                name="call_not_uploaded",
                condition=~models.Q(state=choices.State.UPLOADED),
            ),
            models.Index(fields=["reason", "-started_at"], name="call_of_reason", condition=~models.Q(reason="")),
            models.Index(
                fields=["skip_reason", "-started_at"], name="call_of_rule", condition=~models.Q(skip_reason="")
            ),
            # Where calls came from; of many nothing is known, and most are plain calls of the PBX.
            models.Index(
                fields=["source", "-started_at"],
                name="call_of_source",
                condition=~models.Q(source__in=["", choices.PLAIN_SOURCE]),
            ),
            models.Index(fields=["scenario", "-started_at"], name="call_of_scenario", condition=~models.Q(scenario="")),
            models.Index(fields=["campaign", "-started_at"], name="call_of_campaign", condition=~models.Q(campaign="")),
            GinIndex(fields=["tags"], name="call_tagged", opclasses=["jsonb_path_ops"], condition=~models.Q(tags=[])),
            models.Index(
                fields=["tenant", "ended_at"],
                name="call_awaits_recording",
                condition=models.Q(awaits_recording=True, state=choices.State.UPLOADED),
            ),
            # For the board of missed callers: recent missed calls, and talks with those callers since.
            models.Index(
                fields=["tenant", "-started_at"],
                name="call_missed",
                condition=models.Q(direction=Direction.IN, is_lost=True, talk_seconds=0, is_internal=False),
            ),
            models.Index(
                fields=["tenant", "contact", "ended_at"],
                name="call_answered",
                condition=models.Q(is_internal=False)
                & (models.Q(result=Result.ANSWERED) | models.Q(result="", is_lost=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id}"

    @property
    def is_missed(self) -> bool:
        return self.direction == "in" and self.is_lost is True and not self.talk_seconds

    @property
    def is_answered(self) -> bool:
        return self.result == Result.ANSWERED

    @property
    def is_done(self) -> bool:
        return self.state in _DONE

    def is_expired(self, *, now: datetime) -> bool:
        """Return whether the call is older than the client's upload window."""
        return self.started_at < self.tenant.upload_window_start(now=now)

    def skipping_rule(self, rules: RuleSet, *, now: datetime) -> SkipReason | None:
        """Return the rule that skips the call, if any."""
        owner = (self.employee.uis_id,) if self.employee else ()
        rule_input = RuleInput(
            direction=self.direction,
            is_answered=self.is_answered,
            is_internal=self.is_internal,
            contact=self.contact,
            number=self.number,
            employees=owner or tuple(self.rung_employee_ids),
            is_too_old=self.is_expired(now=now),
            source=self.source,
            customer=self.crm_customer,
        )
        return rules.upload_skip_reason(rule_input)

    def move_to(
        self,
        state: choices.State,
        *,
        reason: FailureReason = FailureReason.NONE,
        due_at: datetime | None = None,
        now: datetime,
    ) -> None:
        """Enter a state; its step is due at once, or for a reason at `due_at`."""
        for name, value in moved(state, reason=reason, due_at=due_at, now=now).items():
            setattr(self, name, value)

    def log(
        self, step: Step, detail: str = "", *, by: User | None = None, now: datetime, duration_ms: int | None = None
    ) -> None:
        call_log = apps.get_model("telephony", "CallLogEntry")
        values = {"step": step, "reason": self.reason, "detail": detail, "at": now, "duration_ms": duration_ms}
        call_statements.inserts(call_log).insert([call_log(call_id=self.pk, actor=by, **values)])


_DONE = {choices.State.UPLOADED, choices.State.SKIPPED}


def moved(
    state: choices.State,
    *,
    reason: FailureReason = FailureReason.NONE,
    due_at: datetime | None = None,
    now: datetime,
) -> dict[str, Any]:
    """Return the fields of a call that enters a state; its step is due at once, or for a reason at `due_at`."""
    fields: dict[str, Any] = {"state": state, "reason": reason, "detail": "", "failed_at": None}
    fields |= {"attempts": 0, "first_attempt_at": None}
    fields |= released(None if state in _DONE else due_at or now)
    return fields | ({"uploaded_at": now} if state == choices.State.UPLOADED else {})


# The fields that a processing step may change.
PIPELINE_FIELDS = [
    *["state", "reason", "detail", "attempts", "first_attempt_at", "failed_at", "uploaded_at"],
    *["next_attempt_at", "claim_token", "claimed_by", "lost_leases"],
    *["source", "scenario", "campaign", "tags", "attribution"],
    *["direction", "contact", "number", "command_external_id", "crm_customer", "is_internal", "is_lost", "result"],
    *["talk_seconds", "wait_seconds", "started_at", "ended_at", "rung_employee_ids"],
    *["employee_id", "crm_user_id", "uis_snapshot", "recording_url", "awaits_recording"],
    *["has_legs", "skip_reason", "rule_version_id", "is_erased"],
]


@contextmanager
def saving_changes(calls: Sequence[Call]) -> Iterator[None]:
    """Save the fields of these calls that the body changes.

    Fields with one value for the whole batch (after an upload: all) are written by one UPDATE, because a bulk_update
    with a value per row needs much more CPU.
    """
    was = [_snapshot(call) for call in calls]
    yield
    now = [_snapshot(call) for call in calls]
    changed = [
        name for name in PIPELINE_FIELDS if any(old[name] != new[name] for old, new in zip(was, now, strict=True))
    ]
    same = {name: now[0][name] for name in changed if all(new[name] == now[0][name] for new in now)}
    if same:
        call_statements.changes(tuple(same)).run(pks=[call.pk for call in calls], **same)
    if different := [name for name in changed if name not in same]:
        Call.objects.bulk_update(calls, different)


def _snapshot(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in PIPELINE_FIELDS}
