"""The permission groups Operator and Support, created by `migrate`."""

from typing import Any

from django.contrib.auth.models import Group, Permission

from tenants.permissions import FULL_NUMBERS_PERMISSION

OURS = ("core", "tenants", "telephony", "crm", "operations")


def apply(**_signal: Any) -> None:
    """Give operators all our permissions; support may view, retry calls, play recordings, acknowledge incidents."""
    ours = Permission.objects.filter(content_type__app_label__in=OURS)
    operator, _ = Group.objects.get_or_create(name="Operator")
    operator.permissions.add(*ours)
    support, _ = Group.objects.get_or_create(name="Support")
    # The right to full numbers begins with "view_" too, but is the operators' alone.
    viewing = ours.filter(codename__startswith="view_").exclude(codename=FULL_NUMBERS_PERMISSION.partition(".")[2])
    acting = ours.filter(codename__in=("change_call", "play_recording", "acknowledge_incident"))
    support.permissions.add(*viewing, *acting)
