"""Tenant -> UisClient."""

from collections.abc import Callable

from django.conf import settings
from django.utils import timezone

from connector_project import remote
from telephony import points
from telephony.uis.client import HOSTS, UisClient
from telephony.uis.refusals import SYSTEM
from telephony.uis.rpc import Channel
from telephony.uis.types import Limits
from tenants.models import UisConnection


def uis_client(connection: UisConnection, *, is_live: bool = False) -> UisClient:
    """Return a client of this account; one that is not live leaves the reserve of points alone."""
    data_url, call_url, _media = HOSTS[connection.brand]
    return UisClient(
        data=_channel(connection, settings.UIS_DATA_API_URL or data_url, "data_limits", is_live=is_live),
        calls_api=_channel(connection, settings.UIS_CALL_API_URL or call_url, "call_limits", is_live=True),
        zone=connection.zone,
        is_russian=connection.is_russian,
        agent_user_id=connection.agent_user_id,
        takes_lists=connection.takes_lists,
    )


def record_url(connection: UisConnection, session_id: int, record_id: str) -> str:
    """Return the address of one recording. https://comagic.github.io/data_api/report/get_call_legs_report/"""
    host = connection.media_host or HOSTS[connection.brand][2]
    return f"https://{host}/system/media/talk/{session_id}/{record_id}/"


def _channel(connection: UisConnection, url: str, field: str, *, is_live: bool) -> Channel:
    def note(limits: Limits) -> None:
        seen = points.remember(limits, now=timezone.now())
        setattr(connection, field, seen)
        UisConnection.objects.filter(pk=connection.pk).update(**{field: seen})

    return Channel(
        url=url,
        token=connection.access_token,
        on_limits=note,
        send=_within_points(lambda: getattr(connection, field), is_live=is_live),
    )


def _within_points(seen: Callable[[], dict[str, object]], *, is_live: bool) -> Callable[..., remote.Reply]:
    """Return a `send` that asks the points left before each request."""

    def send(*args: object, **kwargs: object) -> remote.Reply:
        seconds = points.wait(seen(), is_live=is_live, now=timezone.now())
        if seconds:
            raise remote.RemoteUnavailable(
                SYSTEM, "The points of this account are used up for now.", code="limit_exceeded", wait=seconds
            )
        return remote.send(*args, **kwargs)  # type: ignore[arg-type]

    return send
