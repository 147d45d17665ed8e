"""One account at a vendor serves one client: two would upload every call twice.

Which account a key is for is certain once the vendor has said so: `claim` records it, and a unique constraint lets one
client hold it. Before that only what people entered can be compared: `find_same_key`, `find_same_address`.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Manager, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from connector_project.core.http_client import AccessDenied
from connector_project.core.origins import origin
from tenants.access_errors import SHARED, AccessError
from tenants.models import Connection, CrmConnection, Tenant, UisConnection
from tenants.models.connections import normalise_address

UIS_USED = _("Another client already uses this UIS account.")
CRM_USED = _("Another client already uses this CRM account.")


def claim(connection: Connection, account_id: str, *, system: str) -> None:
    """Record the vendor's id of the account that the key is for; an empty one means that the vendor did not say.

    Raises AccessDenied if another client holds it. A client who was disconnected holds none.
    """
    if connection.pk is None or not account_id:
        return
    rows: Manager[Any] = type(connection)._default_manager
    rows.filter(account_id=account_id, tenant__offboarded_at__isnull=False).exclude(pk=connection.pk).update(
        holds_account=False
    )
    try:
        with transaction.atomic():
            rows.filter(pk=connection.pk).update(account_id=account_id, holds_account=True)
    except IntegrityError as exc:
        rows.filter(pk=connection.pk).update(account_id=account_id, holds_account=False)
        raise _used(system) from exc
    connection.account_id, connection.holds_account = account_id, True
    connection.lift(SHARED)


def hold(connection: Connection, *, system: str) -> None:
    """Hold the recorded account again: a client who was disconnected may have lost it to another one meanwhile.

    Raises AccessDenied. Needs a transaction, of which the caller's error must undo all.
    """
    recorded = type(connection)._default_manager.filter(pk=connection.pk).exclude(account_id="")
    try:
        with transaction.atomic():
            recorded.update(holds_account=True)
    except IntegrityError as exc:
        raise _used(system) from exc


def find_sharing(tenant: Tenant) -> QuerySet[Tenant]:
    """Return the other clients that use an account of this one."""
    same = _at_address(tenant.crm.address) if tenant.crm.address else Q()
    for name, connection in (("uis", tenant.uis), ("crm", tenant.crm)):
        if connection.account_id:
            same |= Q(**{f"{name}__account_id": connection.account_id})
    return Tenant.objects.filter(same, offboarded_at=None).exclude(pk=tenant.pk) if same else Tenant.objects.none()


def find_same_address(connection: CrmConnection, address: str) -> Tenant | None:
    """Return another client with this CRM account."""
    others = Tenant.objects.filter(_at_address(address), offboarded_at=None)
    return others.exclude(pk=connection.tenant_id).first()


def find_same_key(connection: UisConnection, key: str) -> Tenant | None:
    """Return another client with this UIS key. Keys are encrypted, so all are decrypted: only for a key just typed."""
    rows = UisConnection.objects.filter(tenant__offboarded_at=None).exclude(tenant=connection.tenant_id)
    others = rows.select_related("tenant").only("access_token", "tenant__name", "tenant__slug")
    return next((other.tenant for other in others.iterator() if other.access_token == key), None)


def refuse_used(connection: Connection, *, key: str = "", address: str = "") -> None:
    """Raise ValidationError if another client has the UIS key or the CRM address that was entered.

    Its code is that of the set-up check, its parameter `other` that client; the text names nobody, because the
    client's page shows it too.
    """
    other, text, code = None, UIS_USED, "UIS_ACCOUNT_USED"
    if isinstance(connection, UisConnection) and key:
        other = find_same_key(connection, key)
    elif isinstance(connection, CrmConnection) and address:
        other, text, code = find_same_address(connection, address), CRM_USED, "CRM_ACCOUNT_USED"
    if other is not None:
        raise ValidationError(text, code=code, params={"other": other})


def crm_account_id(address: str) -> str:
    """Return the id of the CRM account at this URL: its host, with a port other than the usual one."""
    _scheme, host, port = origin(address.lower())
    return host if port in {443, 0} else f"{host}:{port}"


def _at_address(address: str) -> Q:
    bare = normalise_address(address)
    held = Q(crm__account_id=crm_account_id(bare), crm__holds_account=True)
    return Q(crm__address__iexact=bare) | Q(crm__address__iexact=f"{bare}/") | held


def _used(system: str) -> AccessDenied:
    message = "Another client uses this account."
    return AccessDenied(system, message, code=AccessError.ACCOUNT_USED, subject=SHARED)
