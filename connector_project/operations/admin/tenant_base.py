"""The tenant page: forms, inlines and fieldsets. `tenants.py` adds the actions and registers it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin
from tenants import audit, audit_forms, datetime_display, permissions
from tenants.forms import AlwaysSavedForm, CrmForm, EmployeeFormSet, TenantForm, UisForm, key_hint, status_choices
from tenants.models import (
    ACTIVATION_LINK_LIFETIME,
    AuditLogEntry,
    CrmConnection,
    Employee,
    Tenant,
    TransferRules,
    UisConnection,
    VirtualNumber,
)
from tenants.onboarding import free_slug
from tenants.status_labels import STATUS_FIELDS

DENIAL_FIELDS = ("denied_code", "denied_detail")
FOLDED = ("collapse",)
RECORDING_LINK = ("recording_link", "recording_days")


class ConnectionInline(admin.StackedInline[Any, Tenant]):
    """One of the two accounts. Only the end of its key is shown, also to users who may replace it."""

    can_delete = False
    min_num = max_num = 1
    key_name = ""
    short: tuple[str, ...] = ()  # fields of a new client

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": self.short, "description": _("The client can enter the keys.")}),)
        if self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        # On a read-only page Django would show the key itself.
        return [(title, {**group, "fields": self._hinted(group["fields"])}) for title, group in self.fieldsets or ()]

    def _hinted(self, names: Any) -> list[Any]:
        return ["key_end" if name == self.key_name else name for name in names]

    @admin.display(description=_("key"))
    def key_end(self, connection: Any) -> str:
        return key_hint(getattr(connection, self.key_name))


class UisInline(ConnectionInline):
    model = UisConnection
    form = UisForm
    key_name = "access_token"
    short = ("brand", "access_token")
    answered = (
        datetime_display.full_field(UisConnection, "denied_at"),
        *DENIAL_FIELDS,
        datetime_display.full_field(UisConnection, "synced_at"),
        "oversized_webhooks",
        datetime_display.full_field(UisConnection, "old_hook_until"),
    )
    fieldsets = (
        (None, {"fields": ("brand", "access_token", "agent_user_id")}),
        (_("Connection status"), {"fields": answered}),
        (_("Advanced"), {"fields": ("time_zone", "media_host", "data_limits", "call_limits"), "classes": FOLDED}),
    )
    readonly_fields = (*answered, "data_limits", "call_limits", "key_end")


class CrmInline(ConnectionInline):
    model = CrmConnection
    form = CrmForm
    key_name = "key"
    short = ("address", "key")
    answered = (
        datetime_display.full_field(CrmConnection, "denied_at"),
        *DENIAL_FIELDS,
        "served_version",
        "module_code",
        datetime_display.full_field(CrmConnection, "registered_at"),
    )
    fieldsets = (
        (None, {"fields": ("address", "key", "site")}),
        (_("Connection status"), {"fields": answered}),
        (_("Advanced"), {"fields": ("version", "time_zone"), "classes": FOLDED}),
    )
    readonly_fields = (*answered, "key_end")


class RulesInline(admin.StackedInline[Any, Tenant]):
    model = TransferRules
    form = AlwaysSavedForm
    can_delete = False
    min_num = max_num = 1
    fieldsets = (
        (_("Pop-ups"), {"fields": (("popup_incoming", "popup_outgoing"),)}),
        (_("Uploads"), {"fields": (("upload_answered", "upload_missed", "upload_outgoing", "upload_internal"),)}),
        (
            _("Number, employee and contact filters"),
            {"fields": ("number_filter", "numbers", "employee_filter", "employees", "contact_filter", "contacts")},
        ),
        (_("Recordings"), {"fields": (("send_recording", "recording_wait_minutes"), RECORDING_LINK)}),
        (_("Call owner"), {"fields": (("owner", "missed_owner"),)}),
        (_("Statuses"), {"fields": ("status_sync", STATUS_FIELDS)}),
    )
    readonly_fields = ("masked_contacts",)

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        """Mask the list of contacts for users who may not see full numbers."""
        fieldsets = super().get_fieldsets(request, obj)
        if permissions.can_see_full_numbers(request.user):
            return fieldsets
        masked = {"contacts": "masked_contacts"}
        return [
            (title, options | {"fields": [masked.get(str(name), name) for name in options["fields"]]})
            for title, options in fieldsets
        ]

    @admin.display(description=_("these contacts"))
    def masked_contacts(self, rules: TransferRules) -> str:
        return permissions.masked_list(rules.contacts)

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        """Offer only the numbers, employees and statuses of this tenant."""
        formset = super().get_formset(request, obj, **kwargs)
        fields: dict[str, Any] = formset.form.base_fields
        fields["numbers"].queryset = VirtualNumber.objects.filter(tenant=obj)
        fields["employees"].queryset = Employee.objects.filter(tenant=obj)
        choices = status_choices(obj)
        for name in STATUS_FIELDS:
            fields[name] = forms.ChoiceField(choices=choices, label=fields[name].label, initial=fields[name].initial)
        return formset


class EmployeeInline(admin.TabularInline[Employee, Tenant]):
    model = Employee
    formset = EmployeeFormSet
    fields = ("full_name", "extension", "email", "crm_user_id", "linked_by", "caller_id_number", "works")
    readonly_fields = ("full_name", "extension", "email", "linked_by", "works")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return False  # Employees come from UIS.

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        fields: dict[str, Any] = formset.form.base_fields
        for name in ("crm_user_id", "caller_id_number"):  # On a phone the columns have no header.
            if name in fields:
                fields[name].widget.attrs |= {"placeholder": fields[name].label, "aria-label": fields[name].label}
        field: Any = fields["caller_id_number"]
        # One query for all rows instead of one per row.
        field.choices = [
            ("", f"— {field.label}"),
            *((number.pk, str(number)) for number in VirtualNumber.objects.filter(tenant=obj)),
        ]
        return formset

    @admin.display(description=_("works in UIS"), boolean=True)
    def works(self, employee: Employee) -> bool:
        return not employee.is_dismissed


class NumberInline(admin.TabularInline[VirtualNumber, Tenant]):
    model = VirtualNumber
    fields = ("number", "name", "site", "is_default", "is_active")
    readonly_fields = ("is_active",)
    extra = 0


class TenantAdmin(BaseAdmin):
    """The tenant page: a short form for a new tenant, else everything; every change is in the audit log."""

    form = TenantForm
    title_of_new = _("New client")
    times = tuple(datetime_display.full_field(Tenant, name) for name in ("created_at", "activated_at", "offboarded_at"))
    add_fieldsets = ((None, {"fields": ("name", "language", "time_zone")}),)
    fieldsets = (
        (None, {"fields": ("name", "slug", "language")}),
        (
            _("Business hours and upload window"),
            {"fields": ("time_zone", ("opens_at", "closes_at", "works_weekends"), "upload_window_days")},
        ),
        (_("Lifecycle"), {"fields": (times,), "classes": FOLDED}),
    )
    readonly_fields = times
    inlines = (UisInline, CrmInline, RulesInline, EmployeeInline, NumberInline)

    def title_of(self, obj: Tenant) -> str:
        return obj.name

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        return self.add_fieldsets if obj is None else super().get_fieldsets(request, obj)

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> Any:
        return (UisInline, CrmInline) if obj is None else self.inlines

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Only a tenant that was never activated can be deleted; others are disconnected, which also cleans up."""
        is_unused = obj is not None and obj.activated_at is None and obj.offboarded_at is None
        return is_unused and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if not change:
            obj.slug = free_slug(obj.name)
            obj.activation_expires_at = timezone.now() + ACTIVATION_LINK_LIFETIME
            obj.save()
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)  # An action may have changed other fields meanwhile.
        _auditor(request, obj).note_form(form, is_new=not change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Mark links that a person changed, so that no sync undoes them."""
        if formset.model is Employee:
            for row in formset.forms:
                if "crm_user_id" in row.changed_data:
                    row.instance.linked_by = (
                        Employee.LinkedBy.MANUAL if row.instance.crm_user_id else Employee.LinkedBy.NOT_LINKED
                    )
        super().save_formset(request, form, formset, change)
        _auditor(request, form.instance).note_formset(formset)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            TransferRules.objects.get_or_create(tenant=form.instance)

    def delete_model(self, request: HttpRequest, obj: Tenant) -> None:
        audit.log(obj, AuditLogEntry.Action.REMOVED, now=timezone.now(), by=request.user, target=obj)
        super().delete_model(request, obj)


def _auditor(request: HttpRequest, tenant: Tenant) -> audit_forms.FormAuditor:
    return audit_forms.FormAuditor(tenant, request.user, timezone.now())
