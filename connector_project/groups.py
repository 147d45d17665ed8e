"""The two groups of people in the admin; `migrate` brings them."""

from typing import Any

from django.contrib.auth.models import Group, Permission

OURS = ("tenants", "telephony", "crm", "connector")


def apply(**_signal: Any) -> None:
    """Give operators everything of ours, and support staff a look, a second try, and incidents to see to."""
    ours = Permission.objects.filter(content_type__app_label__in=OURS)
    operator, _ = Group.objects.get_or_create(name="Operator")
    operator.permissions.add(*ours)
    support, _ = Group.objects.get_or_create(name="Support")
    seen, done = ours.filter(codename__startswith="view_"), ("change_call", "listen", "take_incident")
    support.permissions.add(*seen, *ours.filter(codename__in=done))
