"""One-click connection from the retailCRM marketplace: verifies the request and finds or creates the client.

https://docs.retailcrm.ru/Developers/API/APIFeatures/simpleconnection
"""

import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils import translation
from django.utils.translation import gettext as _

from connector_project.core import http_client, logging
from connector_project.core.check_results import CheckFailed, require
from connector_project.core.secret_tokens import digest, generate_token
from connector_project.operations.onboarding import registrations
from connector_project.operations.onboarding.registrations import NotConnected
from crm import checks, client_factory, integration_module, key_verification
from crm.retailcrm.errors import SYSTEM
from tenants import account_claims, audit, onboarding
from tenants.access_errors import SWITCHED_OFF
from tenants.models import ACTIVATION_LINK_LIFETIME, AuditLogEntry, CrmConnection, Tenant
from tenants.models.connections import normalise_address

RUSSIAN = (".retailcrm.ru", ".retailcrm.pro")
FIELDS = ("token", "apiKey", "systemUrl")

security = logging.logger("connector.security")


@dataclass(frozen=True)
class Offer:
    """The payload sent when a user presses "Connect". Only the key is signed; the address is not."""

    token: str = field(repr=False)
    key: str = field(repr=False)
    address: str


def connect(text: str, *, now: datetime) -> str:
    """Connect the account in a `register` field: an existing client, or a new one that still needs a UIS key.

    Returns a new one-time token for the client's page. A request is accepted once: its repeat gets the same token for
    a few minutes, and changes nothing. Raises NotConnected.
    """
    offer = parse(text)
    if not is_signed(offer, secret=settings.RETAILCRM_MODULE_SECRET):
        # Log the address only if it is a valid account URL: anybody may send anything.
        sender = offer.address if checks.is_account_address(offer.address).ok else "an invalid address"
        security.warning("marketplace connection with an invalid token", sender=sender)
        raise NotConnected("Invalid token", status=401)
    with translation.override(_language(offer.address)):
        if token := registrations.repeated_token(offer.token, offer.address, now=now):
            return token
        account = CrmConnection(tenant=Tenant(), address=offer.address, key=offer.key)
        try:
            require(checks.is_account_address(offer.address))
            tenant = _register_account(account, now=now)
            return _grant_access(tenant, offer, now=now)
        except CheckFailed as exc:
            raise NotConnected(exc.result.message) from exc
        except http_client.RemoteError as exc:
            status = 503 if isinstance(exc, http_client.RemoteUnavailable) else 400
            raise NotConnected(checks.refused(exc, account).message, status=status) from exc
        except registrations.ApprovalNeeded as exc:
            registrations.ask_approval(exc.tenant, now=now)
            raise registrations.waits_for_approval() from exc


def parse(text: str) -> Offer:
    """Parse a `register` field. Raises NotConnected."""
    if not text:
        raise NotConnected("No data provided")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise NotConnected("Invalid JSON provided") from exc
    if not isinstance(data, dict):
        raise NotConnected("Invalid JSON provided")
    for name in FIELDS:
        if not isinstance(data.get(name), str) or not data[name]:
            raise NotConnected(f"{name} is missing")
    # JSON may contain lone surrogates, which cannot be encoded into our response.
    address = normalise_address(data["systemUrl"]).encode(errors="replace").decode()
    return Offer(token=data["token"], key=data["apiKey"], address=address)


def is_signed(offer: Offer, *, secret: str) -> bool:
    """Verify that the marketplace sent this key: hex(HMAC-SHA256(secret, key)), in constant time."""
    expected = hmac.new(secret.encode(), _bytes(offer.key), "sha256").hexdigest()
    return hmac.compare_digest(expected.encode(), _bytes(offer.token))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _language(address: str) -> str:
    """Return the language of an account's users."""
    return "ru" if address.endswith(RUSSIAN) else "en"


def _register_account(account: CrmConnection, *, now: datetime) -> Tenant:
    """Verify the key at the account's public URL, find its client, and register our module there."""
    given = account.address
    account.address = key_verification.public_address(account)
    _check_key(account)
    tenant = _get_or_create_tenant(account, given, now=now)
    registrations.require_access(tenant)
    client = client_factory.crm_client(tenant.crm, is_live=True)
    integration_module.register(tenant, client, now=now, is_forced=True, is_patient=True)
    return tenant


def _check_key(account: CrmConnection) -> None:
    """Verify the key at this host, because the signature does not cover the address; get stores and zone."""
    client = client_factory.crm_client(account, is_live=True)
    rights = client.rights()
    key_verification.require_scopes(rights)
    account.stores, account.time_zone = list(rights.sites), client.time_zone()


