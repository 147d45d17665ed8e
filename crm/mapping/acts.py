"""What a person decides about who is whom; what cannot be done says so in a sentence."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from connector_project.queue import enqueue
from crm.mapping import suggestions, waiting
from telephony import calls, mending, route
from telephony.models import Call
from tenants.models import CrmUser, Employee, Tenant, VirtualNumber

LinkedBy = Employee.LinkedBy
MOST_CALLS = 500  # sent on at a time: somebody waits for the page


@transaction.atomic
def bind(employee: Employee, user: CrmUser) -> None:
    """Say that this employee is this user, which no sync undoes; the module in the CRM learns his extension."""
    _lock(employee)
    _check_present(employee)
    user = _fresh(user, employee.tenant)
    holder = Employee.objects.filter(tenant=employee.tenant_id, crm_user_id=user.crm_id).exclude(pk=employee.pk).first()
    if holder is not None:
        says = _("%(user)s is already bound to %(employee)s. Unbind him there first.")
        raise ValidationError(says, params={"user": user, "employee": holder})
    try:
        with transaction.atomic():
            _write(employee, user.crm_id, LinkedBy.HAND)
    except IntegrityError as exc:  # Somebody was quicker, between the look and the write.
        raise ValidationError(_("Another employee is linked to this CRM user.")) from exc
    _tell_module(employee.tenant)


@transaction.atomic
def unbind(employee: Employee) -> None:
    """Say that this employee is not this user. He is suggested again, but not linked by itself."""
    _lock(employee)
    if employee.crm_user_id is None:
        raise ValidationError(_("%(employee)s is bound to nobody in the CRM."), params={"employee": employee})
    if employee.is_dismissed:
        _write(employee, None, LinkedBy.NOBODY, former=employee.crm_user_id)
    else:
        # HAND without a user: a person said so, and the e-mail that misled us must not bind him again.
        _write(employee, None, LinkedBy.HAND)
    _tell_module(employee.tenant)


@transaction.atomic
def mark_not_needed(employee: Employee) -> None:
    """Say that this employee works without the CRM: nobody looks for his user any more."""
    _lock(employee)
    _check_present(employee)
    if employee.crm_user_id is not None:
        says = _("%(employee)s is bound to a CRM user. Unbind him first.")
        raise ValidationError(says, params={"employee": employee})
    _write(employee, None, LinkedBy.NOT_NEEDED, former=employee.former_user_id)


@transaction.atomic
def bring_back(employee: Employee) -> None:
    """Say that this employee works with the CRM after all."""
    _lock(employee)
    if employee.linked_by != LinkedBy.NOT_NEEDED:
        says = _("%(employee)s is not among those who work without the CRM.")
        raise ValidationError(says, params={"employee": employee})
    _write(employee, None, LinkedBy.NOBODY, former=employee.former_user_id)


@transaction.atomic
def set_store(number: VirtualNumber, store: str) -> None:
    """Say which store of the CRM a number belongs to; the module learns it."""
    if store not in number.tenant.crm.stores:
        raise ValidationError(_("The API key reaches no store “%(store)s”."), params={"store": store})
    number.site = store
    number.save(update_fields=["site"])
    _tell_module(number.tenant)


@transaction.atomic
def send_on(employee: Employee, *, now: datetime) -> int:
    """Put the calls concerned on their way again, the oldest first; return how many.

    What is uploaded stays as it is: the CRM does not take a correction.
    """
    if suggestions.is_unlinked(employee):
        says = _(
            "%(employee)s is bound to nobody in the CRM yet, and an uploaded call cannot be changed. Bind him first."
        )
        raise ValidationError(says, params={"employee": employee})
    chosen = waiting.waiting_of(employee, now=now)[:MOST_CALLS]
    for call in chosen:
        _name_owner(call)
        mending.try_again(call, now=now)
    return len(chosen)


def _name_owner(call: Call) -> None:
    """When a missed call came in, nobody knew whose phone it was that rang."""
    if call.employee_id is None and (owner := calls.owner_of(call)):
        Call.objects.filter(pk=call.pk, employee=None, claim_token=None).update(employee=owner)


def _lock(employee: Employee) -> None:
    """Read the row as it is now, and keep others from it."""
    employee.refresh_from_db(from_queryset=Employee.objects.select_for_update(of=("self",)).select_related("tenant"))


def _check_present(employee: Employee) -> None:
    if employee.is_dismissed:
        raise ValidationError(_("%(employee)s has left UIS."), params={"employee": employee})


def _fresh(user: CrmUser, tenant: Tenant) -> CrmUser:
    """Return the user as he is known now. He must be of the same client, and work in the CRM."""
    known = CrmUser.objects.filter(pk=user.pk, tenant=tenant).first()
    if known is None:
        raise ValidationError(_("The CRM of this client has no such user any more. Look at the page anew."))
    if not known.is_active:
        raise ValidationError(_("%(user)s is not active in the CRM."), params={"user": known})
    return known


def _write(employee: Employee, user_id: int | None, how: LinkedBy, *, former: int | None = None) -> None:
    employee.crm_user_id, employee.linked_by, employee.former_user_id = user_id, how, former
    employee.save(update_fields=["crm_user_id", "linked_by", "former_user_id"])


def _tell_module(tenant: Tenant) -> None:
    """Have the module in the CRM brought up to date; of a client who is paused the hourly sync does it later."""
    if tenant.is_live:
        enqueue(route.LINK, tenant.pk)
