"""The marketplace's one-click connection: is it the CRM's own request, which account is meant, whose client is it.

https://docs.retailcrm.ru/Developers/API/APIFeatures/simpleconnection
"""

import hmac
import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils import translation

from connector_project import remote
from crm import checks, clients, module, scopes
from crm.address import bare
from tenants import journal, onboarding
from tenants.finding import Finding
from tenants.models import ACTIVATION_TERM, Change, CrmConnection, Tenant, new_hook
from tenants.models.tenant import check_zone

RUSSIAN = (".retailcrm.ru", ".retailcrm.pro")
FIELDS = ("token", "apiKey", "systemUrl")

security = logging.getLogger("connector.security")


class NotConnected(Exception):
    """The account was not connected. The text is for the person who pressed the button, `status` for the CRM."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Offer:
    """What the CRM sends when somebody presses "Connect". Only the key is signed, the address could be anybody's."""

    token: str = field(repr=False)
    key: str = field(repr=False)
    address: str


def connect(text: str, *, now: datetime) -> Tenant:
    """Connect the account that a `register` field offers: a new client, waiting for his key of UIS, or a known one.

    Returns him with a new one-time token for his page. Raises NotConnected; a second try is always possible.
    """
    offer = read(text)
    if not is_signed(offer, secret=settings.RETAILCRM_MODULE_SECRET):
        # An account's name only if it can be one: anybody may send anything.
        named = offer.address if checks.is_account_address(offer.address).is_ok else "a strange address"
        security.warning("The marketplace's connection came with a wrong token, from %s", named)
        raise NotConnected("Invalid token", status=401)
    with translation.override(_language(offer.address)):
        _need(checks.is_account_address(offer.address))
        account = CrmConnection(tenant=Tenant(), address=offer.address, key=offer.key)
        try:
            tenant = _bring_in(account, now=now)
        except remote.RemoteError as exc:
            status = 503 if isinstance(exc, remote.RemoteUnavailable) else 400
            raise NotConnected(checks.refused(exc, account).says, status=status) from exc
    return _let_in(tenant, now=now)


def read(text: str) -> Offer:
    """Read a `register` field. Raises NotConnected for what is none."""
    if not text:
        raise NotConnected("No data provided")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise NotConnected("Invalid JSON provided") from exc
    if not isinstance(said, dict):
        raise NotConnected("Invalid JSON provided")
    for name in FIELDS:
        if not isinstance(said.get(name), str) or not said[name]:
            raise NotConnected(f"{name} is missing")
    # It may stand in our answer, and JSON can hold halves of characters, which no answer can.
    address = bare(said["systemUrl"]).encode(errors="replace").decode()
    return Offer(token=said["token"], key=said["apiKey"], address=address)


def is_signed(offer: Offer, *, secret: str) -> bool:
    """Say whether the marketplace itself sent this key: hex(HMAC-SHA256(secret, key)), compared in constant time."""
    expected = hmac.new(secret.encode(), _bytes(offer.key), "sha256").hexdigest()
    return hmac.compare_digest(expected.encode(), _bytes(offer.token))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _need(finding: Finding) -> None:
    if not finding.is_ok:
        raise NotConnected(finding.says)


def _language(address: str) -> str:
    """Return the language of the people of an account."""
    return "ru" if address.endswith(RUSSIAN) else "en"


def _bring_in(account: CrmConnection, *, now: datetime) -> Tenant:
    """Try the key at the account's public address, find whose it is, and register our module there."""
    told = account.address
    account.address = _public(told)
    _check_key(account)
    tenant = _client_of(account, told, now=now)
    module.register_again(tenant, clients.crm_client(tenant.crm, is_live=True), now=now)
    return tenant


def _public(address: str) -> str:
    """Return the address people use, where the account tells one that can be an account; else the one we have."""
    if remote.is_trusted(address):
        return address  # The operator named this very host: what it says of itself may be somebody's true account.
    nobody = CrmConnection(tenant=Tenant(), address=address)
    try:
        told = bare(clients.crm_client(nobody, is_live=True).public_address())
    except remote.RemoteUnavailable:
        raise
    except remote.RemoteError:
        return address
    return told if checks.is_account_address(told).is_ok else address


