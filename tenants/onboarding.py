"""Add a client with all that belongs to him."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.text import slugify

from tenants.models import ACTIVATION_TERM, CrmConnection, Tenant, TransferRules, UisConnection, VirtualNumber

# How Russian letters are written in Latin ones; hard and soft signs are left out.
_LATIN = str.maketrans(
    dict(zip("абвгдеёзийклмнопрстуфыэ", "abvgdeeziyklmnoprstufye", strict=True))
    | {"ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "", "ю": "yu", "я": "ya"}
)


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
    language: str = "ru"


@transaction.atomic
def add_or_correct(new: NewTenant, *, now: datetime) -> Tenant:
    """Write a new client; one of the same name and short name is corrected, so that a second run does no harm.

    Raises ValidationError, naming the field, for what cannot be.
    """
    same = Tenant.objects.filter(slug=new.slug, name=new.name).first() if new.slug else None
    return add(new, now=now) if same is None else _correct(same, new)


def _correct(tenant: Tenant, new: NewTenant) -> Tenant:
    """Put the keys and addresses right; a door that was shut is tried again where one of them changed."""
    told = {
        tenant.uis: {"brand": new.uis_brand, "access_token": new.uis_token},
        tenant.crm: {"address": new.crm_url.rstrip("/"), "key": new.crm_key, "version": new.crm_version},
    }
    for part, values in told.items():
        changed = {name: value for name, value in values.items() if getattr(part, name) != value}
        for name, value in changed.items():
            setattr(part, name, value)
        part.full_clean()
        part.save()
        if changed:
            part.allow()
    return tenant


@transaction.atomic
def add(new: NewTenant, *, now: datetime) -> Tenant:
    """Write a new client. Raises ValidationError, naming the field, for what cannot be."""
    tenant = Tenant(
        name=new.name,
        slug=new.slug or free_slug(new.name),
        time_zone=new.time_zone,
        language=new.language,
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


def free_slug(name: str) -> str:
    """Return a short name nobody has: the name in Latin letters, where any can be made of it."""
    wanted = slugify(name.lower().translate(_LATIN))[:60] or "client"
    taken = set(Tenant.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for slug in (wanted, *(f"{wanted}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)
