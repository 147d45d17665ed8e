"""Builds UIS clients from connections."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from connector_project.core import exchanges, http_client
from connector_project.core.compiled_queries import CompiledUpdate
from connector_project.core.encrypted_fields import UndecryptableText
from connector_project.core.origins import INVALID, origin
from connector_project.core.placeholders import Placeholders
from telephony import api_quota
from telephony.models import Call, FailureReason
from telephony.models.choices import UIS_STATES
from telephony.uis import recordings
from telephony.uis.client import HOSTS, UisClient
from telephony.uis.errors import LIMIT, SYSTEM
from telephony.uis.jsonrpc import Channel, Result
from telephony.uis.types import Account, Limits
from tenants import account_claims
from tenants.access_errors import key_undecryptable
from tenants.models import UisConnection

CALL_API = "call_api"  # one right for all its methods
OnWait = Callable[[http_client.RemoteUnavailable], None]


@dataclass(frozen=True, kw_only=True)
class _AccountChannel(Channel):
    """A channel that keeps to the account's API points, and tells the circuit breaker how each request ended."""

    connection: UisConnection
    quota_field: str
    is_live: bool
    counts_failures: bool = True
    proven: tuple[str, ...] = ()  # by any success, besides the right it needs
    on_wait: OnWait | None = None

    def request(self, method: str, params: Mapping[str, object], *, timeout: float = 15.0) -> Result:
        while True:
            try:
                self._check_points()
                result = super().request(method, params, timeout=timeout)
            except http_client.RemoteUnavailable as exc:
                if exc.code != LIMIT:  # Exhausted points are not an outage: the wait is the one UIS states.
                    self._record_failure(exc)
                    raise
                if self.on_wait is None:
                    raise
                # In the middle of a long list, instead of restarting it.
                self.on_wait(exc)
            except http_client.RemoteRejected:
                # UIS looks at the rights before it looks at the parameters.
                self._record_answer(self.right or method)
                raise
            except http_client.RemoteError:
                self._record_answer()
                raise
            else:
                self._record_answer(self.right or method, *self.proven)
                return result

    def on_limits(self, limits: Limits) -> None:
        now = timezone.now()
        quota, stored = api_quota.to_json(limits, now=now), getattr(self.connection, self.quota_field)
        if api_quota.is_news(quota, stored, now=now):
            setattr(self.connection, self.quota_field, quota)
            _quota(self.quota_field).run(connection=self.connection.pk, **{self.quota_field: quota})

    def _check_points(self) -> None:
        quota = getattr(self.connection, self.quota_field)
        if seconds := api_quota.seconds_to_wait(quota, is_live=self.is_live, now=timezone.now()):
            message = "The points of this account are used up for now."
            raise http_client.RemoteUnavailable(SYSTEM, message, code=LIMIT, wait=seconds)

    def _record_failure(self, exc: http_client.RemoteUnavailable) -> None:
        if self.counts_failures:
            self.connection.record_failure(wait=exc.wait, is_live=self.is_live, now=timezone.now())

    def _record_answer(self, *proven: str) -> None:
        if not self.token:
            return  # Nothing was asked, so nobody has answered.
        if not self.counts_failures:
            if self.connection.denials:
                self.connection.lift(*proven)
        elif self.connection.record_success(*proven):
            reasons = (FailureReason.UIS_UNAVAILABLE, FailureReason.UIS_DENIED)
            Call.objects.make_due(self.connection.tenant_id, UIS_STATES, reasons, now=timezone.now())


@functools.cache
def _quota(field: str) -> CompiledUpdate:
    def build(given: Placeholders) -> Any:
        rows = UisConnection.objects.filter(pk=given.integer("connection"))
        return rows, {field: given.value_of(UisConnection._meta.get_field(field))}

    return CompiledUpdate(build)


def uis_client(connection: UisConnection, *, is_live: bool = False, on_wait: OnWait | None = None) -> UisClient:
    """Return a client; unless `is_live`, it does not use the reserve of API points.

    With `on_wait`, exhausted points are not an error: it is called with the exception, sleeps or raises, and the
    request is repeated. Raises AccessDenied if the stored key cannot be decrypted.
    """
    if isinstance(connection.access_token, UndecryptableText):
        raise key_undecryptable(SYSTEM)
    data_url, call_url, _media = HOSTS[connection.brand]
    send = exchanges.recorded(secret=connection.access_token)
    return UisClient(
        data=_AccountChannel(
            url=settings.UIS_DATA_API_URL or data_url,
            token=connection.access_token,
            send=send,
            connection=connection,
            quota_field="data_limits",
            is_live=is_live,
            proven=(http_client.ACCOUNT,),
            on_wait=on_wait,
        ),
        # Its failures do not open the circuit breaker of the Data API, and clicks are never delayed.
        calls_api=_AccountChannel(
            url=settings.UIS_CALL_API_URL or call_url,
            token=connection.access_token,
            send=send,
            connection=connection,
            quota_field="call_limits",
            right=CALL_API,
            is_live=True,
            counts_failures=False,
        ),
        zone=connection.zone,
        region=connection.region,
        agent_user_id=connection.agent_user_id,
        supports_in_operator=connection.supports_in_operator,
    )


def verify_account(connection: UisConnection, client: UisClient) -> Account:
    """Ask which account the key is for. Raises AccessDenied if another client uses it, and the errors of the client."""
    account = client.account()
    account_claims.claim(connection, account.account_id, system=SYSTEM)
    return account


def recording_url(connection: UisConnection, session_id: int, record_id: str) -> str:
    return recordings.talk_url(_media_base(connection), session_id, record_id)


def voice_mail_url(connection: UisConnection, communication_id: int, record_id: str) -> str:
    return recordings.voice_mail_url(_media_base(connection), communication_id, record_id)


def _media_base(connection: UisConnection) -> str:
    return settings.UIS_MEDIA_URL or f"https://{_media_host(connection)}"


def is_of_uis(connection: UisConnection, url: str) -> bool:
    """Whether a URL may be fetched, or handed over, as a recording of this account. Every path asks here.

    Anybody who knows the webhook URL can put links into notifications. UIS's hosts are those of the account's brand,
    the one set for this account, the one in UIS_MEDIA_URL, and those in TRUSTED_REMOTE_HOSTS.
    """
    if recordings.is_uis_url(url, brand=connection.brand, own=()):
        return True
    configured = {origin(settings.UIS_MEDIA_URL), origin(f"https://{_media_host(connection)}")}
    if http_client.is_trusted(url):
        configured.add(origin(url))
    return recordings.is_uis_url(url, brand=connection.brand, own=configured - {INVALID})


def _media_host(connection: UisConnection) -> str:
    return connection.media_host or HOSTS[connection.brand][2]
