"""Who: a client, his two connections, his people, and what may pass."""

from tenants.models.connections import Connection, CrmConnection, Denial, UisConnection
from tenants.models.people import Employee, UisStatus, VirtualNumber
from tenants.models.rules import TransferRules
from tenants.models.tenant import ACTIVATION_TERM, Tenant, new_hook

__all__ = [
    "ACTIVATION_TERM",
    "Connection",
    "CrmConnection",
    "Denial",
    "Employee",
    "Tenant",
    "TransferRules",
    "UisConnection",
    "UisStatus",
    "VirtualNumber",
    "new_hook",
]
