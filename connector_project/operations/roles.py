"""The permission groups Operator and Support, created by `migrate`."""

from typing import Any

from django.contrib.auth.models import Group, Permission

SUPPORT_ACTIONS = ("change_call", "play_recording", "acknowledge_incident")
OURS = ("core", "tenants", "telephony", "crm", "operations")


def apply(**_signal: Any) -> None:
    """Give operators all our permissions; support may view, retry calls, play recordings, acknowledge incidents."""
    ours = Permission.objects.filter(content_type__app_label__in=OURS)
    operator, _ = Group.objects.get_or_create(name="Operator")
    operator.permissions.add(*ours)
    support, _ = Group.objects.get_or_create(name="Support")
    # The name of this permission begins with `view_` too.
    visible = ours.filter(codename__startswith="view_").exclude(codename="view_full_numbers")
    support.permissions.add(*visible, *ours.filter(codename__in=SUPPORT_ACTIONS))
