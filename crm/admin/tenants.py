"""A client's page, with what only the CRM's side knows of him."""

from django.contrib import admin

import tenants.admin
from crm.admin.mapping import MappingMixin
from tenants.models import Tenant


@admin.register(Tenant)
class TenantAdmin(MappingMixin, tenants.admin.TenantAdmin):
    """Clients, each with his mapping doctor."""
