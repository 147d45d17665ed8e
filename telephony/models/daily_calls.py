"""Calls counted by tenant and local day: the roll-up of the statistics, and the deltas that are not in it yet."""

from django.db import models

from connector_project.core.models import Delta
from telephony.models.choices import Direction, Result
from tenants.models import Tenant

OUTCOME_COLUMNS = ("answered", "missed", "reached", "not_reached", "unknown")
# Incoming calls by the local hour of their start: `answered_09`.
HOUR_COLUMNS = {(outcome, hour): f"{outcome}_{hour:02}" for outcome in ("answered", "missed") for hour in range(24)}


def _tenant() -> models.ForeignKey[Tenant, Tenant]:
    """No constraint: rows are written without looking the tenant up, and a deleted tenant's rows are counted down."""
    return models.ForeignKey(Tenant, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)


class CallDelta(Delta):
    """The columns of a call that decide how it is counted, before or after a change. Written by the database only."""

    tenant = _tenant()
    started_at = models.DateTimeField()
    employee_id = models.BigIntegerField(null=True)
    direction = models.CharField(max_length=3, choices=Direction.as_choices, blank=True)
    result = models.CharField(max_length=12, choices=Result.as_choices, blank=True)
    is_lost = models.BooleanField(null=True)
    talk_seconds = models.PositiveIntegerField()


class DailyCalls(models.Model):
    """The calls of one tenant and day by outcome, without internal calls."""

    tenant = _tenant()
    day = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "day"], name="daily_calls_once_per_day")]
        indexes = [models.Index(fields=["day"], name="daily_calls_of_day")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.day}"


# One column for each, not a row: the page of all clients sums up 24 times fewer rows.
for _column in (*OUTCOME_COLUMNS, *HOUR_COLUMNS.values()):
    DailyCalls.add_to_class(_column, models.IntegerField(default=0, db_default=0))


class DailyEmployeeCalls(models.Model):
    """The incoming calls of one tenant, day and owner."""

    tenant = _tenant()
    day = models.DateField()
    employee_key = models.BigIntegerField()  # 0: no owner
    answered = models.IntegerField(default=0, db_default=0)
    missed = models.IntegerField(default=0, db_default=0)
    unknown = models.IntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "day", "employee_key"], name="daily_employee_calls_once_per_day")
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.day} {self.employee_key}"
