"""The admin pages that need both systems: clients, calls, incidents, logs, API keys."""

from crm.admin import api_keys, calls, incidents, journal, records, tenants

__all__ = ["api_keys", "calls", "incidents", "journal", "records", "tenants"]
