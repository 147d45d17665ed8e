"""CRM requests and pop-ups in the admin. Full numbers are shown only on a call's page."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from connector_project import phones
from connector_project.logs import hide
from connector_project.readonly import ReadOnlyAdmin
from crm.models import Command, Popup
from crm.why.words import hangup
from tenants import clock, words


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    list_display = (
        clock.short(Command, "received_at", names_clock=True),
        *("tenant", "kind", "employee", "who", "shown_status", "state", "reason", "session_id"),
    )
    list_filter = ("kind", "state", "reason", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *("tenant", "kind", clock.whole(Command, "received_at"), "as_asked", "employee", "who", "number"),
        *("shown_status", "state", "reason", "answered", "session_id", clock.whole(Command, "finished_at")),
    )

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    @admin.display(description=_("contact"), ordering="contact")
    def who(self, command: Command) -> str:
        return phones.masked(command.contact)

    @admin.display(description=_("as asked"))
    def as_asked(self, command: Command) -> str:
        return hide(json.dumps(command.asked, ensure_ascii=False))

    @admin.display(description=_("detail"))
    def answered(self, command: Command) -> str:
        return hide(command.says)

    @admin.display(description=_("status"), ordering="status")
    def shown_status(self, command: Command) -> str:
        return words.crm_status(command.status)


@admin.register(Popup)
class PopupAdmin(ReadOnlyAdmin):
    newest_by = "received_at"
    list_display = (
        clock.short(Popup, "received_at", names_clock=True),
        *("tenant", "employee", "direction", "who", "state", "how_closed"),
        clock.short(Popup, "sent_at"),
        clock.short(Popup, "accepted_at"),
    )
    list_filter = ("state", "direction", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *("tenant", "session_id", "employee", "direction", "who", "number", "code", "crm_user_id"),
        *("state", "how_closed", "unknown", "answered"),
        *(clock.whole(Popup, name) for name in ("rang_at", "received_at", "sent_at", "accepted_at", "closed_at")),
    )

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    @admin.display(description=_("contact"))
    def who(self, popup: Popup) -> str:
        return phones.masked(popup.contact)

    @admin.display(description=_("detail"))
    def answered(self, popup: Popup) -> str:
        return hide(popup.says)

    @admin.display(description=_("how it was closed"), ordering="hangup")
    def how_closed(self, popup: Popup) -> str:
        return hangup(popup.hangup)
