"""Every page of the admin."""

from connector_project.operations.admin import (  # noqa: F401 -- each module registers its pages
    api_keys,
    audit_log,
    bulk_actions,
    calls,
    crm_exchange,
    employees,
    erasures,
    incidents,
    notifications,
    reconciliation,
    tenants,
    users,
)
