"""What happens at sign-in: a line in the security log, and an audit log entry."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from connector_project.core import logging
from tenants import audit
from tenants.models import AuditLogEntry, User

Action = AuditLogEntry.Action
logger = logging.logger("connector.security")
_WARNINGS = frozenset({Action.SIGN_IN_FAILED, Action.LOCKED_OUT, Action.SECOND_FACTOR_RESET, Action.RECOVERY_CODE_USED})


def address_of(request: HttpRequest) -> str:
    """Return the client's address, as `TrustedProxies` leaves it."""
    return str(request.META.get("REMOTE_ADDR", ""))


def record(action: Action, request: HttpRequest, user: Any, *, by: Any = None, now: datetime | None = None) -> None:
    """Record what a user did, or what `by` did to a user's account."""
    log = logger.warning if action in _WARNINGS else logger.info
    actor = by or user
    log(action.lower(), user=user.get_username(), by=actor.get_username(), address=address_of(request))
    audit.log(
        None,
        action,
        now=now or timezone.now(),
        by=actor,
        target=_plain(user),
        field=audit.ADDRESS,
        new=address_of(request),
    )


def record_refusal(action: Action, request: HttpRequest, name: str) -> None:
    """Record a failed sign-in or a lockout.

    The name of an unknown account is not stored: people type passwords into the wrong field.
    """
    user = User.objects.filter(username=name).first()
    logger.warning(action.lower(), user=user.username if user else "unknown", address=address_of(request))
    target: object = user or User._meta.model_name
    audit.log(None, action, now=timezone.now(), target=target, field=audit.ADDRESS, new=address_of(request))


def log_refused(request: HttpRequest) -> None:
    """Log an attempt during a lockout; the audit log has the lockout itself, so that a flood does not fill it."""
    logger.warning("refused_while_locked_out", address=address_of(request))


def _plain(user: Any) -> User:
    """Return the row behind `request.user`, which is a lazy object."""
    found: User = user if type(user) is User else User.objects.get(pk=user.pk)
    return found
