"""The second factor of staff: set up, verified, replaced by a recovery code, reset."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from django.db import transaction
from django.db.models import QuerySet

from connector_project.core import logging
from connector_project.core.encrypted_fields import UndecryptableText
from tenants import staff_accounts
from tenants.models import RecoveryCode, TotpDevice, User

logger = logging.logger("connector.security")
ISSUER = "UIS-retailCRM"
RECOVERY_CODES = 10
RECOVERY_LENGTH, GROUP = 16, 4
# Without l, o, 0 and 1, which look alike; 16 of these 32 are 80 random bits, so a plain hash is enough.
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class Verified:
    """The code was right."""

    device: TotpDevice
    by_recovery_code: bool


@dataclass(frozen=True)
class Wrong:
    """The code was wrong, or has been used before."""


@dataclass(frozen=True)
class Paused:
    """There were wrong codes just now: the next one is looked at after these seconds."""

    seconds: int


def confirmed_devices() -> QuerySet[TotpDevice]:
    """Return the authenticator apps with which people sign in."""
    devices: QuerySet[TotpDevice] = TotpDevice.objects.filter(confirmed=True)
    return devices


def find_device(user: Any) -> TotpDevice | None:
    """Return the authenticator app with which this person signs in."""
    return confirmed_devices().filter(user=user).first()


@transaction.atomic
def prepare(user: Any, *, known: int | None = None) -> TotpDevice:
    """Return the authenticator app that is being set up; `known` is the one that this session has shown already.

    Any other session begins anew: somebody who knew the password before must not know the secret.
    """
    _lock(user)
    pending = TotpDevice.objects.filter(user=user, confirmed=False)
    device: TotpDevice | None = pending.filter(pk=known).first()
    if device is not None and not isinstance(device.secret, UndecryptableText):
        return device
    pending.delete()
    created: TotpDevice = pending.create(user=user, confirmed=False)
    return created


def setup_url(device: TotpDevice) -> str:
    """Return the URL that an authenticator app reads from the QR code."""
    query = urlencode({"secret": device.secret, "issuer": ISSUER})
    return f"otpauth://totp/{quote(f'{ISSUER}:{device.user.get_username()}')}?{query}"


@transaction.atomic
def confirm(user: Any, code: str, *, known: int | None, may_replace: bool, now: datetime) -> list[str] | Wrong | Paused:
    """Confirm the app that this session has shown (`known`) by its first code; return new recovery codes.

    It replaces another app only if `may_replace`: knowing the password must not be enough for that. All sessions of
    this person end.
    """
    _lock(user)
    if not may_replace and find_device(user):
        return Wrong()
    device = TotpDevice.objects.select_for_update().filter(user=user, confirmed=False, pk=known).first()
    if device is None:
        return Wrong()
    if pause := _pause(device, now=now):
        return pause
    if not _is_right(device, _compact(code), now=now):
        return Wrong()
    TotpDevice.objects.filter(user=user, confirmed=True).delete()
    device.confirmed, device.confirmed_at = True, now
    device.save()
    staff_accounts.end_sessions(user)
    return renew_recovery_codes(user)


@transaction.atomic
def verify(user: Any, code: str, *, now: datetime) -> Verified | Wrong | Paused:
    """Verify a code of the app, or use up a recovery code."""
    device = TotpDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
    if device is None:
        return Wrong()
    if pause := _pause(device, now=now):
        return pause
    code = _compact(code)
    if len(code) == RECOVERY_LENGTH and RecoveryCode.objects.filter(user=user, digest=_digest(code)).delete()[0]:
        device.throttle_reset()
        return Verified(device, by_recovery_code=True)
    return Verified(device, by_recovery_code=False) if _is_right(device, code, now=now) else Wrong()


@transaction.atomic
def renew_recovery_codes(user: Any) -> list[str]:
    """Replace all recovery codes; return the new ones, which are stored as hashes."""
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(RECOVERY_LENGTH)) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(code)) for code in codes)
    return ["-".join(code[at : at + GROUP] for at in range(0, RECOVERY_LENGTH, GROUP)) for code in codes]


@transaction.atomic
def reset(user: Any) -> bool:
    """Forget the app and the recovery codes, and end all sessions; return whether there was an app."""
    _lock(user)
    had_app = find_device(user) is not None
    TotpDevice.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    staff_accounts.end_sessions(user)
    return had_app


def _is_right(device: TotpDevice, code: str, *, now: datetime) -> bool:
    if isinstance(device.secret, UndecryptableText):
        logger.error("the secret of a second factor cannot be decrypted", user=device.user.get_username())
        return False
    return device.verify_token(code, now=now)


def _pause(device: TotpDevice, *, now: datetime) -> Paused | None:
    is_allowed, details = device.verify_is_allowed()
    if is_allowed:
        return None
    return Paused(max(1, round((details["locked_until"] - now).total_seconds())))


def _lock(user: Any) -> None:
    """Let two sessions of one person set up one app after the other."""
    list(User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk"))


def _compact(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
