"""Every page of the admin."""

from connector_project.operations.admin import (
    api_keys,
    audit_log,
    bulk_actions,
    calls,
    commands,
    incidents,
    notifications,
    popups,
    reconciliation,
    tenants,
    users,
)

__all__ = [
    "api_keys",
    "audit_log",
    "bulk_actions",
    "calls",
    "commands",
    "incidents",
    "notifications",
    "popups",
    "reconciliation",
    "tenants",
    "users",
]
