"""The permission groups Administrator, Operator and Support, created by `migrate`.

They get what a page uses, and nothing else: a permission that no page asks for today may open one tomorrow. `migrate`
takes others of ours away again; a group with other permissions needs a name of its own.
"""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

OURS = ("core", "tenants", "telephony", "crm", "operations")
# Accounts are the administrators', and nobody edits devices and codes as rows.
ACCOUNTS = ("user", "totpdevice", "recoverycode")
SUPPORT_ACTIONS = ("change_call", "play_recording", "acknowledge_incident")
OPERATOR_ACTIONS = (
    *SUPPORT_ACTIONS,
    "view_full_numbers",
    "erase_number",
    *("add_tenant", "change_tenant", "delete_tenant", "add_apikey", "change_apikey"),
    *("add_uisconnection", "change_uisconnection", "add_crmconnection", "change_crmconnection"),
    *("add_ruledraft", "change_ruledraft", "change_employee"),
    *("add_virtualnumber", "change_virtualnumber", "delete_virtualnumber"),
    *("change_recordinglink", "change_alertdelivery", "change_incident"),
)
# No deletion: the audit log would forget who it was. An account that is no longer needed is deactivated.
ADMINISTRATOR_ACTIONS = ("view_user", "add_user", "change_user", "view_group")


def apply(**_signal: Any) -> None:
    """Make the permissions of the three groups equal to the list; an administrator may do all that operators may."""
    ours = Permission.objects.filter(content_type__app_label__in=OURS)
    # The name of this permission begins with `view_` too.
    visible = ours.filter(codename__startswith="view_").exclude(codename="view_full_numbers")
    visible = visible.exclude(content_type__model__in=ACCOUNTS)
    _give("Support", ours.filter(Q(pk__in=visible) | Q(codename__in=SUPPORT_ACTIONS)))
    operator = ours.filter(Q(pk__in=visible) | Q(codename__in=OPERATOR_ACTIONS))
    _give("Operator", operator)
    staff = Permission.objects.filter(
        content_type__app_label__in=("auth", "tenants"), codename__in=ADMINISTRATOR_ACTIONS
    )
    _give("Administrator", Permission.objects.filter(Q(pk__in=operator) | Q(pk__in=staff)))


def _give(name: str, permissions: QuerySet[Permission]) -> None:
    group, _ = Group.objects.get_or_create(name=name)
    surplus = group.permissions.filter(content_type__app_label__in=OURS).exclude(pk__in=permissions)
    group.permissions.remove(*surplus)
    group.permissions.add(*permissions)
