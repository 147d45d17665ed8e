"""Outgoing requests to UIS: click-to-call and employee statuses."""

from connector_project.core import http_client
from telephony import client_factory
from telephony.uis.errors import SYSTEM
from tenants.models import Employee, Tenant, UisStatus, VirtualNumber


def start_call(employee: Employee, *, contact: str, extension: str, number: str, external_id: str) -> int:
    """Ring the employee, then the contact; return the UIS session id. Never retry: a retry rings people twice.

    Numbers are digits; the contact's extension, if there is one, is dialled as tones. Raises RemoteError.
    """
    client = client_factory.uis_client(employee.tenant.uis, is_live=True)
    return client.start_call(employee.uis_id, contact=contact, tones=extension, number=number, external_id=external_id)


def number_for(employee: Employee, *, requested: str) -> str:
    """Return the caller ID: the store's number, else the employee's, else the tenant's default; "" if there is none."""
    own = VirtualNumber.objects.filter(tenant=employee.tenant, is_active=True)
    if requested and own.filter(number=requested).exists():
        return requested
    if employee.caller_id_number and employee.caller_id_number.is_active:
        return employee.caller_id_number.number
    return own.order_by("-is_default", "pk").values_list("number", flat=True).first() or ""


def is_caller_id_number(tenant: Tenant, number: str) -> bool:
    """Whether this is one of the tenant's virtual numbers: UIS refuses to call them."""
    return VirtualNumber.objects.filter(tenant=tenant, number=number).exists()


def set_status(employee: Employee, crm_status: str) -> str:
    """Set the UIS status mapped to this CRM status; return its code.

    Raises RemoteError; RemoteRejected if the mapping names a status that UIS does not have.
    """
    code = employee.tenant.rules.uis_status(crm_status)
    client = client_factory.uis_client(employee.tenant.uis, is_live=True)
    if not employee.tenant.uis.has_statuses:
        client.set_availability(employee.uis_id, is_available=code == "available")
        return code
    status_id = _status_id(employee.tenant, code)
    client.set_status(employee.uis_id, status_id)
    return str(status_id)


def _status_id(tenant: Tenant, code: str) -> int:
    if code.isascii() and code.isdigit():
        return int(code)
    status = UisStatus.objects.filter(tenant=tenant, mnemonic=code).first()
    if status is None:
        raise http_client.RemoteRejected(SYSTEM, f"The account has no status “{code}”.", code="status_unknown")
    return status.uis_id
