"""The ReportCursor model: how far the scheduled comparisons of one client's report have come."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.jobs import LeasedJob, LeasedQuerySet
from tenants.models import Tenant


class ReportCursor(LeasedJob):
    """One kind of scheduled comparison of one client, which goes on where it came to, part by part.

    It is always due; its lease keeps a second worker away.
    """

    class Kind(Choices):
        RECENT = "RECENT", _("recent calls")
        DAYS = "DAYS", _("whole days")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="report_cursors")
    kind = models.CharField(max_length=8, choices=Kind.as_choices)
    # Calls that began before this were compared by the last run that came to its end.
    completed_until = models.DateTimeField(null=True)
    # The period of the run in progress, and up to where it is compared; NULL: there is none.
    run_since = models.DateTimeField(null=True)
    run_till = models.DateTimeField(null=True)
    compared_until = models.DateTimeField(null=True)
    is_run_incomplete = models.BooleanField(default=False)  # the run in progress lacks calls
    incomplete_runs = models.PositiveSmallIntegerField(default=0)  # in a row

    objects = LeasedQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "kind"], name="report_cursor_once_per_kind")]

    def __str__(self) -> str:
        return f"{self.tenant_id} · {self.kind}"
