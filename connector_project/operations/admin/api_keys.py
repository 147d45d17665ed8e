"""API keys in the admin: created, shown once, revoked."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin
from tenants import api_keys, audit, permissions
from tenants.datetime_display import full_fields, short_column
from tenants.models import ApiKey, AuditLogEntry


class NewKeyForm(forms.ModelForm[ApiKey]):
    maker: Any  # the user who fills it in

    def clean_tenant(self) -> Any:
        tenant = self.cleaned_data["tenant"]
        if tenant and not permissions.can_see_full_numbers(self.maker):
            raise ValidationError(
                gettext("A client's key reads whole numbers, which you may not see. Ask an operator to create it.")
            )
        return tenant

    def clean_valid_until(self) -> Any:
        day = self.cleaned_data["valid_until"]
        if day and day < timezone.now().date():
            raise ValidationError(gettext("This day is in the past. Choose today or a later day, or leave it empty."))
        return day

    class Meta:
        widgets = {"valid_until": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    has_change_actions = True
    title_of_new = _("New API key")
    list_display = (
        *("name", "tenant_name", short_column(ApiKey, "created_at"), "maker"),
        *(short_column(ApiKey, "last_used_at"), "valid_until", "is_good"),
    )
    list_filter = ("tenant",)
    list_select_related = ("tenant", "created_by")
    empty_value_display = "–"  # label of the filter for keys without a client
    fields = (
        "name",
        "tenant_name",
        "maker",
        "valid_until",
        *full_fields(ApiKey, "created_at", "last_used_at", "revoked_at"),
    )
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return ("tenant", "name", "valid_until") if obj is None else self.fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.add_apikey")

    def title_of(self, obj: ApiKey) -> str:
        return obj.name

    @admin.display(description=_("client"), ordering="tenant")
    def tenant_name(self, token: ApiKey) -> str:
        return str(token.tenant or _("all clients that the maker sees"))

    @admin.display(description=_("made by"), ordering="created_by")
    def maker(self, token: ApiKey) -> str:
        """A client's key goes on working without its maker."""
        name = token.created_by.get_username() if token.created_by else "–"
        return name if token.has_maker else gettext("%(name)s (no longer here)") % {"name": name}

    @admin.display(description=_("valid"), boolean=True, ordering="revoked_at")
    def is_good(self, token: ApiKey) -> bool:
        return token.is_valid(today=timezone.now().date())

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = type("NewKeyForm", (NewKeyForm,), {"maker": request.user})
        return super().get_form(request, obj, change=change, **kwargs | ({} if obj else {"form": form}))

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        now, user = timezone.now(), request.user
        values: Any = {"valid_until": obj.valid_until, "by": user, "now": now}
        created, key = api_keys.create(obj.tenant, obj.name, **values)
        obj.pk, obj.created_at = created.pk, created.created_at
        audit.log(obj.tenant, AuditLogEntry.Action.API_KEY_CREATED, now=now, by=user, target=obj.name)
        message = gettext("The API key, shown only now. Copy it; programs send it as “Authorization: Bearer …”.")
        messages.success(request, format_html('{}<br><code class="admin-link">{}</code>', message, key))

    @admin.action(description=_("Revoke the selected keys…"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        warnings = [_("Programs with these keys get no answer from now on. A revoked key cannot be restored.")]
        if question := self.ask_about(request, queryset, title=gettext("Revoke the keys"), warnings=warnings):
            return question
        revoked = [token for token in queryset.select_related("tenant") if _revoke(request, token)]
        message = ngettext("%(count)d key is revoked.", "%(count)d keys are revoked.", len(revoked))
        self.message_user(request, message % {"count": len(revoked)}, messages.SUCCESS)
        return None


@transaction.atomic
def _revoke(request: HttpRequest, token: ApiKey) -> bool:
    now = timezone.now()
    is_revoked = api_keys.revoke(token, now=now)
    if is_revoked:
        audit.log(token.tenant, AuditLogEntry.Action.API_KEY_REVOKED, now=now, by=request.user, target=token.name)
    return is_revoked
