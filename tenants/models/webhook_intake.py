"""What limits a tenant's notifications, and what was refused. Workers write it, the web process reads it."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.networks import is_within, parse_address


class WebhookIntake(models.Model):
    """A part of the UIS connection: the storing statement reads this row anyway."""

    oversized_webhooks = models.PositiveIntegerField(_("oversized notifications rejected"), default=0, editable=False)
    # The busiest minute of the last weeks; 0 while they are fewer than four.
    busiest_minute = models.PositiveIntegerField(_("notifications in the busiest minute"), default=0, editable=False)
    limited_until = models.DateTimeField(_("notifications refused until"), null=True, editable=False)
    limited_since = models.DateTimeField(null=True, editable=False)  # of the present flood, or of the last one
    refused_webhooks = models.PositiveIntegerField(_("notifications refused over the limit"), default=0, editable=False)
    refused_before = models.PositiveIntegerField(default=0, editable=False)  # `refused_webhooks` when the flood began
    # `refused_webhooks` when a worker looked last, for the rate since then.
    refused_seen = models.PositiveIntegerField(default=0, editable=False)
    refused_seen_at = models.DateTimeField(null=True, editable=False)
    dropped_unreadable = models.PositiveIntegerField(
        _("unreadable notifications counted only"), default=0, editable=False
    )
    # Networks, as `core.networks` reads them; empty: from anywhere.
    expected_sources = models.JSONField(_("expected source addresses"), default=list, blank=True)
    unexpected_webhooks = models.PositiveIntegerField(
        _("notifications from unexpected addresses"), default=0, editable=False
    )
    unexpected_source = models.CharField(_("last unexpected address"), max_length=45, blank=True, editable=False)
    unexpected_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True

    def expects(self, source: str) -> bool:
        """Return whether notifications may come from an address: any, unless the expected ones are listed.

        One that is not known, as behind a proxy that states none, is no other address.
        """
        return not self.expected_sources or not parse_address(source) or is_within(source, self.expected_sources)

    def is_limited(self, *, now: datetime) -> bool:
        return self.limited_until is not None and self.limited_until > now
