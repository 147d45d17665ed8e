"""What we remember of a list that a vendor returned, so that one bad answer removes nothing."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from tenants.models.tenant import Tenant


class RemoteList(models.Model):
    """One list of a client's account; `tenants.remote_lists` decides what its absent rows mean."""

    class Kind(Choices):
        EMPLOYEES = "EMPLOYEES", _("employees in UIS")
        NUMBERS = "NUMBERS", _("virtual numbers in UIS")
        STATUSES = "STATUSES", _("statuses in UIS")
        CRM_USERS = "CRM_USERS", _("users in the CRM")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="remote_lists")
    kind = models.CharField(max_length=16, choices=Kind.as_choices)
    asked_at = models.DateTimeField()  # when the last stored answer was requested
    absent = models.JSONField(default=dict)  # keys of known rows that are missing, and since when
    known_count = models.PositiveIntegerField(default=0)
    received_count = models.PositiveIntegerField(default=0)
    short_since = models.DateTimeField(null=True)  # since when the list is much shorter than what we know
    accepted_at = models.DateTimeField(null=True)  # when a person confirmed that it is right
    incomplete_since = models.DateTimeField(null=True)  # since when the vendor sends fewer rows than it states
    read_again_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "kind"], name="remote_list_once_per_tenant")]
        indexes = [
            models.Index(
                fields=["read_again_at"],
                name="remote_list_to_read_again",
                condition=models.Q(read_again_at__isnull=False),
            ),
            models.Index(fields=["tenant"], name="remote_list_short", condition=models.Q(short_since__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_kind_display()}"
