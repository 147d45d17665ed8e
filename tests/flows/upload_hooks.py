"""What happens while a worker waits for the CRM's answer to an upload."""

from collections.abc import Callable
from typing import Any

import pytest

from crm.retailcrm.client import RetailCrmClient


def while_uploading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen, once, when the first upload is on its way."""
    acts, sent = iter([act]), RetailCrmClient.upload_calls

    def upload(client: RetailCrmClient, *asked: Any) -> Any:
        for one in acts:
            one()
        return sent(client, *asked)

    monkeypatch.setattr(RetailCrmClient, "upload_calls", upload)
