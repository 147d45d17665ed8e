"""The parts of a client's page: both connections, rules and numbers."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.edit_formsets import EditFormSet
from connector_project.core.admin.editing import EditAdmin
from connector_project.operations.alerts import denials
from crm.client_factory import takes_statuses
from telephony import access_log
from tenants import contact_list, permissions, rule_versions
from tenants.datetime_display import full_field
from tenants.forms import (
    CrmForm,
    UisForm,
    key_hint,
    status_choices,
)
from tenants.models import Connection, CrmConnection, Employee, RuleDraft, Tenant, UisConnection, VirtualNumber
from tenants.rules import StatusSync
from tenants.rules_form import RulesForm
from tenants.status_labels import STATUS_FIELDS
from tenants.virtual_number_forms import NumberForm, NumberFormSet

DENIAL = (full_field(Connection, "denied_at"), "denied_access")
FOLDED = ("collapse",)
LISTS = ("number_filter", "numbers", "employee_filter", "employees", "contact_filter", "contacts")
RECORDING_LINK = ("recording_link", "recording_days")


class OnePerTenantInline(admin.StackedInline[Any, Tenant]):
    """A part that each client has exactly once."""

    formset = EditFormSet
    can_delete = False
    min_num = max_num = 1


class ConnectionInline(OnePerTenantInline):
    """One of the two accounts. Only the end of its key is shown, also to users who may replace it."""

    key_name = ""
    short: tuple[str, ...] = ()  # fields of a new client

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": self.short, "description": _("The client can enter the keys.")}),)
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return _replace(self.fieldsets, self.key_name, "key_end")  # On a read-only page Django would show the key.

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.reader = request.user  # type: ignore[attr-defined]  # ConnectionForm
        return formset

    @admin.display(description=_("access denied"))
    def denied_access(self, connection: Any) -> str:
        return " ".join(one.message for one in denials.of_connection(connection))

    @admin.display(description=_("key"))
    def key_end(self, connection: Any) -> str:
        return key_hint(getattr(connection, self.key_name))


class UisInline(ConnectionInline):
    model = UisConnection
    form = UisForm
    key_name = "access_token"
    short = ("brand", "access_token")
    answered = (
        *DENIAL,
        full_field(UisConnection, "synced_at"),
        *("oversized_webhooks", "refused_webhooks", full_field(UisConnection, "limited_until")),
        *("busiest_minute", "dropped_unreadable", "unexpected_webhooks"),
        *(full_field(UisConnection, name) for name in ("old_hook_until", "hook_revoked_at")),
    )
    fieldsets = (
        (None, {"fields": ("brand", "access_token", "agent_user_id")}),
        (_("Connection status"), {"fields": answered}),
        (
            _("Advanced"),
            {
                "fields": ("time_zone", "media_host", "expected_sources", "data_limits", "call_limits"),
                "classes": FOLDED,
            },
        ),
    )
    readonly_fields = (*answered, "data_limits", "call_limits", "key_end")


class CrmInline(ConnectionInline):
    model = CrmConnection
    form = CrmForm
    key_name = "key"
    short = ("address", "key")
    answered = (*DENIAL, "served_version", "module_code", full_field(CrmConnection, "registered_at"))
    fieldsets = (
        (None, {"fields": ("address", "key", "site")}),
        (_("Connection status"), {"fields": answered}),
        (_("Advanced"), {"fields": ("version", "time_zone"), "classes": FOLDED}),
    )
    readonly_fields = (*answered, "key_end")


class RulesInline(OnePerTenantInline):
    model = RuleDraft
    form = RulesForm
    fieldsets = (
        (_("Pop-ups"), {"fields": (("popup_incoming", "popup_outgoing"),)}),
        (_("Uploads"), {"fields": (("upload_answered", "upload_missed", "upload_outgoing", "upload_internal"),)}),
        (
            _("Number, employee and contact filters"),
            {"fields": LISTS},
        ),
        (_("Recordings"), {"fields": (("send_recording", "recording_wait_minutes"), RECORDING_LINK)}),
        (_("Call owner"), {"fields": (("owner", "missed_owner"),)}),
        (_("Statuses"), {"fields": ("status_sync", STATUS_FIELDS)}),
    )
    readonly_fields = ("masked_contacts",)

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        """Mask the list of contacts for users who may not see full numbers."""
        may_see = permissions.can_see_full_numbers(request.user)
        return self.fieldsets if may_see else _replace(self.fieldsets, "contacts", "masked_contacts")

    @admin.display(description=_("these contacts"))
    def masked_contacts(self, draft: RuleDraft) -> str:
        return permissions.masked_list(draft.contacts)

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        """Offer only the numbers, employees and statuses of this tenant."""
        formset = super().get_formset(request, obj, **kwargs)
        fields: dict[str, Any] = formset.form.base_fields
        fields["numbers"].queryset = VirtualNumber.objects.filter(tenant=obj)
        fields["employees"].queryset = Employee.objects.filter(tenant=obj)
        if (crm := getattr(obj, "crm", None)) and not takes_statuses(crm):
            _limit_status_sync(fields["status_sync"], stored=crm.tenant.draft.status_sync)
        choices = status_choices(obj)
        for name in STATUS_FIELDS:
            fields[name] = forms.ChoiceField(choices=choices, label=fields[name].label, initial=fields[name].initial)
        return formset


class PartsAdmin(EditAdmin):
    """Saves the parts together: what one of them does to another."""

    def _create_formsets(self, request: HttpRequest, obj: Any, change: bool) -> Any:
        """Let the numbers know the rules of the same page."""
        formsets, inlines = super()._create_formsets(request, obj, change)  # type: ignore[misc]  # private to Django
        rules = next((form for formset in formsets for form in formset.forms if isinstance(form, RulesForm)), None)
        for formset in formsets:
            if isinstance(formset, NumberFormSet):
                formset.rules_form = rules
        return formsets, inlines

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for one in formset.forms:
            if isinstance(one, RulesForm) and one.has_changed():
                rule_versions.note_edit(one.instance, by=request.user, now=timezone.now())
        if any(one.is_other_account for one in formset.forms if isinstance(one, CrmForm)):
            messages.warning(
                request,
                _(
                    "This is another CRM account, so all employees are unlinked. They are linked again by extension "
                    "and e-mail. Check the employee mapping."
                ),
            )


class NumberInline(admin.TabularInline[VirtualNumber, Tenant]):
    model = VirtualNumber
    form = NumberForm
    formset = NumberFormSet
    fields = ("number", "name", "site", "is_default", "is_active")
    readonly_fields = ("is_active",)
    extra = 0


def log_contacts(request: HttpRequest, inlines: Any, *, now: datetime) -> None:
    """Log that the page of a client shows whole numbers of customers, if it does."""
    rows = [form.instance for inline in inlines for form in inline.formset.forms]
    for draft in (row for row in rows if isinstance(row, RuleDraft)):
        count = len(contact_list.split(draft.contacts))
        if count and permissions.can_see_full_numbers(request.user):
            address = request.META.get("REMOTE_ADDR", "")
            user: Any = request.user  # staff only
            access_log.log_contacts(draft.tenant, count, by=user, address=address, now=now)


def _limit_status_sync(field: Any, *, stored: str) -> None:
    """Offer no way of status sync that version 4 of the CRM's API lacks; a stored one stays until it is changed."""
    impossible = {StatusSync.BOTH} - {stored}
    field.choices = [choice for choice in field.choices if choice[0] not in impossible]
    field.help_text = _("The CRM is used by API version 4, which takes no statuses: they come from the CRM only.")


def _replace(fieldsets: Any, old: str, new: str) -> Any:
    """Return the fieldsets with another field in the place of one."""
    return [
        (title, group | {"fields": [new if name == old else name for name in group["fields"]]})
        for title, group in fieldsets
    ]
