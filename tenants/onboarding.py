"""Add a client with all that belongs to him."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.text import slugify

from tenants.models import ACTIVATION_TERM, CrmConnection, Tenant, TransferRules, UisConnection, VirtualNumber


@dataclass(frozen=True, kw_only=True)
class NewTenant:
    """What an operator knows of a new client."""

    name: str
    slug: str = ""
    uis_token: str = ""
    uis_brand: str = UisConnection.Brand.UIS
    crm_url: str = ""
    crm_key: str = ""
    crm_version: str = CrmConnection.Version.AUTO
    default_number: str = ""
    time_zone: str = "Europe/Moscow"


@transaction.atomic
def add(new: NewTenant, *, now: datetime) -> Tenant:
    """Write a new client. Raises ValidationError, naming the field, for what cannot be."""
    tenant = Tenant(
        name=new.name,
        slug=new.slug or _free_slug(new.name),
        time_zone=new.time_zone,
        activation_expires_at=now + ACTIVATION_TERM,
    )
    tenant.full_clean()
    tenant.save()
    uis = UisConnection(tenant=tenant, brand=new.uis_brand, access_token=new.uis_token)
    crm = CrmConnection(tenant=tenant, address=new.crm_url.rstrip("/"), key=new.crm_key, version=new.crm_version)
    for part in (uis, crm, TransferRules(tenant=tenant)):
        part.full_clean()
        part.save()
    if new.default_number:
        VirtualNumber.objects.create(tenant=tenant, number=new.default_number, is_default=True)
    return tenant


def _free_slug(name: str) -> str:
    """Return a short name nobody has; a name in Cyrillic letters leaves none of its own."""
    wanted = slugify(name)[:60] or "client"
    taken = set(Tenant.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for slug in (wanted, *(f"{wanted}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)
