"""The desk: what staff see of the CRM's side, and the list and the page of clients, whose buttons need both sides."""

from crm.admin import journal, records, tenants

__all__ = ["journal", "records", "tenants"]
