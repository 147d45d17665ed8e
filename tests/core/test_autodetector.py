"""`makemigrations` and `migrate` ignore reworded labels."""

import pytest
from django.apps import apps
from django.core.management import call_command, get_commands, load_command_class
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from connector_project.core.autodetector import TextIgnoringAutodetector
from tenants.models import Tenant


@pytest.fixture(autouse=True)
def _real_migrations(settings):
    """Read the migrations also under --nomigrations."""
    settings.MIGRATION_MODULES = {}


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
    changes = autodetector(before, after).changes(graph=MigrationLoader(None).graph)
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


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_makemigrations_ignores_a_reworded_label(monkeypatch):
    monkeypatch.setattr(Tenant._meta.get_field("name"), "_verbose_name", "reworded")
    loader = MigrationLoader(None)
    found = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(graph=loader.graph)
    assert "name" in [one.name for migration in found["tenants"] for one in migration.operations]  # what Django finds
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
