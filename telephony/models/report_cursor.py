"""The ReportCursor model: how far the scheduled comparisons of one client's report have come."""

import functools
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.compiled_returning import CompiledReturning
from connector_project.core.jobs import LEASE, LeasedJob, LeasedQuerySet, lease_fields, may_be_claimed, worker_name
from connector_project.core.placeholders import Placeholders
from tenants.models import Tenant


class ReportCursorQuerySet(LeasedQuerySet["ReportCursor"]):
    """Claims of cursors. Their statements are compiled: each client's runs every ten minutes, mostly for nothing."""

    def claim(self, tenant: Tenant, kind: "ReportCursor.Kind", *, now: datetime) -> "ReportCursor | None":
        """Claim a client's cursor, which is made if needed; None while another worker has it."""
        key = {"tenant": tenant.pk, "kind": str(kind)}
        token = uuid.uuid4()
        claimed = _claim().first(**key, token=token, worker=worker_name(), now=now)
        if claimed is None:
            _cursor, is_new = self.get_or_create(tenant=tenant, kind=kind, defaults={"next_attempt_at": now})
            claimed = _claim().first(**key, token=token, worker=worker_name(), now=now) if is_new else None
        return claimed

    def claim_together(
        self, tenant_ids: Sequence[int], kind: "ReportCursor.Kind", *, now: datetime
    ) -> "list[ReportCursor]":
        """Claim the cursors of these clients by one statement, unless another worker has one; new clients have none."""
        key = {"tenants": tenant_ids, "kind": str(kind)}
        return _claim_together().fetch(**key, token=uuid.uuid4(), worker=worker_name(), now=now)


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

    objects = ReportCursorQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "kind"], name="report_cursor_once_per_kind")]

    def __str__(self) -> str:
        return f"{self.tenant_id} · {self.kind}"


def _of(given: Placeholders) -> models.QuerySet[ReportCursor]:
    return ReportCursor.objects.filter(tenant=given.integer("tenant"), kind=given.text("kind")).order_by()


@functools.cache
def _claim() -> CompiledReturning[ReportCursor]:
    return CompiledReturning(lambda given: _claimed(_of(given), given))


@functools.cache
def _claim_together() -> CompiledReturning[ReportCursor]:
    def build(given: Placeholders) -> Any:
        rows = ReportCursor.objects.filter(tenant__pk__in=given.integers("tenants"), kind=given.text("kind"))
        return _claimed(rows, given)

    return CompiledReturning(build, lists=["tenants"])


def _claimed(rows: models.QuerySet[ReportCursor], given: Placeholders) -> Any:
    now = given.moment("now")
    fields = lease_fields(given.uuid("token"), given.text("worker"), until=now + LEASE)
    return rows.filter(may_be_claimed(now)), fields
