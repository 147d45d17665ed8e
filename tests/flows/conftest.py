"""Flow tests run on both databases, unless one is enough."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of this directory with `sql`."""
    if not item.get_closest_marker("one_database"):
        item.add_marker(pytest.mark.sql)
