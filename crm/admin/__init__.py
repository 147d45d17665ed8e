"""The desk: what staff see of the CRM's side, and the list and the page of clients, whose buttons need both sides."""

from crm.admin import api_keys, calls, incidents, journal, records, tenants

__all__ = ["api_keys", "calls", "incidents", "journal", "records", "tenants"]
