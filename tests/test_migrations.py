"""Until the first release migrations are folded: CONTRIBUTING.md says how."""

from pathlib import Path

import pytest
from django.apps import apps

OURS = [
    app
    for app in apps.get_app_configs()
    if app.name.split(".")[0] in {"connector_project", "tenants", "telephony", "crm"}
]


@pytest.mark.parametrize("app", [app for app in OURS if app.models_module], ids=lambda app: app.label)
def test_app_has_one_migration(app):
    found = sorted(path.name for path in (Path(app.path) / "migrations").glob("0*.py"))
    assert found == ["0001_initial.py"], "Run `make migrations`: see “Tests and migrations” in CONTRIBUTING.md."
