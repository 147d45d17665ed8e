"""What the floor keeps for itself: the turns of request budgets, and which workers are alive."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Turn(models.Model):
    """When the next request of one account may leave, in microseconds of unix time."""

    name = models.CharField(max_length=200, primary_key=True)
    free_at = models.BigIntegerField()

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """One worker process, and when it was last heard of."""

    name = models.CharField(_("name"), max_length=200, primary_key=True)
    queue = models.CharField(_("queue"), max_length=20)
    beat_at = models.DateTimeField(_("last beat"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
