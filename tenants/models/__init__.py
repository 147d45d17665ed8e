"""Tenants, their connections, employees, rules, audit log and API keys."""

from tenants.models.checkup import CheckUp
from tenants.models.connections import OLD_HOOK_TERM, Connection, CrmConnection, Denial, UisConnection
from tenants.models.journal import Change
from tenants.models.people import CrmUser, Employee, UisStatus, VirtualNumber
from tenants.models.rules import TransferRules
from tenants.models.tenant import ACTIVATION_TERM, Tenant, new_hook
from tenants.models.token import ApiToken

__all__ = [
    "ACTIVATION_TERM",
    "OLD_HOOK_TERM",
    "ApiToken",
    "Change",
    "CheckUp",
    "Connection",
    "CrmConnection",
    "CrmUser",
    "Denial",
    "Employee",
    "Tenant",
    "TransferRules",
    "UisConnection",
    "UisStatus",
    "VirtualNumber",
    "new_hook",
]
