"""The history of a call: one line for each try."""

from collections.abc import Sequence
from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from telephony.models.call import Call
from telephony.models.words import Cause, Step


class Attempt(models.Model):
    """One try at one call."""

    call = models.ForeignKey(Call, models.CASCADE, related_name="history", verbose_name=_("call"))
    at = models.DateTimeField(_("at"))
    step = models.CharField(_("step"), max_length=10, choices=Step.choices)
    cause = models.CharField(_("cause"), max_length=24, choices=Cause.choices, blank=True)
    says = models.TextField(_("detail"), blank=True)
    milliseconds = models.PositiveIntegerField(_("ms"), null=True)

    class Meta:
        verbose_name = _("try")
        verbose_name_plural = _("history")
        ordering = ("at", "pk")

    def __str__(self) -> str:
        return f"{self.get_step_display()} {self.says}".strip()


def note_all(calls: Sequence[Call], step: Step, *, now: datetime, milliseconds: int) -> None:
    """Add one line to the history of each call of a batch."""
    Attempt.objects.bulk_create(
        Attempt(call=call, step=step, cause=call.cause, says=call.says, at=now, milliseconds=milliseconds)
        for call in calls
    )
