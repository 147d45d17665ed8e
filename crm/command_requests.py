"""What a command of the CRM asks for: who, which number, which status; or why it is refused."""

from datetime import datetime, timedelta

from django.db.models import F

from connector_project.core import phone_numbers
from connector_project.core.untrusted_input import parse_id
from crm.models import Command
from telephony import outbound
from tenants.models import Employee, Tenant
from tenants.rules import StatusSync

DOUBLE_CLICK = timedelta(seconds=5)

Kind, State, Reason = Command.Kind, Command.State, Command.Reason


def prepare(command: Command, *, now: datetime) -> Command.Reason | None:
    """Fill in the employee, number and status of a command; return the reason to refuse it."""
    tenant, params = command.tenant, command.params
    if not tenant.is_live:
        return Reason.NOT_ACTIVE
    employee = _employee(tenant, code=params.get("code", ""), user_id=params.get("userId", ""))
    if employee is None:
        return Reason.UNKNOWN_USER
    command.employee = employee
    is_call = command.kind == Kind.MAKE_CALL
    return _prepare_call(command, employee, now=now) if is_call else _prepare_status(command, employee)


def _employee(tenant: Tenant, *, code: str, user_id: str) -> Employee | None:
    """Find who clicked: by CRM user ID first, then by whose the extension is in the CRM's module.

    An extension that is not in it yet was just entered by somebody who is not linked; a shared one matches nobody.
    """
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False).select_related("caller_id_number")
    extension, named = code.strip(), parse_id(user_id)
    if named is not None and (employee := staff.filter(crm_user_id=named).first()):
        return employee
    holder = tenant.crm.user_of(extension)
    if holder is not None:
        return staff.filter(crm_user_id=holder).first() if named is None else None
    matches = list(staff.filter(extension=extension)[:2]) if extension else []
    return matches[0] if len(matches) == 1 and (named is None or matches[0].crm_user_id is None) else None


def _prepare_call(command: Command, employee: Employee, *, now: datetime) -> Command.Reason | None:
    tenant, params = command.tenant, command.params
    region, named = tenant.uis.region, params.get("externalPhone")
    dialled = phone_numbers.from_person(params.get("phone"), region=region)
    if dialled is None:
        return Reason.BAD_PHONE  # What was sent is in `params`: the column holds no more than a number.
    command.contact, command.extension = dialled
    if outbound.is_caller_id_number(tenant, command.contact):
        return Reason.OWN_NUMBER
    store_number = phone_numbers.from_person(named, region=region) if named else None
    command.number = outbound.number_for(employee, requested=store_number.digits if store_number else "")
    if not command.number:
        return Reason.NO_NUMBER
    return Reason.REPEATED if _is_double_click(command, employee, now=now) else None


def _is_double_click(command: Command, employee: Employee, *, now: datetime) -> bool:
    """Return whether this employee just clicked this number. The lock serialises simultaneous requests."""
    Employee.objects.select_for_update(no_key=True).get(pk=employee.pk)
    before = Command.objects.filter(
        tenant=command.tenant,
        kind=Kind.MAKE_CALL,
        employee=employee,
        contact=command.contact,
        extension=command.extension,
    ).exclude(state=State.REFUSED)
    return before.filter(received_at__gt=now - DOUBLE_CLICK).exclude(pk=command.pk).exists()


def _prepare_status(command: Command, employee: Employee) -> Command.Reason | None:
    command.status = command.params.get("status", "").strip().lower()[:20]
    command.rule_version = command.tenant.current_version
    if command.tenant.rules.status_sync == StatusSync.OFF:
        return Reason.SYNC_OFF
    if not command.status:
        return Reason.BAD_REQUEST
    if employee.last_sent_crm_status == command.status:
        return Reason.ECHO
    Employee.objects.filter(pk=employee.pk).update(last_sent_crm_status="", status_commands=F("status_commands") + 1)
    return None
