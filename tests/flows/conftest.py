"""Every flow runs on both databases."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test of this directory, as if its module said `sql` itself."""
    item.add_marker(pytest.mark.sql)
