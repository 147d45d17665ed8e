"""What the admin shows of this app; importing a module registers its pages."""

from crm.admin import records, tenants

__all__ = ["records", "tenants"]
