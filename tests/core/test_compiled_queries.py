"""A compiled query finds, changes and inserts what its QuerySet would."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connector_project.core.compiled_queries import CompiledExists, CompiledInsert, CompiledSelect, CompiledUpdate
from connector_project.core.compiled_returning import CompiledReturning
from connector_project.core.models import WorkerHeartbeat
from tenants.models import Employee, Tenant, UisConnection
from tests.conftest import IVAN, PETR

pytestmark = [pytest.mark.django_db, pytest.mark.sql]


def test_instances_and_their_relations_are_those_of_the_query_set(tenant):
    build = Employee.objects.select_related("tenant__uis").order_by("uis_id")
    compiled = CompiledSelect(
        lambda given: build.filter(tenant=given.integer("tenant")).annotate(is_ivan=models.Q(uis_id=IVAN))
    )
    expected = list(build.filter(tenant=tenant))
    with CaptureQueriesContext(connection) as queries:
        found = compiled.fetch(tenant=tenant.pk)
        assert [one.tenant.uis.access_token for one in found] == ["uis-token"] * 3
    assert len(queries) == 1
    assert found == expected
    for one, other in zip(found, expected, strict=True):
        fields = [field.attname for field in Employee._meta.concrete_fields]
        assert [getattr(one, name) for name in fields] == [getattr(other, name) for name in fields]
    assert [bool(one.is_ivan) for one in found] == [True, False, False]
    assert not found[0]._state.adding


def test_another_tenant_gets_other_rows_by_the_same_statement(tenant, twin):
    compiled = CompiledSelect(lambda given: UisConnection.objects.filter(tenant=given.integer("tenant")))
    assert [compiled.first(tenant=one.pk) for one in (tenant, twin)] == [tenant.uis, twin.uis]
    assert compiled.first(tenant=0) is None


def test_lists_have_any_length(tenant):
    compiled = CompiledSelect(
        lambda given: (
            Employee.objects.filter(uis_id__in=given.integers("ids")).order_by("uis_id").values_list("uis_id")
        ),
        lists=["ids"],
    )
    assert compiled.fetch(ids=[IVAN]) == [(IVAN,)]
    assert compiled.fetch(ids=[PETR, IVAN]) == [(IVAN,), (PETR,)]
    assert compiled.fetch(ids=[PETR, 5]) == [(PETR,)]


def test_moment_is_shifted_by_a_duration():
    now = timezone.now()
    WorkerHeartbeat.objects.create(name="one", queue="fast", last_seen_at=now - timedelta(seconds=60))
    compiled = CompiledSelect(
        lambda given: WorkerHeartbeat.objects.filter(
            last_seen_at__lte=given.moment("now") - timedelta(seconds=50), last_seen_at__gt=given.moment("since")
        ).values_list("name")
    )
    assert compiled.fetch(now=now, since=now - timedelta(hours=1)) == [("one",)]
    assert compiled.fetch(now=now - timedelta(seconds=20), since=now - timedelta(hours=1)) == []


@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_only_in_a_transaction():
    compiled = CompiledSelect(lambda given: Tenant.objects.select_for_update().filter(pk=given.integer("pk")))
    with transaction.atomic():
        assert compiled.fetch(pk=1) == []
    with pytest.raises(TransactionManagementError):
        compiled.fetch(pk=1)


def test_update_changes_the_rows_it_finds(tenant):
    name = Employee._meta.get_field("full_name")
    compiled = CompiledUpdate(
        lambda given: (Employee.objects.filter(uis_id__in=given.integers("ids")), {"full_name": given.value_of(name)}),
        lists=["ids"],
    )
    assert compiled.run(ids=[IVAN, PETR, 5], full_name="Пётр") == 2
    assert [*Employee.objects.order_by("uis_id").values_list("full_name", flat=True)][:2] == ["Пётр", "Пётр"]


def test_inserted_rows_have_their_keys(tenant):
    compiled = CompiledInsert(Employee)
    rows = [Employee(tenant=tenant, uis_id=number, numbers=["7999"]) for number in (5, 6)]
    compiled.insert(rows)
    stored = Employee.objects.filter(uis_id__in=[5, 6]).order_by("uis_id")
    assert [(one.pk, one.numbers, one.linked_by) for one in stored] == [(row.pk, ["7999"], "") for row in rows]
    with pytest.raises(IntegrityError), transaction.atomic():
        compiled.insert([Employee(tenant=tenant, uis_id=5)])


def test_deferred_columns_are_read_when_they_are_used(tenant):
    compiled = CompiledSelect(
        lambda given: Tenant.objects.select_related("uis").filter(pk=given.integer("pk")).only("name", "uis__denials")
    )
    found = compiled.get(pk=tenant.pk)
    with CaptureQueriesContext(connection) as queries:
        assert (found.name, found.uis.denials) == (tenant.name, {})
        assert not queries
        assert (found.slug, found.uis.access_token) == (tenant.slug, "uis-token")
    assert len(queries) == 2


def test_one_statement_tells_which_queries_find_a_row(tenant):
    compiled = CompiledExists(
        lambda given: (
            Employee.objects.filter(uis_id=given.integer("id")),
            Employee.objects.order_by("pk")[3:],  # three of them are there
            Tenant.objects.filter(created_at__lte=given.moment("now")),
            Tenant.objects.filter(created_at__gt=given.moment("now")),
        )
    )
    with CaptureQueriesContext(connection) as queries:
        assert compiled.fetch(id=IVAN, now=timezone.now()) == (True, False, True, False)
    assert len(queries) == 1
    Employee.objects.create(tenant=tenant, uis_id=5)
    assert compiled.fetch(id=6, now=timezone.now()) == (False, True, True, False)


def test_update_returns_the_rows_it_changed(tenant, twin):
    compiled = CompiledReturning(
        lambda given: (
            UisConnection.objects.filter(tenant=given.integer("tenant"), has_statuses=True),
            {"has_statuses": False, "synced_at": given.moment("now")},
        )
    )
    now = timezone.now()
    assert compiled.fetch(tenant=0, now=now) == []
    found = compiled.first(tenant=tenant.pk, now=now)
    assert (found, found.access_token) == (tenant.uis, "uis-token")
    assert (found.has_statuses, found.synced_at) == (False, now)
    assert UisConnection.objects.filter(has_statuses=False).get() == found
    assert compiled.first(tenant=tenant.pk, now=now) is None
