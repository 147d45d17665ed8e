"""RulePreview: what a draft of the rules would have made of a period's calls; counted in portions by a worker."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from tenants.models import RuleVersionField, Tenant


class RulePreview(LeasedJob):
    """Nothing is sent, and no call is changed. Deleted a week after its end."""

    class State(Choices):
        RUNNING = "RUNNING", pgettext_lazy("preview of rules", "running")
        DONE = "DONE", pgettext_lazy("preview of rules", "done")
        CANCELLED = "CANCELLED", pgettext_lazy("preview of rules", "cancelled")
        FAILED = "FAILED", pgettext_lazy("preview of rules", "failed")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="rule_previews", verbose_name=_("client"))
    rules = models.JSONField(editable=False)  # the document of the draft, as it was when the preview was begun
    rule_version = RuleVersionField()  # which the draft is based on
    since = models.DateTimeField(_("from"))
    till = models.DateTimeField(_("to"))  # not part of the period
    state = models.CharField(_("state"), max_length=24, choices=State.as_choices, default=State.RUNNING)
    total = models.PositiveIntegerField(default=0)  # rows to replay
    done = models.PositiveIntegerField(default=0)
    # The kind of rows in progress, and after which row the next portion begins; {}: at the beginning.
    position = models.JSONField(default=dict, editable=False)
    result = models.JSONField(default=dict, editable=False)  # what `operations.preview_counts` has counted
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("requested by")
    )
    requested_at = models.DateTimeField(_("requested"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = LeasedQuerySet["RulePreview"].as_manager()

    class Meta:
        verbose_name = _("preview of rules")
        verbose_name_plural = _("previews of rules")
        ordering = ("-requested_at", "-pk")
        indexes = [
            models.Index(fields=["tenant", "-requested_at"], name="rule_preview_of_tenant"),
            models.Index(
                fields=["next_attempt_at"], name="rule_preview_due", condition=models.Q(next_attempt_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def percent(self) -> int:
        if self.state == self.State.DONE:
            return 100
        return min(99, 100 * self.done // self.total) if self.total else 0

    @property
    def is_active(self) -> bool:
        return self.next_attempt_at is not None

    @property
    def counts(self) -> dict[str, Any]:
        """What is counted of calls and of pop-ups."""
        return {name: self.result.get(name, {}) for name in ("call", "popup")}
