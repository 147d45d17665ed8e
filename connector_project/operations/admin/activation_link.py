"""The messages that show a link for the client once."""

from django.utils.html import format_html
from django.utils.translation import gettext

from connector_project.operations.onboarding import reconnect
from crm import integration_module
from tenants import datetime_display
from tenants.models import ReconnectLink, Tenant


def link_message(tenant: Tenant) -> str:
    message = gettext(
        "The activation link, shown only now. Copy it and send it to the client; it is valid until %(day)s."
    )
    day = datetime_display.day(tenant, tenant.activation_expires_at or tenant.created_at)
    return format_html(
        '{}<br><code class="admin-link">{}</code>', message % {"day": day}, integration_module.activation_url(tenant)
    )


def reconnect_message(tenant: Tenant) -> str:
    link = ReconnectLink.objects.get(tenant=tenant)
    message = gettext(
        "The link for the new key, shown only now. Copy it and send it to the client; it works once, until %(day)s."
    )
    text = message % {"day": datetime_display.day(tenant, link.expires_at)}
    return format_html('{}<br><code class="admin-link">{}</code>', text, reconnect.url(link))
