"""What our module in the CRM lists: the extensions of the linked employees, and the numbers of the shops."""

from collections import Counter

from connector_project.core import phone_numbers
from connector_project.core.compiled_queries import CompiledSelect
from tenants.models import Employee, Tenant, VirtualNumber


def codes(tenant: Tenant) -> list[tuple[int, str]]:
    """Return each linked employee's extension; a shared one is left out, it would show pop-ups to the wrong user."""
    pairs = _EXTENSIONS.fetch(tenant=tenant.pk)
    counts = Counter(extension for _, extension in pairs)
    return [(user_id, extension) for user_id, extension in pairs if user_id and counts[extension] == 1]


def phones(tenant: Tenant) -> list[list[str]]:
    """Return each shop with one of its numbers."""
    return [[site, phone_numbers.e164(number)] for site, number in _SITES.fetch(tenant=tenant.pk)]


_EXTENSIONS: CompiledSelect[tuple[int | None, str]] = CompiledSelect(
    lambda given: (
        Employee.objects.filter(tenant=given.integer("tenant"), is_dismissed=False)
        .exclude(extension="")
        .order_by("pk")
        .values_list("crm_user_id", "extension")
    )
)
_SITES: CompiledSelect[tuple[str, str]] = CompiledSelect(
    lambda given: (
        VirtualNumber.objects.filter(tenant=given.integer("tenant"), is_active=True)
        .exclude(site="")
        .order_by("site", "-is_default", "number")
        .values_list("site", "number")
    )
)
