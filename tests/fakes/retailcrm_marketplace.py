"""The marketplace of the fake retailCRM: the partner cabinet with our module, and the button "Connect"."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.retailcrm_account import DEFAULT_SCOPES, Account


class NotAllowed(Exception):
    """The marketplace does not go on: what our configuration says cannot be."""


@dataclass
class Cabinet:
    """What the partner entered for his module, and the secret that the cabinet made."""

    secret: str = "fake-partner-secret"
    permissions: set[str] = field(default_factory=lambda: set(DEFAULT_SCOPES))

    def connect(self, account: Account, configuration: Any, *, system_url: str = "") -> dict[str, str]:
        """Make a key with the scopes the configuration asks for, and return the form that goes to its registerUrl.

        The fake account has one key at a time: the one before is revoked.
        """
        scopes = self._check(configuration)
        account.key = hashlib.sha256(account.key.encode()).hexdigest()[:32]
        account.scopes, account.credentials, account.simple_connection = scopes, None, True
        return self.form(account.key, system_url or f"https://{account.host}")

    def form(self, key: str, system_url: str) -> dict[str, str]:
        """Return the signed form; only the key is signed."""
        token = hmac.new(self.secret.encode(), key.encode(), "sha256").hexdigest()
        return {"register": json.dumps({"token": token, "apiKey": key, "systemUrl": system_url})}

    def _check(self, configuration: Any) -> set[str]:
        scopes, url = configuration.get("scopes"), str(configuration.get("registerUrl"))
        if configuration.get("success") is not True or not scopes:
            raise NotAllowed("The configuration is no success, or asks for nothing.")
        if foreign := set(scopes) - self.permissions:
            raise NotAllowed(f"Not among the permissions in the cabinet: {sorted(foreign)}.")
        if urlsplit(url).scheme != "https":
            raise NotAllowed("registerUrl must be an https address.")
        return set(scopes)