@transaction.atomic
def _get_or_create_tenant(account: CrmConnection, given: str, *, now: datetime) -> Tenant:
    """Return the account's client with the new key set; the key is saved once the CRM has our module."""
    _lock()
    tenant = _find_tenant({account.address, given}) or _create_tenant(account, now=now)
    account_claims.claim(tenant.crm, account_claims.crm_account_id(account.address), system=SYSTEM)
    tenant.crm.key = account.key
    if not tenant.crm.module_code.startswith(settings.RETAILCRM_MODULE_CODE):
        tenant.crm.module_code = ""  # Registered manually, under a code that is not the marketplace's.
    return tenant


def _lock() -> None:
    """Serialise simultaneous requests: a new account has no row to lock.

    Not needed on SQLite, where a transaction locks the whole database.
    """
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [__name__])


def _find_tenant(addresses: set[str]) -> Tenant | None:
    """Return the client of an account; of several, who holds it, a connected and registered one, else the newest."""
    forms = [("crm__address__iexact", address + end) for address in addresses for end in ("", "/")]
    found = Tenant.objects.filter(Q(*forms, _connector=Q.OR)).select_related("uis", "crm", "activation")
    owners = [tenant for tenant in found if _is_owner(tenant, addresses)]
    return max(owners, key=lambda tenant: (_is_holder(tenant, addresses), _match_rank(tenant)), default=None)


def _is_owner(tenant: Tenant, addresses: set[str]) -> bool:
    """Return whether the account is certainly this client's: they are about to get its key.

    An address alone proves nothing, because anybody can enter any address on the client's page. Accepted are: the
    account has accepted this client's key, or registered their module, or nobody has used the page, so the operator
    entered the address.
    """
    if _is_holder(tenant, addresses):
        return True
    registered = tenant.crm.registered_module
    return registered.get("account") in addresses if registered else not hasattr(tenant, "activation")


def _is_holder(tenant: Tenant, addresses: set[str]) -> bool:
    """Return whether the account has accepted this client's key, and so is theirs alone."""
    crm = tenant.crm
    is_held = crm.holds_account and tenant.offboarded_at is None
    return is_held and crm.account_id in map(account_claims.crm_account_id, addresses)


def _match_rank(tenant: Tenant) -> tuple[bool, bool, int]:
    is_connected = tenant.offboarded_at is None
    is_ours = tenant.crm.module_code.startswith(settings.RETAILCRM_MODULE_CODE)
    return is_connected and is_ours, is_connected, tenant.pk


def _create_tenant(account: CrmConnection, *, now: datetime) -> Tenant:
    host = urlsplit(account.address).hostname or ""
    new = onboarding.NewTenant(
        name=host.partition(".")[0],
        crm_url=account.address,
        crm_key=account.key,
        time_zone=account.time_zone or onboarding.NewTenant.time_zone,
        language=_language(account.address),
    )
    tenant = onboarding.create_tenant(new, now=now)
    tenant.crm.time_zone, tenant.crm.stores = account.time_zone, account.stores
    tenant.crm.save(update_fields=["time_zone", "stores"])
    return tenant


def _grant_access(tenant: Tenant, offer: Offer, *, now: datetime) -> str:
    """Save the verified key, restore the connection, and return a one-time token for the client's page.

    Raises ApprovalNeeded if an operator has ended the client's access meanwhile; RemoteError.
    """
    try:
        return _save_access(tenant, offer, now=now)
    except registrations.ApprovalNeeded as exc:
        if exc.tenant.offboarded_at:
            # Disconnected while our module was registered, perhaps with a key that was not stored yet.
            integration_module.switch_off(tenant, client_factory.crm_client(tenant.crm, is_live=True))
        raise


@transaction.atomic
def _save_access(tenant: Tenant, offer: Offer, *, now: datetime) -> str:
    current = Tenant.objects.lock(tenant.pk)
    if current is None:
        raise NotConnected(_("The account was removed meanwhile. Press Connect again."))
    registrations.require_access(current)
    token = generate_token()
    row = registrations.accept(current, offer.token, offer.address, one_time_token=token, now=now)
    if row.one_time_token != token:
        return row.one_time_token  # The same request was accepted at the same time.
    current.crm.key = tenant.crm.key
    current.crm.save(update_fields=["key"])
    current.crm.lift(SWITCHED_OFF)  # Registering has switched the module on.
    current.crm.restore()
    current.one_time_token_digest, current.activation_expires_at = digest(token), now + ACTIVATION_LINK_LIFETIME
    current.offboarded_at = None  # A returning client, with the operator's approval: keep their data.
    current.save(update_fields=["one_time_token_digest", "activation_expires_at", "offboarded_at"])
    audit.log(current, AuditLogEntry.Action.CONNECTED, now=now, new=current.crm.address)
    return token
