"""One page per client, with everything of his on it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.models import CrmConnection, Employee, Tenant, TransferRules, UisConnection, UisStatus, VirtualNumber

DENIAL = ("denied_at", "denied_code", "denied_says")
STANDARD_STATUSES = ("available", "break", "do_not_disturb", "not_at_workplace", "not_at_work")


class KeyField(forms.CharField):
    """A key that can be written, never read: left empty it stays what it is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **kwargs | {"required": False, "widget": forms.PasswordInput(attrs={"autocomplete": "new-password"})}
        )


class PartForm(forms.ModelForm[Any]):
    """A part every client has: it is written with him even where nothing was typed."""

    def has_changed(self) -> bool:
        return self.instance.pk is None or super().has_changed()


class ConnectionForm(PartForm):
    """Keeps a key that was not typed anew; any change here opens a shut door for another try."""

    key_name = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = getattr(self.instance, self.key_name, "")
        hint = (
            _("set, ends in …%(end)s; type a new one to replace it") % {"end": stored[-4:]} if stored else _("not set")
        )
        self.fields[self.key_name].help_text = hint
        self.stored_key, self.initial[self.key_name] = stored, ""  # an empty box is no change

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        cleaned[self.key_name] = cleaned.get(self.key_name) or self.stored_key
        return cleaned

    def save(self, commit: bool = True) -> Any:
        if self.changed_data:
            self.instance.denied_at, self.instance.denied_code, self.instance.denied_says = None, "", ""
        return super().save(commit)


class UisForm(ConnectionForm):
    key_name = "access_token"
    access_token = KeyField(label=_("access key"))

    class Meta:
        model = UisConnection
        fields = ("brand", "access_token", "agent_user_id", "time_zone", "media_host")


class CrmForm(ConnectionForm):
    key_name = "key"
    address = forms.URLField(
        label=_("address"), assume_scheme="https", required=False, help_text=_("Such as https://shop.retailcrm.ru")
    )
    key = KeyField(label=_("API key"))

    class Meta:
        model = CrmConnection
        fields = ("address", "key", "version", "site", "time_zone")


class OnlyOne(admin.StackedInline[Any, Tenant]):
    """A part of the client's page that is there exactly once."""

    can_delete = False
    min_num = max_num = 1


class UisInline(OnlyOne):
    model = UisConnection
    form = UisForm
    readonly_fields = (*DENIAL, "synced_at", "oversized", "data_limits", "call_limits")


class CrmInline(OnlyOne):
    model = CrmConnection
    form = CrmForm
    readonly_fields = (*DENIAL, "served_version", "module_code", "registered_at")


class RulesInline(admin.StackedInline[Any, Tenant]):
    model = TransferRules
    form = PartForm
    can_delete = False
    min_num = max_num = 1
    fieldsets = (
        (_("Pop-ups"), {"fields": (("popup_incoming", "popup_outgoing"),)}),
        (_("Uploads"), {"fields": (("upload_answered", "upload_missed", "upload_outgoing", "upload_internal"),)}),
        (
            _("Only or except"),
            {"fields": ("number_filter", "numbers", "employee_filter", "employees", "contact_filter", "contacts")},
        ),
        (_("Recordings"), {"fields": (("send_recording", "recording_wait_minutes"),)}),
        (_("Whose call it is"), {"fields": (("owner", "missed_owner"),)}),
        (_("Statuses"), {"fields": ("status_sync", ("status_free", "status_busy", "status_dinner", "status_break"))}),
    )

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        """Offer this client's own numbers, people and statuses, nobody else's."""
        formset = super().get_formset(request, obj, **kwargs)
        fields: dict[str, Any] = formset.form.base_fields
        fields["numbers"].queryset = VirtualNumber.objects.filter(tenant=obj)
        fields["employees"].queryset = Employee.objects.filter(tenant=obj)
        choices = _status_choices(obj)
        for name in ("status_free", "status_busy", "status_dinner", "status_break"):
            fields[name] = forms.ChoiceField(choices=choices, label=fields[name].label, initial=fields[name].initial)
        return formset


class EmployeeFormSet(forms.BaseInlineFormSet[Employee, Tenant, Any]):
    """The database refuses two employees on one CRM user; a person gets a sentence instead."""

    def clean(self) -> None:
        super().clean()
        taken: set[int] = set()
        for form in self.forms:
            user_id = form.cleaned_data.get("crm_user_id") if hasattr(form, "cleaned_data") else None
            if user_id in taken:
                form.add_error("crm_user_id", gettext("Another employee is linked to this CRM user."))
            taken |= {user_id} if user_id else set()


class EmployeeInline(admin.TabularInline[Employee, Tenant]):
    model = Employee
    formset = EmployeeFormSet
    fields = ("full_name", "extension", "email", "crm_user_id", "linked_by", "own_number", "is_dismissed")
    readonly_fields = ("full_name", "extension", "email", "linked_by", "is_dismissed")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return False  # People come from UIS.

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        field: Any = formset.form.base_fields["own_number"]
        # One query for all rows, not one for each.
        field.choices = [("", "—"), *((number.pk, str(number)) for number in VirtualNumber.objects.filter(tenant=obj))]
        return formset


class NumberInline(admin.TabularInline[VirtualNumber, Tenant]):
    model = VirtualNumber
    fields = ("number", "name", "site", "is_default", "is_active")
    readonly_fields = ("is_active",)
    extra = 0


class TenantAdmin(admin.ModelAdmin[Tenant]):
    """Clients."""

    list_display = ("name", "slug", "state", "uis_brand", "crm_address", "activated_at")
    list_filter = ("is_paused", "uis__brand", "language")
    search_fields = ("name", "slug", "crm__address")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("activated_at", "created_at")
    inlines = (UisInline, CrmInline, RulesInline, EmployeeInline, NumberInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).select_related("uis", "crm")

    @admin.display(description=_("state"))
    def state(self, tenant: Tenant) -> str:
        if tenant.is_paused:
            return gettext("paused")
        if tenant.activated_at is None:
            return gettext("not activated")
        denied = [name for name, side in (("UIS", tenant.uis), ("CRM", tenant.crm)) if side.denied_at]
        return gettext("denied by %(sides)s") % {"sides": ", ".join(denied)} if denied else gettext("active")

    @admin.display(description=_("brand"))
    def uis_brand(self, tenant: Tenant) -> str:
        return tenant.uis.get_brand_display()

    @admin.display(description=_("CRM"))
    def crm_address(self, tenant: Tenant) -> str:
        return tenant.crm.address

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Remember that a link was set by a person: no sync may undo it."""
        if formset.model is Employee:
            for row in formset.forms:
                if "crm_user_id" in row.changed_data:
                    row.instance.linked_by = (
                        Employee.LinkedBy.HAND if row.instance.crm_user_id else Employee.LinkedBy.NOBODY
                    )
        super().save_formset(request, form, formset, change)


def _status_choices(tenant: Tenant | None) -> list[tuple[str, str]]:
    """Return the statuses the client has in UIS; before the first sync the standard ones."""
    own = [(status.code, status.name or status.code) for status in UisStatus.objects.filter(tenant=tenant)]
    return own or [(word, word) for word in STANDARD_STATUSES]
