"""A new client in the admin: a short form, what their rules begin with, and the link that is shown once."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin
from connector_project.operations.admin.activation_link import link_message
from tenants import audit, rule_versions
from tenants.models import ACTIVATION_LINK_LIFETIME, Tenant
from tenants.new_tenant_form import NewTenantForm
from tenants.onboarding import free_slug


class NewClientMixin(BaseAdmin):
    title_of_new = _("New client")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        form: Any = super().get_form(request, obj, change=change, **kwargs | {"form": NewTenantForm})
        form.reader = request.user
        return form

    def begin(self, obj: Tenant, form: NewTenantForm, *, now: datetime) -> None:
        """Set what a new client has that the form does not ask for."""
        obj.slug, obj.activation_expires_at = free_slug(obj.name), now + ACTIVATION_LINK_LIFETIME
        for name, value in form.beginning.settings.items():
            setattr(obj, name, value)

    def add_rules(self, request: HttpRequest, form: NewTenantForm) -> None:
        version = rule_versions.begin(form.instance, form.beginning.rules, by=request.user, now=timezone.now())
        audit.log_beginning(version, by=request.user, now=timezone.now())

    def response_add(self, request: HttpRequest, obj: Tenant, post_url_continue: str | None = None) -> HttpResponse:
        """Show the client's activation link once."""
        answer = super().response_add(request, obj, post_url_continue)
        self.message_user(request, link_message(obj))
        return answer if "_addanother" in request.POST else redirect("admin:tenants_tenant_change", obj.pk)
