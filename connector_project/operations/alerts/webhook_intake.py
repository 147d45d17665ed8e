"""The rules about what arrives at a client's webhook URL: too many notifications, and ones from elsewhere."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.operations.alerts.rule import Context, Rule
from connector_project.operations.models import Incident
from tenants.models import Tenant, UisConnection

# A limit may begin and end between two evaluations.
LIMIT_SEEN_FOR = timedelta(minutes=1)
SOURCE_SEEN_FOR = timedelta(hours=1)


class NotificationFlood(Rule):
    kind = Incident.Kind.FLOOD
    resolved_text = _("Notifications are stored again. Reconciliation uploads the calls of those that were refused.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        for row in _intakes(limited_until__gt=now - LIMIT_SEEN_FOR):
            refused = row.refused_webhooks - row.refused_before
            yield self.incident("OVER_LIMIT", row.tenant_id, since=row.limited_since, refused=refused)

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "Too many notifications since %(moment)s: %(refused)s were refused. No pop-ups open for them. If UIS does "
            "not send them, somebody knows the webhook URL: press “Rotate webhook URL” on the client's page."
        )
        return text % context


class UnexpectedSource(Rule):
    kind = Incident.Kind.UNKNOWN_SOURCE
    resolved_text = _("No more notifications came from unexpected addresses.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        for row in _intakes(unexpected_at__gt=now - SOURCE_SEEN_FOR):
            if row.expected_sources:
                address, count = row.unexpected_source, row.unexpected_webhooks
                yield self.incident("ADDRESS", row.tenant_id, since=row.unexpected_at, address=address, count=count)

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "Notifications come from addresses that are not expected: the last one at %(moment)s from %(address)s, "
            "%(count)s in all. They open no pop-ups. If it is UIS, pin the address on the client's page; else press "
            "“Rotate webhook URL” there."
        )
        return text % context


def _intakes(**conditions: datetime) -> QuerySet[UisConnection]:
    """Return rows without the access key, which need not be decrypted."""
    return UisConnection.objects.filter(**conditions).defer("access_token").order_by("tenant")
