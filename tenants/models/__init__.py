"""Who: a client, his two connections, his people, and what may pass."""

from tenants.models.checkup import CheckUp
from tenants.models.connections import OLD_HOOK_TERM, Connection, CrmConnection, Denial, UisConnection
from tenants.models.journal import Change
from tenants.models.look import Look
from tenants.models.people import CrmUser, Employee, UisStatus, VirtualNumber
from tenants.models.rules import TransferRules
from tenants.models.tenant import ACTIVATION_TERM, Tenant, new_hook

__all__ = [
    "ACTIVATION_TERM",
    "OLD_HOOK_TERM",
    "Change",
    "CheckUp",
    "Connection",
    "CrmConnection",
    "CrmUser",
    "Denial",
    "Employee",
    "Look",
    "Tenant",
    "TransferRules",
    "UisConnection",
    "UisStatus",
    "VirtualNumber",
    "new_hook",
]
