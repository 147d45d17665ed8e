"""Slots of the rate limiter, names of queued tasks, rounds of periodic work, and heartbeats of the workers."""

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
