"""Sends one alert by mail or to the operator's webhook, signed as in Standard Webhooks."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from connector_project.core import circuit_breaker, http_client, logging
from connector_project.core.jobs import MAX_LOST_LEASES, released
from connector_project.core.task_queue import Queue, enqueue, room
from connector_project.operations.alerts import receivers
from connector_project.operations.models import AlertDelivery

TASK = "connector_project.operations.tasks.send_alert"
SYSTEM = "webhook"
SECRET_PREFIX = "whsec_"  # noqa: S105 -- the prefix that the standard gives to secrets
PAUSES_SECONDS = (30, 60, 120, 300, 900, 1800)
MOST_TRIES = 150  # with these pauses, three days
# After so many tries the receiver may refuse this message alone.
SUSPECT_AFTER_TRIES = 3

logger = logging.logger(__name__)
Channel, State = AlertDelivery.Channel, AlertDelivery.State


def send(alert_id: int, *, now: datetime) -> None:
    """Send a message that is due, or postpone it with the reason."""
    alert = AlertDelivery.objects.claim_one(alert_id, now=now)
    if alert is None:
        return
    if until := _receiver_retry_at(alert, now=now):
        AlertDelivery.objects.release_claimed(alert, until, attempts=alert.attempts - 1)
        return
    AlertDelivery.objects.still_claimed(alert).update(**_try_to_send(alert, now=now))


@transaction.atomic
def resume_due(*, now: datetime, queue: Queue) -> None:
    """Enqueue due messages: postponed ones, and those whose queue entry was lost."""
    for pk in AlertDelivery.objects.requeue(limit=room(queue), now=now):
        enqueue(TASK, pk, queue=queue)


@transaction.atomic
def retry(alert: AlertDelivery, *, now: datetime) -> None:
    """Send a failed message again, with the same `webhook-id`."""
    rows = AlertDelivery.objects.filter(pk=alert.pk).exclude(state=State.SENT)
    if rows.update(state=State.WAITING, next_attempt_at=now, attempts=0, ended_at=None):
        enqueue(TASK, alert.pk)


def signature(message_id: str, sent_at: int, body: str, *, secret: str) -> str:
    """Return the signature of a body: https://www.standardwebhooks.com/"""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{message_id}.{sent_at}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _receiver_retry_at(alert: AlertDelivery, *, now: datetime) -> datetime | None:
    """Return when the receiver is tried again, if it has failed to take another message: one message tries it.

    Of several that were tried, all but the oldest wait: they must not wait for each other.
    """
    others = AlertDelivery.objects.filter(channel=alert.channel, state=State.WAITING, claim_token=None)
    failed = others.exclude(pk=alert.pk).filter(attempts__gt=0, next_attempt_at__gt=now)
    if alert.attempts > 1:  # the claim counts as one
        failed = failed.filter(pk__lt=alert.pk)
    held = (_holds_others_until(tries, at) for tries, at in failed.values_list("attempts", "next_attempt_at") if at)
    return min((until for until in held if until > now), default=None)


def _holds_others_until(tries: int, next_attempt_at: datetime) -> datetime:
    """Return until when a failed message keeps the others waiting.

    One that failed repeatedly does so for a moment after each try only: it may be what the receiver does not take.
    """
    if tries <= SUSPECT_AFTER_TRIES:
        return next_attempt_at
    pause = circuit_breaker.backoff(tries, wait=None, pauses=PAUSES_SECONDS)
    return next_attempt_at - pause + timedelta(seconds=PAUSES_SECONDS[0])


def _try_to_send(alert: AlertDelivery, *, now: datetime) -> dict[str, Any]:
    """Send a claimed message; return the fields that say what became of it."""
    ended = {"state": State.FAILED, "detail": "", "ended_at": now, **released(None)}
    if not receivers.is_enabled(alert) or alert.lost_leases >= MAX_LOST_LEASES:
        return ended
    try:
        if alert.channel == Channel.MAIL:
            _send_mail(alert)
        else:
            _call_webhook(alert, now=now)
    except (http_client.RemoteError, OSError) as exc:
        # A mail server's errors are OSErrors. Store only the type: the text may name the login.
        detail = str(exc) if isinstance(exc, http_client.RemoteError) else type(exc).__name__
        logger.warning("alert was not sent", alert=alert.pk, channel=alert.channel, error=detail)
        if alert.attempts >= MOST_TRIES:
            return ended | {"detail": detail}
        pause = circuit_breaker.backoff(alert.attempts, wait=getattr(exc, "wait", None), pauses=PAUSES_SECONDS)
        return {"detail": detail, **released(now + pause)}
    return ended | {"state": State.SENT}


def _send_mail(alert: AlertDelivery) -> None:
    # Ask auto-responders not to answer.
    headers = {"Auto-Submitted": "auto-generated"}
    EmailMessage(alert.subject, alert.body, to=receivers.addresses(alert), headers=headers).send()


def _call_webhook(alert: AlertDelivery, *, now: datetime) -> None:
    message_id, sent_at = f"msg_{alert.message_id.hex}", int(now.timestamp())
    reply = http_client.send(
        SYSTEM,
        "POST",
        settings.ALARM_WEBHOOK_URL,
        headers={
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": signature(message_id, sent_at, alert.body, secret=settings.ALARM_WEBHOOK_SECRET),
        },
        body=alert.body.encode(),
    )
    if not 200 <= reply.status < 300:
        raise http_client.RemoteUnavailable(SYSTEM, f"{SYSTEM} answered {reply.status}.", wait=reply.retry_after)
