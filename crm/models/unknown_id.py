"""UnknownId: extensions, users and stores unknown to the CRM, counted by day."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from connector_project.core import transactions
from connector_project.core.choices import Choices
from tenants.models import Tenant


class UnknownId(models.Model):
    """An ID unknown to the CRM, and how often it was reported on one day."""

    class Kind(Choices):
        CODE = "CODE", _("extension")
        USER = "USER", _("user")
        STORE = "STORE", _("store")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="unknown_ids", verbose_name=_("client"))
    kind = models.CharField(_("kind"), max_length=24, choices=Kind.as_choices)
    value = models.CharField(_("id"), max_length=100)
    last_seen_on = models.DateField(_("day"))
    count = models.PositiveIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("unknown ID")
        verbose_name_plural = _("unknown IDs")
        ordering = ("-last_seen_on", "kind", "value")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "kind", "value", "last_seen_on"], name="unknown_id_once_a_day")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"

    @classmethod
    @transactions.atomic
    def record(cls, tenant: Tenant, unknown: Mapping[Kind, Iterable[object]], *, now: datetime) -> None:
        """Increment the count of each ID for the tenant's day; `unknown` are the IDs by their kind."""
        day = now.astimezone(tenant.zone).date()
        ids = {(kind, str(value)[:100]) for kind, values in unknown.items() for value in values}
        for kind, value in sorted(ids):  # Sorted, so that two workers do not deadlock.
            row, _is_new = cls.objects.get_or_create(tenant=tenant, kind=kind, value=value, last_seen_on=day)
            cls.objects.filter(pk=row.pk).update(count=F("count") + 1)
