"""Tenant -> UisClient."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from connector_project import remote
from connector_project.origins import NOWHERE, origin
from telephony import points
from telephony.models import Call, Cause
from telephony.models.words import OF_UIS
from telephony.uis import media
from telephony.uis.client import HOSTS, UisClient
from telephony.uis.refusals import LIMIT, SYSTEM
from telephony.uis.rpc import Channel, Result
from telephony.uis.types import Limits
from tenants.models import UisConnection

OnWait = Callable[[remote.RemoteUnavailable], None]


@dataclass(frozen=True)
class _PatientChannel(Channel):
    """A channel that may wait for points in the middle of a long list, instead of reading it anew."""

    on_wait: OnWait | None = None

    def ask(self, method: str, params: Mapping[str, object], *, timeout: float = 15.0) -> Result:
        while True:
            try:
                return super().ask(method, params, timeout=timeout)
            except remote.RemoteUnavailable as exc:
                if self.on_wait is None or exc.code != LIMIT:
                    raise
                self.on_wait(exc)


def uis_client(connection: UisConnection, *, is_live: bool = False, on_wait: OnWait | None = None) -> UisClient:
    """Return a client of this account; one that is not live leaves the reserve of points alone.

    With `on_wait` used-up points are no error: it is called with the refusal, sleeps or raises, and the request is
    made again.
    """
    data_url, call_url, _media = HOSTS[connection.brand]
    return UisClient(
        data=_channel(
            connection, settings.UIS_DATA_API_URL or data_url, "data_limits", is_live=is_live, on_wait=on_wait
        ),
        # A door of its own: that one is shut says nothing about the other, and clicks are never held back.
        calls_api=_channel(
            connection, settings.UIS_CALL_API_URL or call_url, "call_limits", is_live=True, is_heeded=False
        ),
        zone=connection.zone,
        is_russian=connection.is_russian,
        agent_user_id=connection.agent_user_id,
        takes_lists=connection.takes_lists,
    )


def record_url(connection: UisConnection, session_id: int, record_id: str) -> str:
    """Return the address of the recording of one talk."""
    return media.talk_url(settings.UIS_MEDIA_URL or f"https://{_media_host(connection)}", session_id, record_id)


def is_of_uis(connection: UisConnection, url: str) -> bool:
    """Say whether an address is at one of UIS's hosts: links in notifications are typed by anybody who knows the hook.

    Besides the brands' own these are the host named for this account, and the operator's stand-in.
    """
    named = {origin(settings.UIS_MEDIA_URL), origin(f"https://{_media_host(connection)}")}
    return media.is_at_uis(url, own=named - {NOWHERE})


def _media_host(connection: UisConnection) -> str:
    return connection.media_host or HOSTS[connection.brand][2]


def _channel(
    connection: UisConnection,
    url: str,
    field: str,
    *,
    is_live: bool,
    on_wait: OnWait | None = None,
    is_heeded: bool = True,
) -> Channel:
    def note(limits: Limits) -> None:
        seen = points.remember(limits, now=timezone.now())
        setattr(connection, field, seen)
        UisConnection.objects.filter(pk=connection.pk).update(**{field: seen})

    def heed(fault: remote.RemoteUnavailable | None) -> None:
        now = timezone.now()
        if fault is None:
            if connection.answer():
                Call.objects.wake(connection.tenant_id, OF_UIS, Cause.UIS_UNAVAILABLE, now=now)
        elif fault.code != LIMIT:  # Used-up points are waited for as UIS says; it is there.
            connection.miss(wait=fault.wait, is_live=is_live, now=now)

    return _PatientChannel(
        url=url,
        token=connection.access_token,
        on_limits=note,
        send=_within_points(lambda: getattr(connection, field), is_live=is_live),
        on_wait=on_wait,
        on_end=heed if is_heeded else lambda _fault: None,
    )


def _within_points(seen: Callable[[], dict[str, object]], *, is_live: bool) -> Callable[..., remote.Reply]:
    """Return a `send` that asks the points left before each request."""

    def send(*args: object, **kwargs: object) -> remote.Reply:
        seconds = points.wait(seen(), is_live=is_live, now=timezone.now())
        if seconds:
            raise remote.RemoteUnavailable(
                SYSTEM, "The points of this account are used up for now.", code=LIMIT, wait=seconds
            )
        return remote.send(*args, **kwargs)  # type: ignore[arg-type]

    return send
