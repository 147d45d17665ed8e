"""Until the first release migrations are folded, after it none may stop writing: CONTRIBUTING.md says how."""

from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from connector_project.core.migration_operations import AddIndexConcurrently

OURS = [
    app
    for app in apps.get_app_configs()
    if app.name.split(".")[0] in {"connector_project", "tenants", "telephony", "crm"}
]


@pytest.mark.parametrize("app", [app for app in OURS if app.models_module], ids=lambda app: app.label)
def test_app_has_one_migration(app):
    found = sorted(path.name for path in (Path(app.path) / "migrations").glob("0*.py"))
    assert found == ["0001_initial.py"], "Run `make migrations`: see “Tests and migrations” in CONTRIBUTING.md."


def blocking_operations(migration):
    """Return the operations of a later migration that build an index while nobody may write to the table."""
    created = {
        operation.name_lower for operation in migration.operations if isinstance(operation, migrations.CreateModel)
    }
    found = []
    for operation in migration.operations:
        match operation:
            case migrations.CreateModel() | AddIndexConcurrently() if migration.atomic is False:
                is_blocking = False
            case migrations.AddIndex():
                is_blocking = operation.model_name_lower not in created
            case migrations.AddConstraint(constraint=models.UniqueConstraint()):
                is_blocking = operation.model_name_lower not in created
            case migrations.AddField() | migrations.AlterField():
                field = operation.field
                has_index = field.db_index or field.unique
                is_blocking = has_index and operation.model_name_lower not in created
            case _:
                is_blocking = False
        if is_blocking:
            found.append(operation)
    return found


def test_later_migrations_build_their_indexes_concurrently():
    """An index of a large table takes minutes, and an ordinary one stops every webhook meanwhile."""
    labels = {app.label for app in OURS}
    later = [
        migration
        for (label, name), migration in MigrationLoader(None, ignore_no_migrations=True).disk_migrations.items()
        if label in labels and not migration.initial and not name.startswith("0001_")
    ]
    assert {
        str(migration): blocking_operations(migration) for migration in later if blocking_operations(migration)
    } == {}


INDEX = models.Index(fields=["number"], name="call_by_number")
FIELD = models.CharField(max_length=9, db_index=True)


@pytest.mark.parametrize(
    ("is_atomic", "operation", "count"),
    [
        (False, AddIndexConcurrently("call", INDEX), 0),
        (True, AddIndexConcurrently("call", INDEX), 1),
        (True, migrations.AddIndex("call", INDEX), 1),
        (False, migrations.AddIndex("call", INDEX), 1),
        (True, migrations.AddField("call", "number", FIELD), 1),
        (True, migrations.AddField("call", "number", models.CharField(max_length=9)), 0),
        (True, migrations.AddConstraint("call", models.UniqueConstraint(fields=["number"], name="once")), 1),
        (True, migrations.AddConstraint("call", models.CheckConstraint(condition=models.Q(pk=1), name="one")), 0),
    ],
)
def test_blocking_operation_is_found(is_atomic, operation, count):
    migration = migrations.Migration("0002_more", "telephony")
    migration.atomic, migration.operations = is_atomic, [operation]
    assert len(blocking_operations(migration)) == count


def test_index_of_a_new_table_blocks_nobody():
    migration = migrations.Migration("0002_more", "telephony")
    new = migrations.CreateModel("Fresh", [("id", models.BigAutoField(primary_key=True))])
    migration.operations = [new, migrations.AddIndex("fresh", INDEX)]
    assert blocking_operations(migration) == []


@pytest.mark.sql
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_concurrent_index_is_built_and_dropped():
    def names():
        with connection.cursor() as cursor:
            return set(connection.introspection.get_constraints(cursor, "core_workerheartbeat"))

    index = models.Index(fields=["queue"], name="heartbeat_by_queue")
    operation, before = AddIndexConcurrently("workerheartbeat", index), ProjectState.from_apps(apps)
    after = before.clone()
    operation.state_forwards("core", after)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("core", editor, before, after)
        assert "heartbeat_by_queue" in names()
        operation.database_backwards("core", editor, after, before)
    assert "heartbeat_by_queue" not in names()
