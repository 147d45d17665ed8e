"""Tenants, their connections, employees, rules, audit log and API keys."""

from tenants.models.api_key import ApiKey
from tenants.models.audit_log import AuditLogEntry
from tenants.models.check_run import CheckRun
from tenants.models.connections import Connection
from tenants.models.crm_connection import CrmConnection
from tenants.models.directory import CrmUser, Employee, UisStatus, VirtualNumber
from tenants.models.erasure_key import ErasureKey
from tenants.models.reconnect_link import RECONNECT_LINK_LIFETIME, ReconnectLink
from tenants.models.remote_list import RemoteList
from tenants.models.rule_draft import RuleDraft
from tenants.models.rule_version import ImmutableVersion, RuleVersion, RuleVersionField
from tenants.models.second_factor import RecoveryCode, TotpDevice
from tenants.models.tenant import ACTIVATION_LINK_LIFETIME, Tenant
from tenants.models.uis_connection import OLD_HOOK_LIFETIME, UisConnection
from tenants.models.user import User

__all__ = [
    "ACTIVATION_LINK_LIFETIME",
    "OLD_HOOK_LIFETIME",
    "RECONNECT_LINK_LIFETIME",
    "ApiKey",
    "AuditLogEntry",
    "CheckRun",
    "Connection",
    "CrmConnection",
    "CrmUser",
    "Employee",
    "ErasureKey",
    "ImmutableVersion",
    "ReconnectLink",
    "RecoveryCode",
    "RemoteList",
    "RuleDraft",
    "RuleVersion",
    "RuleVersionField",
    "Tenant",
    "TotpDevice",
    "UisConnection",
    "UisStatus",
    "User",
    "VirtualNumber",
]
