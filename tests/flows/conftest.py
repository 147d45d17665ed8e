"""Flow tests run on both databases."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test of this directory with `sql`."""
    item.add_marker(pytest.mark.sql)
