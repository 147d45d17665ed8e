"""Rows of the whole service: rate limits, queued tasks, rounds of periodic work, heartbeats, roll-ups."""

from datetime import timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

# Older than this, a heartbeat no longer counts.
LIVE_FOR = timedelta(seconds=45)


class RateLimitSlot(models.Model):
    """When the next request under one rate limit may be sent; `next_slot_at` is in microseconds since the epoch."""

    name = models.CharField(max_length=200, primary_key=True)
    next_slot_at = models.BigIntegerField()

    def __str__(self) -> str:
        return self.name


class QueuedTask(models.Model):
    """The name of an entry in the queue's table. It is written with the entry, and deleted by the sweep after it."""

    entry = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=200, db_index=True)

    def __str__(self) -> str:
        return self.name


class PeriodicRound(models.Model):
    """How far periodic work of all clients has come; see `tenants.periodic_work`."""

    task = models.CharField(max_length=200, primary_key=True)
    started_at = models.DateTimeField()
    clients = models.PositiveIntegerField(default=0)  # when it began
    queued = models.PositiveIntegerField(default=0)
    last_client = models.BigIntegerField(default=0)  # those up to this primary key have had their turn
    is_over = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.task


class WorkerHeartbeat(models.Model):
    """One worker process and its last heartbeat."""

    name = models.CharField(_("name"), max_length=200, primary_key=True)
    queue = models.CharField(_("queue"), max_length=20)
    last_seen_at = models.DateTimeField(_("last heartbeat"))

    class Meta:
        verbose_name = _("worker heartbeat")
        verbose_name_plural = _("worker heartbeats")

    def __str__(self) -> str:
        return self.name


class Rollup(models.Model):
    """One roll-up. Its row is locked while deltas are folded into it; `version` counts these transactions."""

    name = models.CharField(max_length=20, primary_key=True)
    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class RollupZone(models.Model):
    """The time zone by whose days a tenant is counted in a roll-up; without a row, the tenant is not counted yet.

    It outlives its tenant until all their rows are subtracted, so it has no foreign key.
    """

    rollup = models.CharField(max_length=20)
    tenant_id = models.BigIntegerField()
    time_zone = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rollup", "tenant_id"], name="rollup_zone_once_per_tenant")]

    def __str__(self) -> str:
        return f"{self.rollup} {self.tenant_id} {self.time_zone}"


class Delta(models.Model):
    """What a change of a row adds to a count (weight 1) or takes away (-1); written by triggers (`row_triggers`)."""

    weight = models.SmallIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.weight:+}"
