"""Every flow runs on both databases."""

from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark them, as if each module said `sql` itself. The hook gets the items of other directories too."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.sql)
