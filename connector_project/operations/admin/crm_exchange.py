"""What we exchange with the CRM: pop-ups, and commands (clicks and status changes)."""

import json

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from connector_project.core import number_forms
from connector_project.core.admin.base import column, masked_column, redacted_column
from connector_project.core.redaction import redact
from connector_project.operations.admin.number_search import NumberSearchAdmin
from crm.models import Command, Popup
from telephony.models import OutgoingRequest
from tenants.datetime_display import full_field, full_fields, short_column
from tenants.status_labels import crm_status


@admin.register(Popup)
class PopupAdmin(NumberSearchAdmin):
    keyset_field = "received_at"
    contact = masked_column(Popup, "contact")
    list_display = (
        short_column(Popup, "received_at", names_clock=True),
        *("tenant", "employee", "direction", contact, "state", "hangup"),
        short_column(Popup, "sent_at"),
        short_column(Popup, "accepted_at"),
    )
    list_filter = ("state", "direction", "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *("tenant", "session_id", "employee", "direction", contact, "number", "code", "crm_user_id"),
        *("state", "hangup", "unknown", redacted_column(Popup, "detail")),
        *full_fields(Popup, "ringing_at", "received_at", "sent_at", "accepted_at", "closed_at"),
    )


@admin.register(Command)
class CommandAdmin(NumberSearchAdmin):
    contact = masked_column(Command, "contact")
    shown_status = column(Command, "status", lambda command: crm_status(command.status))
    list_display = (
        short_column(Command, "received_at", names_clock=True),
        *("tenant", "kind", "employee", contact, shown_status, "state", "reason", "session_id"),
    )
    list_filter = ("kind", "state", "reason", "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *(
            "tenant",
            "kind",
            full_field(Command, "received_at"),
            "raw_params",
            "employee",
            contact,
            "extension",
            "number",
        ),
        *(shown_status, "state", "reason", redacted_column(Command, "detail"), "session_id"),
        *full_fields(Command, "finished_at", "told_at"),
        "sent_requests",
    )

    @admin.display(description=_("outgoing requests"))
    def sent_requests(self, command: Command) -> str:
        """Return what was sent for this command, with the answers: there may be no call that shows it."""
        rows = OutgoingRequest.objects.filter(tenant=command.tenant_id, command_id=command.pk)
        texts = ((f"{row} {row.duration_ms} ms", "\n\n".join([row.request, row.response or row.error])) for row in rows)
        shown = ((name, number_forms.mask_number(redact(text), command.contact)) for name, text in texts)
        template = '<details><summary>{}</summary><pre class="admin-raw" tabindex="0">{}</pre></details>'
        return format_html_join("", template, shown)

    @admin.display(description=_("original request"))
    def raw_params(self, command: Command) -> str:
        return number_forms.mask_number(redact(json.dumps(command.params, ensure_ascii=False)), command.contact)
