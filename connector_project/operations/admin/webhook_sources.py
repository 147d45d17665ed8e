"""Pinning the addresses that a client's notifications come from, on the client's page."""

from collections.abc import Sequence

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.networks import is_within, parse_address
from tenants import audit
from tenants.models import AuditLogEntry, Tenant, User

FIELD = "expected_sources"


class WebhookSourcesMixin(BaseAdmin):
    @page(
        "<int:pk>/pin-sources/", name="tenants_tenant_pin_sources", permission="tenants.change_tenant", post_only=True
    )
    def pin_sources_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Add addresses to the expected ones: from now on, notifications from others open no pop-up."""
        addresses = [str(found) for text in request.POST.getlist("address") if (found := parse_address(text))]
        if _pin(pk, addresses, by=request.user):  # type: ignore[arg-type]  # staff only
            messages.success(request, _("Notifications are expected from these addresses only."))
        else:
            messages.warning(request, _("These addresses are expected already."))
        return redirect("admin:tenants_tenant_change", pk)


@transaction.atomic
def _pin(pk: int, addresses: Sequence[str], *, by: User) -> bool:
    tenant = Tenant.objects.lock(pk)
    if tenant is None:
        raise Http404
    old = list(tenant.uis.expected_sources)
    new = [*old, *(one for one in dict.fromkeys(addresses) if not is_within(one, old))]
    if new == old:
        return False
    tenant.uis.expected_sources = new
    tenant.uis.save(update_fields=[FIELD])
    changed = AuditLogEntry.Action.CHANGED
    audit.log(tenant, changed, now=timezone.now(), by=by, target=tenant.uis, field=FIELD, old=old, new=new)
    return True
