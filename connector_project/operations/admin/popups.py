"""Pop-ups. Full numbers are only on the page of a call."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.redaction import redact
from connector_project.operations.explain.labels import hangup
from crm.models import Popup
from tenants import datetime_display


@admin.register(Popup)
class PopupAdmin(ReadOnlyAdmin):
    keyset_field = "received_at"
    list_display = (
        datetime_display.short_column(Popup, "received_at", names_clock=True),
        *("tenant", "employee", "direction", "masked_contact", "state", "how_closed"),
        datetime_display.short_column(Popup, "sent_at"),
        datetime_display.short_column(Popup, "accepted_at"),
    )
    list_filter = ("state", "direction", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *("tenant", "session_id", "employee", "direction", "masked_contact", "number", "code", "crm_user_id"),
        *("state", "how_closed", "unknown", "answered"),
        *(
            datetime_display.full_field(Popup, name)
            for name in ("ringing_at", "received_at", "sent_at", "accepted_at", "closed_at")
        ),
    )

    @admin.display(description=_("contact"))
    def masked_contact(self, popup: Popup) -> str:
        return phone_numbers.mask(popup.contact)

    @admin.display(description=_("detail"))
    def answered(self, popup: Popup) -> str:
        return redact(popup.detail)

    @admin.display(description=_("how it was closed"), ordering="hangup")
    def how_closed(self, popup: Popup) -> str:
        return hangup(popup.hangup)
