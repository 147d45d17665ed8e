"""The log of a call: one entry per processing step."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.compiled_queries import CompiledInsert
from telephony.models.call import Call
from telephony.models.choices import FailureReason, Step


class CallLogEntry(models.Model):
    call = models.ForeignKey(Call, models.CASCADE, related_name="history", verbose_name=_("call"))
    at = models.DateTimeField(_("at"))
    step = models.CharField(_("step"), max_length=24, choices=Step.as_choices)
    reason = models.CharField(_("reason"), max_length=24, choices=FailureReason.as_choices, blank=True)
    detail = models.TextField(_("detail"), blank=True)
    duration_ms = models.PositiveIntegerField(_("ms"), null=True)
    # For an upload: the owner sent and the answer; for an evaluation: the rules that chose the owner.
    details = models.JSONField(default=dict, editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False, verbose_name=_("by")
    )

    class Meta:
        verbose_name = _("call log entry")
        verbose_name_plural = _("call log")
        ordering = ("at", "pk")
        indexes = [  # Late answers are rare, and looked for each minute.
            models.Index(fields=["at"], name="call_log_late_answer", condition=models.Q(step=Step.LATE_ANSWER.value))
        ]

    def __str__(self) -> str:
        return f"{self.get_step_display()} {self.detail}".strip()


def log_many(
    calls: Sequence[Call],
    step: Step,
    *,
    now: datetime,
    milliseconds: int | None = None,
    details: Mapping[int, dict[str, Any]] | None = None,
    **more: Any,
) -> None:
    """Add one log entry per call of a batch; `details` by the call's primary key."""
    entries = [
        CallLogEntry(
            call_id=call.pk,
            step=step,
            at=now,
            duration_ms=milliseconds,
            details=(details or {}).get(call.pk, {}),
            **({"reason": call.reason, "detail": call.detail} | more),
        )
        for call in calls
    ]
    if entries:
        _entries.insert(entries)


_entries = CompiledInsert(CallLogEntry)
