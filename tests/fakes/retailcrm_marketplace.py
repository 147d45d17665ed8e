"""The marketplace of the fake retailCRM: our module in the partner account, and the "Connect" button."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.retailcrm_account import DEFAULT_SCOPES, Account


class InvalidConfiguration(Exception):
    """The marketplace rejects our module's configuration."""


@dataclass
class PartnerAccount:
    """The partner account: the permissions entered for the module, and the generated secret."""

    secret: str = "fake-partner-secret"
    permissions: set[str] = field(default_factory=lambda: set(DEFAULT_SCOPES))

    def connect(self, account: Account, configuration: Any, *, system_url: str = "") -> dict[str, str]:
        """Issue a key with the scopes of the configuration and return the form posted to its registerUrl.

        No two accounts have the same key. The fake account has one key at a time: the previous one is revoked.
        """
        scopes = self._check(configuration)
        account.key = hashlib.sha256(f"{account.host} {account.key}".encode()).hexdigest()[:32]
        account.scopes, account.credentials, account.simple_connection = scopes, None, True
        return self.form(account.key, system_url or f"https://{account.host}")

    def form(self, key: str, system_url: str) -> dict[str, str]:
        """Return the signed form; only the key is signed."""
        token = hmac.new(self.secret.encode(), key.encode(), "sha256").hexdigest()
        return {"register": json.dumps({"token": token, "apiKey": key, "systemUrl": system_url})}

    def _check(self, configuration: Any) -> set[str]:
        scopes, url = configuration.get("scopes"), str(configuration.get("registerUrl"))
        if configuration.get("success") is not True or not scopes:
            raise InvalidConfiguration("The configuration has no success, or no scopes.")
        if missing := set(scopes) - self.permissions:
            raise InvalidConfiguration(f"Not among the permissions of the partner account: {sorted(missing)}.")
        if urlsplit(url).scheme != "https":
            raise InvalidConfiguration("registerUrl must be an https address.")
        return set(scopes)
