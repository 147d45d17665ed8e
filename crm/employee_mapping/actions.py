"""Manual actions on the employee mapping. Each raises ValidationError with a message if it is not possible."""

from datetime import datetime
from operator import attrgetter

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from connector_project.core.task_queue import enqueue
from crm.employee_mapping import pending_calls
from telephony import task_names
from telephony.calls import manual, pipeline
from telephony.models import Call
from tenants.models import CrmUser, Employee, Tenant, VirtualNumber

LinkedBy = Employee.LinkedBy
MOST_CALLS = 500  # per request, because a user waits for the page


@transaction.atomic
def link(employee: Employee, user: CrmUser) -> None:
    """Link permanently: no sync undoes it. The module in the CRM gets the employee's extension."""
    _lock(employee)
    _check_present(employee)
    user = _reload_user(user, employee.tenant)
    holder = Employee.objects.filter(tenant=employee.tenant_id, crm_user_id=user.crm_id).exclude(pk=employee.pk).first()
    if holder is not None:
        message = _("%(user)s is already linked to %(employee)s. Unlink them first.")
        raise ValidationError(message, params={"user": user, "employee": holder})
    try:
        with transaction.atomic():
            employee.set_link(user.crm_id, LinkedBy.MANUAL)
    except IntegrityError as exc:  # Lost a race against another link.
        raise ValidationError(_("Another employee is linked to this CRM user.")) from exc
    _update_module(employee.tenant)


@transaction.atomic
def unlink(employee: Employee) -> None:
    """Unlink. The user is suggested again, but not linked automatically."""
    _lock(employee)
    if employee.crm_user_id is None:
        raise ValidationError(_("%(employee)s is not linked to a CRM user."), params={"employee": employee})
    if employee.is_dismissed:
        employee.set_link(None, LinkedBy.NOT_LINKED, former=employee.crm_user_id)
    else:
        # MANUAL without a user: a manual decision, so a matching e-mail must not link them again.
        employee.set_link(None, LinkedBy.MANUAL)
    _update_module(employee.tenant)


@transaction.atomic
def mark_not_needed(employee: Employee) -> None:
    """Mark as working without the CRM: no user is suggested or linked any more."""
    _lock(employee)
    _check_present(employee)
    if employee.crm_user_id is not None:
        message = _("%(employee)s is linked to a CRM user. Unlink them first.")
        raise ValidationError(message, params={"employee": employee})
    employee.set_link(None, LinkedBy.NOT_NEEDED, former=employee.previous_crm_user_id)


@transaction.atomic
def unmark_not_needed(employee: Employee) -> None:
    """Undo "not needed"."""
    _lock(employee)
    if employee.linked_by != LinkedBy.NOT_NEEDED:
        message = _("%(employee)s is not marked as working without the CRM.")
        raise ValidationError(message, params={"employee": employee})
    employee.set_link(None, LinkedBy.NOT_LINKED, former=employee.previous_crm_user_id)


@transaction.atomic
def set_store(number: VirtualNumber, store: str) -> None:
    """Assign a number to a store and register it in the module."""
    Tenant.objects.lock_row(number.tenant_id)
    if store not in number.tenant.crm.stores:
        raise ValidationError(_("The API key has no access to the store “%(store)s”."), params={"store": store})
    number.site = store
    number.save(update_fields=["site"])
    _update_module(number.tenant)


@transaction.atomic
def resend_calls(employee: Employee, *, now: datetime) -> int:
    """Retry the employee's pending calls, the oldest of them; return how many.

    Uploaded calls stay as they are: the CRM does not accept corrections.
    """
    if employee.is_unlinked:
        message = _(
            "%(employee)s is not linked to a CRM user, and uploaded calls cannot be changed. Link the employee first."
        )
        raise ValidationError(message, params={"employee": employee})
    pending = pending_calls.pending_of(employee, now=now)[:MOST_CALLS]
    for call in sorted(pending, key=attrgetter("pk")):  # the order in which everybody locks several calls
        _assign_owner(call)
        manual.retry(call, now=now)
    return len(pending)


def _assign_owner(call: Call) -> None:
    """Set the owner of a missed call that had none when it arrived."""
    if call.employee_id is None and (owner := pipeline.owner_of(call)):
        Call.objects.filter(pk=call.pk, employee=None, claim_token=None).update(employee=owner)


def _lock(employee: Employee) -> None:
    """Lock the tenant, then the row, and reload it."""
    Tenant.objects.lock_row(employee.tenant_id)
    rows = Employee.objects.select_for_update(of=("self",), no_key=True).select_related("tenant")
    employee.refresh_from_db(from_queryset=rows)


def _check_present(employee: Employee) -> None:
    if employee.is_dismissed:
        raise ValidationError(_("%(employee)s no longer works in UIS."), params={"employee": employee})


def _reload_user(user: CrmUser, tenant: Tenant) -> CrmUser:
    """Return the reloaded user. They must belong to the same client and be active in the CRM."""
    known = CrmUser.objects.filter(pk=user.pk, tenant=tenant).first()
    if known is None:
        raise ValidationError(_("This user no longer exists in the CRM. Reload the page."))
    if not known.is_active:
        raise ValidationError(_("%(user)s is not active in the CRM."), params={"user": known})
    return known


def _update_module(tenant: Tenant) -> None:
    """Update the module in the CRM; for a paused client the hourly sync does it later."""
    if tenant.is_live:
        enqueue(task_names.LINK_USERS, tenant.pk)
