"""Creates a tenant with connections and rules, or updates the keys of one."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils.text import slugify

from tenants import account_claims, rule_versions
from tenants.audit import Actor
from tenants.models import (
    ACTIVATION_LINK_LIFETIME,
    CrmConnection,
    Tenant,
    UisConnection,
    VirtualNumber,
)
from tenants.models.connections import normalise_address
from tenants.rule_presets import Beginning

# Transliteration of Russian letters; hard and soft signs are dropped.
_LATIN = str.maketrans(
    dict(zip("абвгдеёзийклмнопрстуфыэ", "abvgdeeziyklmnoprstufye", strict=True))
    | {"ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "", "ю": "yu", "я": "ya"}
)


@dataclass(frozen=True, kw_only=True)
class NewTenant:
    """The data of a new tenant."""

    name: str
    slug: str = ""
    uis_token: str = field(default="", repr=False)
    uis_brand: str = UisConnection.Brand.UIS
    crm_url: str = ""
    crm_key: str = field(default="", repr=False)
    crm_version: str = CrmConnection.Version.AUTO
    default_number: str = ""
    time_zone: str = "Europe/Moscow"
    language: str = "ru"
    begins_with: Beginning = field(default_factory=lambda: Beginning({}))


@transaction.atomic
def create_or_update(new: NewTenant, *, now: datetime) -> Tenant:
    """Create a tenant, or update the keys and URLs of the one with the same name and slug, so that it can be run again.

    A key that is not given stays. Raises ValidationError that names the field.
    """
    known = Tenant.objects.filter(slug=new.slug, name=new.name).first() if new.slug else None
    same = Tenant.objects.lock(known.pk) if known else None
    if same is None:
        added = create_tenant(new, now=now)
        _refuse_used(added, new)
        return added
    _refuse_used(same, new)
    same.uis.change(brand=new.uis_brand, access_token=new.uis_token)
    same.crm.change(address=normalise_address(new.crm_url), key=new.crm_key, version=new.crm_version)
    return same


def _refuse_used(tenant: Tenant, new: NewTenant) -> None:
    """Raise ValidationError if another client has one of the accounts."""
    account_claims.refuse_used(tenant.uis, key=new.uis_token)
    account_claims.refuse_used(tenant.crm, address=new.crm_url)


@transaction.atomic
def create_tenant(new: NewTenant, *, by: Actor = None, now: datetime) -> Tenant:
    """Create a tenant with version 1 of their rules. Raises ValidationError that names the field."""
    tenant = Tenant(
        name=new.name,
        slug=new.slug or free_slug(new.name),
        time_zone=new.time_zone,
        language=new.language,
        activation_expires_at=now + ACTIVATION_LINK_LIFETIME,
        **new.begins_with.settings,
    )
    tenant.full_clean()
    tenant.save()
    uis = UisConnection(tenant=tenant, brand=new.uis_brand, access_token=new.uis_token)
    crm = CrmConnection(tenant=tenant, address=normalise_address(new.crm_url), key=new.crm_key, version=new.crm_version)
    for part in (uis, crm):
        part.full_clean()
        part.save()
    rule_versions.begin(tenant, new.begins_with.rules, by=by, now=now)
    if new.default_number:
        VirtualNumber.objects.create(tenant=tenant, number=new.default_number, is_default=True)
    return tenant


def free_slug(name: str, *, reserved: Collection[str] = ()) -> str:
    """Return an unused slug: the transliterated name, or “client” if nothing is left of it."""
    wanted = slugify(name.lower().translate(_LATIN))[:60] or "client"
    taken = {*Tenant.objects.filter(slug__startswith=wanted).values_list("slug", flat=True), *reserved}
    return next(slug for slug in (wanted, *(f"{wanted}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)
