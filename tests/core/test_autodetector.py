"""`makemigrations` and `migrate` ignore reworded labels."""

import pytest
from django.apps import apps
from django.core.management import call_command, get_commands, load_command_class
from django.db import connection, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from connector_project.core.autodetector import TextIgnoringAutodetector


def project(*, verbose_name="name", help_text="", plural="things", max_length=10, ordering=()):
    """Return a project with one model."""
    name = models.CharField(verbose_name, max_length=max_length, help_text=help_text)
    options = {"verbose_name": "thing", "verbose_name_plural": plural, "ordering": list(ordering)}
    state = ProjectState()
    state.add_model(
        ModelState("core", "Thing", [("id", models.BigAutoField(primary_key=True)), ("name", name)], options)
    )
    return state


def operations(before, after, autodetector=TextIgnoringAutodetector):
    changes = autodetector(before, after).changes(graph=MigrationGraph())
    return [type(one).__name__ for migrations in changes.values() for one in migrations[0].operations]


REWORDED = [
    ({"verbose_name": "title"}, "AlterField"),
    ({"help_text": "What it is called."}, "AlterField"),
    ({"plural": "items"}, "AlterModelOptions"),
]


@pytest.mark.parametrize(("changed", "operation"), REWORDED)
def test_autodetector_ignores_a_reworded_label(changed, operation):
    assert operations(project(), project(**changed), MigrationAutodetector) == [operation]  # what Django finds
    assert operations(project(), project(**changed)) == []


@pytest.mark.parametrize(
    ("changed", "operation"), [({"max_length": 20}, "AlterField"), ({"ordering": ["name"]}, "AlterModelOptions")]
)
def test_autodetector_finds_other_changes(changed, operation):
    assert operations(project(), project(verbose_name="title", plural="items", **changed)) == [operation]


@pytest.mark.parametrize("name", ["makemigrations", "migrate"])
def test_command_uses_the_autodetector(name):
    command = load_command_class(get_commands()[name], name)
    assert command.autodetector is TextIgnoringAutodetector


def test_makemigrations_ignores_a_reworded_label(monkeypatch):
    field = apps.get_model("tenants", "Tenant")._meta.get_field("name")
    monkeypatch.setattr(field, "verbose_name", "reworded")
    monkeypatch.setattr(field, "_verbose_name", "reworded")
    before = MigrationLoader(connection, ignore_no_initial=True).project_state()
    after = ProjectState.from_apps(apps)
    found = MigrationAutodetector(before, after).changes(graph=MigrationLoader(connection).graph)
    assert "name" in [one.name for migration in found["tenants"] for one in migration.operations]
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
