"""Run a function while a worker waits for the CRM's answer to an upload."""

from collections.abc import Callable
from typing import Any

import pytest

from crm.retailcrm.client import RetailCrmClient


def while_uploading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call `act` once, just before the first upload request is sent."""
    pending, original = iter([act]), RetailCrmClient.upload_calls

    def upload(client: RetailCrmClient, *args: Any) -> Any:
        for pending_act in pending:
            pending_act()
        return original(client, *args)

    monkeypatch.setattr(RetailCrmClient, "upload_calls", upload)
