"""Commands of the CRM: clicks and status changes. Full numbers are only on the page of a call."""

import json

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.redaction import redact
from crm.models import Command
from tenants import datetime_display, status_labels


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    list_display = (
        datetime_display.short_column(Command, "received_at", names_clock=True),
        *("tenant", "kind", "employee", "masked_contact", "shown_status", "state", "reason", "session_id"),
    )
    list_filter = ("kind", "state", "reason", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *(
            "tenant",
            "kind",
            datetime_display.full_field(Command, "received_at"),
            "raw_params",
            "employee",
            "masked_contact",
            "number",
        ),
        *(
            "shown_status",
            "state",
            "reason",
            "answered",
            "session_id",
            datetime_display.full_field(Command, "finished_at"),
        ),
    )

    @admin.display(description=_("contact"), ordering="contact")
    def masked_contact(self, command: Command) -> str:
        return phone_numbers.mask(command.contact)

    @admin.display(description=_("original request"))
    def raw_params(self, command: Command) -> str:
        return redact(json.dumps(command.params, ensure_ascii=False))

    @admin.display(description=_("detail"))
    def answered(self, command: Command) -> str:
        return redact(command.detail)

    @admin.display(description=_("status"), ordering="status")
    def shown_status(self, command: Command) -> str:
        return status_labels.crm_status(command.status)
