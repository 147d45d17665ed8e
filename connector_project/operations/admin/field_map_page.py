"""The page of a client's field map: what goes with a call, edited in the draft of the rules."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.operations.admin import field_map_forms
from connector_project.operations.admin.rule_pages import load_client
from tenants import field_map_labels, rule_versions
from tenants.field_map.presets import MAPS, MapPreset
from tenants.field_map.rows import FieldMap
from tenants.models import Tenant

NAME = "tenants_tenant_field_map"


class FieldMapMixin(BaseAdmin):
    @page("<int:tenant_id>/rules/field-map/", name=NAME)
    def field_map_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """Show the field map of the draft; who may edit the client edits it."""
        tenant = load_client(tenant_id)
        may_change = self.has_change_permission(request, tenant)
        forms: Any = None
        if request.method == "POST":
            self.require(request, "tenants.change_tenant", tenant_id=tenant_id)
            if request.POST.get("preset") in {*MapPreset}:
                return self._save(request, tenant, MAPS[MapPreset(request.POST["preset"])])
            forms = field_map_forms.FieldMapFormSet(request.POST)
            if forms.is_valid():
                return self._save(request, tenant, forms.field_map)
        return self._field_map_page(request, tenant, forms, may_change=may_change)

    def _save(self, request: HttpRequest, tenant: Tenant, field_map: FieldMap) -> HttpResponseBase:
        seen = request.POST.get("seen", "")
        try:
            rule_versions.edit(tenant.pk, seen=seen, by=request.user, now=timezone.now(), field_map=field_map.dump())
        except ValidationError as exc:
            messages.warning(request, " ".join(exc.messages))
        else:
            messages.success(request, gettext("The field map is saved in the draft. It decides when it is published."))
        return redirect(f"admin:{NAME}", tenant.pk)

    def _field_map_page(
        self, request: HttpRequest, tenant: Tenant, forms: Any, *, may_change: bool
    ) -> HttpResponseBase:
        rows = tenant.draft.value().field_map.rows
        if forms is None:
            forms = field_map_forms.FieldMapFormSet(initial=field_map_forms.initial(rows))
        context: dict[str, Any] = {
            "tenant": tenant,
            "may_change": may_change,
            "forms": forms,
            "presets": field_map_forms.PRESETS.items(),
            "sentences": [field_map_labels.describe(row) for row in rows],
            "seen": request.POST.get("seen") or rule_versions.stamp(tenant.draft),
        }
        return self.render_page(
            request, "admin/tenants/rules/field_map.html", title=gettext("What goes with a call"), **context
        )