def _check_key(account: CrmConnection) -> None:
    """Try the key at this very host, for the signature does not cover the address; learn stores and zone."""
    client = clients.crm_client(account, is_live=True)
    rights = client.rights()
    for scope in scopes.missing(rights):
        if scope in scopes.INDISPENSABLE:
            _need(checks.lacking(scope))
    account.stores = list(rights.sites)
    account.time_zone = _zone(client.time_zone())


def _zone(name: str) -> str:
    try:
        check_zone(name)
    except ValidationError:
        return ""
    return name


@transaction.atomic
def _client_of(account: CrmConnection, told: str, *, now: datetime) -> Tenant:
    """Return whose account this is, with the new key in hand; it is stored when the CRM has taken our module."""
    _one_at_a_time()
    tenant = _known({account.address, told}) or _new(account, now=now)
    tenant.crm.key = account.key
    if not tenant.crm.module_code.startswith(settings.RETAILCRM_MODULE_CODE):
        tenant.crm.module_code = ""  # It was registered by hand, under a name that is not the marketplace's.
    return tenant


def _one_at_a_time() -> None:
    """Let two requests that came together wait for each other: a new account has no row that could be locked.

    SQLite needs nothing: there a transaction has the whole database from its beginning.
    """
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [__name__])


def _known(addresses: set[str]) -> Tenant | None:
    """Return the client of an account; of several the one who is here and registered, else the newest."""
    same = Q()
    for address in addresses:
        same |= Q(crm__address__iexact=address) | Q(crm__address__iexact=f"{address}/")
    found = Tenant.objects.filter(same).select_related("uis", "crm", "activation")
    return max((tenant for tenant in found if _is_his(tenant, addresses)), key=_claim, default=None)


def _is_his(tenant: Tenant, addresses: set[str]) -> bool:
    """Say whether the account is surely this client's: its key is about to be his.

    An address alone proves nothing, for on his page anybody types in whose he likes. The account took our module from
    him; or nobody has done anything on that page, so it was the operator who wrote the address down.
    """
    told = tenant.crm.sent_module
    return told.get("account") in addresses if told else not hasattr(tenant, "activation")


def _claim(tenant: Tenant) -> tuple[bool, bool, int]:
    is_here = tenant.left_at is None
    is_ours = tenant.crm.module_code.startswith(settings.RETAILCRM_MODULE_CODE)
    return is_here and is_ours, is_here, tenant.pk


def _new(account: CrmConnection, *, now: datetime) -> Tenant:
    host = urlsplit(account.address).hostname or ""
    new = onboarding.NewTenant(
        name=host.partition(".")[0],
        crm_url=account.address,
        crm_key=account.key,
        time_zone=account.time_zone or onboarding.NewTenant.time_zone,
        language=_language(account.address),
    )
    tenant = onboarding.add(new, now=now)
    tenant.crm.time_zone, tenant.crm.stores = account.time_zone, account.stores
    tenant.crm.save(update_fields=["time_zone", "stores"])
    return tenant


@transaction.atomic
def _let_in(tenant: Tenant, *, now: datetime) -> Tenant:
    """Store the key that is proved by now, open the door, and give the person a way to the client's page."""
    tenant.crm.save(update_fields=["key"])
    tenant.crm.refresh_from_db(fields=["denied_at"])  # A task may have met the old key's end meanwhile.
    tenant.crm.allow()
    tenant.entry_token, tenant.activation_expires_at = new_hook(), now + ACTIVATION_TERM
    tenant.left_at = None  # Who connects anew has come back: his data is not to be deleted.
    tenant.save(update_fields=["entry_token", "activation_expires_at", "left_at"])
    journal.note(tenant, Change.Verb.CONNECTED, now=now, new=tenant.crm.address)
    return tenant
