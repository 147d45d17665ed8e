"""The desk: what staff see of the CRM's side, and the list and the page of clients, whose buttons need both sides."""

from crm.admin import calls, journal, records, tenants

__all__ = ["calls", "journal", "records", "tenants"]
