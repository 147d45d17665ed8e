"""What we know of our module in the CRM: its extensions, ours and those that people entered, and that it is off."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from crm.retailcrm.errors import TELEPHONY_OFF
from crm.retailcrm.types import ModuleState
from tenants.access_errors import SWITCHED_OFF
from tenants.models import CrmConnection

UNKNOWN = ""  # instead of the URLs' fingerprint: the CRM may have another list than the remembered one
Codes = Sequence[tuple[int, str]]


def unsure(registered: dict[str, Any], codes: Codes) -> dict[str, Any]:
    """Return what is registered, for an account that may have these extensions of ours instead.

    The next registration sends the module, and takes none of them for a manually entered one.
    """
    every = dict.fromkeys(map(tuple, [*registered.get("codes", []), *codes]))
    return registered and registered | {"codes": [list(pair) for pair in every], "where": UNKNOWN}


def entered(registered: dict[str, Any], found: Codes) -> list[tuple[int, str]]:
    """Return the extensions that users entered in the module: those found there that we did not send.

    An answer without any that is registered is no verdict: an edit by it would delete what people entered.
    """
    sent, manual = ([(user, text) for user, text in registered.get(name, [])] for name in ("codes", "manual_codes"))
    if {*sent, *manual}.intersection(found):
        return [pair for pair in found if pair not in sent]
    return [*found, *manual]


def split_entered(typed: Codes, ours: Codes) -> tuple[Codes, Codes]:
    """Return the entered extensions to send along, of users and extensions unknown to us, and the contested ones."""
    users, extensions = zip(*ours, strict=True) if ours else ((), ())
    foreign = [(user, code) for user, code in typed if user not in users and code not in extensions]
    return foreign, [pair for pair in typed if pair not in foreign]


def is_known_account(connection: CrmConnection) -> bool:
    """Return whether we registered at this address, or nowhere yet."""
    return connection.registered_module.get("account") in {None, connection.account}


def note_switched_off(connection: CrmConnection, state: ModuleState | None, *, now: datetime) -> bool:
    """Return whether people switched our module off, or deleted it, where we registered it; note it if it is news.

    The CRM's callback about it may be lost, so the module's own state decides.
    """
    # The module of a renamed account is ours, too.
    is_expected = state is not None or (connection.registered_module and is_known_account(connection))
    if connection.registered_at is None or not is_expected or (state is not None and state.is_working):
        return False
    if SWITCHED_OFF not in CrmConnection.objects.get(pk=connection.pk).denials:
        detail = "The module was switched off in the CRM." if state else "The module was deleted in the CRM."
        connection.suspend(TELEPHONY_OFF, detail, subject=SWITCHED_OFF, now=now)
    return True
