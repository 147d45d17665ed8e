"""Slots of the rate limiter, and heartbeats of the workers."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Turn(models.Model):
    """When the next request under one rate limit may be sent; `free_at` is in microseconds since the epoch."""

    name = models.CharField(max_length=200, primary_key=True)
    free_at = models.BigIntegerField()

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """One worker process and its last heartbeat."""

    name = models.CharField(_("name"), max_length=200, primary_key=True)
    queue = models.CharField(_("queue"), max_length=20)
    beat_at = models.DateTimeField(_("last heartbeat"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
