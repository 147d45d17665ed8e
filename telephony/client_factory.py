"""Builds UIS clients from connections."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from connector_project.core import http_client
from connector_project.core.origins import INVALID, origin
from telephony import api_quota
from telephony.models import Call, FailureReason
from telephony.models.choices import UIS_STATES
from telephony.uis import recordings
from telephony.uis.client import HOSTS, UisClient
from telephony.uis.errors import LIMIT, SYSTEM
from telephony.uis.jsonrpc import Channel, Result
from telephony.uis.types import Limits
from tenants.models import UisConnection

OnWait = Callable[[http_client.RemoteUnavailable], None]


@dataclass(frozen=True)
class _WaitingChannel(Channel):
    """A channel that can wait for API points in the middle of a long list, instead of restarting it."""

    on_wait: OnWait | None = None

    def request(self, method: str, params: Mapping[str, object], *, timeout: float = 15.0) -> Result:
        while True:
            try:
                return super().request(method, params, timeout=timeout)
            except http_client.RemoteUnavailable as exc:
                if self.on_wait is None or exc.code != LIMIT:
                    raise
                self.on_wait(exc)


def uis_client(connection: UisConnection, *, is_live: bool = False, on_wait: OnWait | None = None) -> UisClient:
    """Return a client; unless `is_live`, it does not use the reserve of API points.

    With `on_wait`, exhausted points are not an error: it is called with the exception, sleeps or raises, and the
    request is repeated.
    """
    data_url, call_url, _media = HOSTS[connection.brand]
    return UisClient(
        data=_channel(
            connection, settings.UIS_DATA_API_URL or data_url, "data_limits", is_live=is_live, on_wait=on_wait
        ),
        # Its failures do not open the circuit breaker of the Data API, and clicks are never delayed.
        calls_api=_channel(
            connection, settings.UIS_CALL_API_URL or call_url, "call_limits", is_live=True, counts_failures=False
        ),
        zone=connection.zone,
        is_russian=connection.is_russian,
        agent_user_id=connection.agent_user_id,
        supports_in_operator=connection.supports_in_operator,
    )


def recording_url(connection: UisConnection, session_id: int, record_id: str) -> str:
    return recordings.talk_url(settings.UIS_MEDIA_URL or f"https://{_media_host(connection)}", session_id, record_id)


def is_of_uis(connection: UisConnection, url: str) -> bool:
    """Whether a URL is on a UIS host: anybody who knows the webhook URL can put links into notifications.

    UIS hosts are those of the brands, the one set for this account, and the one in UIS_MEDIA_URL.
    """
    configured = {origin(settings.UIS_MEDIA_URL), origin(f"https://{_media_host(connection)}")}
    return recordings.is_uis_url(url, own=configured - {INVALID})


def _media_host(connection: UisConnection) -> str:
    return connection.media_host or HOSTS[connection.brand][2]


def _channel(
    connection: UisConnection,
    url: str,
    field: str,
    *,
    is_live: bool,
    on_wait: OnWait | None = None,
    counts_failures: bool = True,
) -> Channel:
    def store_limits(limits: Limits) -> None:
        quota = api_quota.to_json(limits, now=timezone.now())
        setattr(connection, field, quota)
        UisConnection.objects.filter(pk=connection.pk).update(**{field: quota})

    def record_outcome(error: http_client.RemoteUnavailable | None) -> None:
        now = timezone.now()
        if error is None:
            if connection.record_success():
                Call.objects.make_due(connection.tenant_id, UIS_STATES, FailureReason.UIS_UNAVAILABLE, now=now)
        elif error.code != LIMIT:  # Exhausted points are not an outage: the wait is the one UIS states.
            connection.record_failure(wait=error.wait, is_live=is_live, now=now)

    return _WaitingChannel(
        url=url,
        token=connection.access_token,
        on_limits=store_limits,
        send=_within_points(lambda: getattr(connection, field), is_live=is_live),
        on_wait=on_wait,
        on_end=record_outcome if counts_failures else lambda _error: None,
    )


def _within_points(quota: Callable[[], dict[str, object]], *, is_live: bool) -> Callable[..., http_client.Reply]:
    """Return a `send` that checks the remaining API points before each request."""

    def send(*args: object, **kwargs: object) -> http_client.Reply:
        seconds = api_quota.seconds_to_wait(quota(), is_live=is_live, now=timezone.now())
        if seconds:
            raise http_client.RemoteUnavailable(
                SYSTEM, "The points of this account are used up for now.", code=LIMIT, wait=seconds
            )
        return http_client.send(*args, **kwargs)  # type: ignore[arg-type]

    return send
