"""Sends one message the way it goes: by mail, or to the operator's webhook, signed as Standard Webhooks are."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from connector_project import remote
from connector_project.queue import Queue, enqueue
from crm.models import Post

TASK = "crm.tasks.send_post"
SYSTEM = "webhook"
SECRET_PREFIX = "whsec_"  # noqa: S105 -- the standard's word in front of a secret
NUDGED_AT_ONCE = 100

logger = logging.getLogger(__name__)
Way, State = Post.Way, Post.State


def ways() -> list[Post.Way]:
    """Return the ways the operator has chosen."""
    chosen = {Way.MAIL: settings.ALARM_EMAILS, Way.WEBHOOK: settings.ALARM_WEBHOOK_URL}
    return [way for way, where in chosen.items() if where]


def send(post: Post, *, now: datetime) -> None:
    """Send a message that is due, or leave it for later with the reason."""
    if not post.claim(now=now):
        return
    if post.way not in ways():
        return post.close(State.FAILED, "", now=now)
    try:
        _SENDERS[Way(post.way)](post, now)
    except (remote.RemoteError, OSError) as exc:
        # A mail server's faults are OSErrors. Of them only the kind: its text may name the login.
        says = str(exc) if isinstance(exc, remote.RemoteError) else type(exc).__name__
        logger.warning("post=%s by %s: %s", post.pk, post.way, says)
        post.postpone(says, now=now, wait=getattr(exc, "wait", None))
    else:
        post.close(State.SENT, now=now)


@transaction.atomic
def resume_due(*, now: datetime, queue: Queue) -> None:
    """Nudge what is due: what was postponed, what a lost queue forgot."""
    due = Post.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at")
    for pk in due.values_list("pk", flat=True)[:NUDGED_AT_ONCE]:
        enqueue(TASK, pk, queue=queue)


@transaction.atomic
def try_again(post: Post, *, now: datetime) -> None:
    """Send a message that was given up once more; the receiver knows it by its id."""
    again = Post.objects.filter(pk=post.pk).exclude(state=State.SENT)
    if again.update(state=State.WAITING, next_attempt_at=now, attempts=0, ended_at=None):
        enqueue(TASK, post.pk)


def signature(post_id: str, sent_at: int, body: str, *, secret: str) -> str:
    """Return the signature of a body, as https://www.standardwebhooks.com/ has it."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{post_id}.{sent_at}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _mail(post: Post, _now: datetime) -> None:
    # Answering machines are asked to keep quiet.
    headers = {"Auto-Submitted": "auto-generated"}
    EmailMessage(post.subject, post.body, to=settings.ALARM_EMAILS, headers=headers).send()


def _webhook(post: Post, now: datetime) -> None:
    message_id, sent_at = f"msg_{post.message_id.hex}", int(now.timestamp())
    reply = remote.send(
        SYSTEM,
        "POST",
        settings.ALARM_WEBHOOK_URL,
        headers={
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": signature(message_id, sent_at, post.body, secret=settings.ALARM_WEBHOOK_SECRET),
        },
        body=post.body.encode(),
    )
    if not 200 <= reply.status < 300:
        raise remote.RemoteUnavailable(SYSTEM, f"{SYSTEM} answered {reply.status}.", wait=reply.retry_after)


_SENDERS: dict[Post.Way, Callable[[Post, datetime], None]] = {Way.MAIL: _mail, Way.WEBHOOK: _webhook}
