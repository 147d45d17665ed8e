"""The roll-up of calls: at each moment it and the deltas are a full count, whatever changed the calls."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_project.core.models import RollupZone
from telephony import tasks
from telephony.models import Call, CallDelta, DailyCalls, DailyEmployeeCalls
from telephony.stats.rollup import CALLS
from tenants.models import Tenant
from tests.telephony.counted_calls import (
    KINDS,
    NOW,
    build_call,
    count_as_shown,
    count_independently,
    create_tenant,
    read_statistics,
    read_stored,
    read_with_deltas,
)

ZONES = ("Europe/Moscow", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia")
MANY = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FURTHER = settings(MANY, max_examples=300)


NUMBER = st.integers(0, 9)
EDITS = st.sampled_from(
    [
        *("add", "add", "add_many", "raw_add", "save", "update", "raw_update", "bulk_update", "move", "assign"),
        *("make_internal", "delete", "purge", "change_zone", "delete_employee", "delete_tenant", "add_tenant"),
        *("fold", "keep", "check"),
    ]
)
HISTORY = st.lists(st.tuples(EDITS, NUMBER, NUMBER, st.integers(-3000, 3000)), min_size=1, max_size=15)


class Edits:
    """Edits by every way that a row of a database may change."""

    def __init__(self):
        self.sessions = iter(range(1, 10_000))
        self.tenants = iter(range(1, 10_000))
        self.add_tenant(0, 0, 0)
        self.add_tenant(1, 0, 0)

    def apply(self, edit, one, two, minutes):
        getattr(self, edit)(one, two, minutes)

    def tenant(self, number):
        tenants = Tenant.objects.order_by("pk")
        return tenants[number % len(tenants)] if tenants else create_tenant(next(self.tenants))

    def chosen(self, number):
        """Return some of the calls."""
        pks = Call.objects.order_by("pk").values_list("pk", flat=True)
        return Call.objects.filter(pk__in=[pk for position, pk in enumerate(pks) if position % 3 == number % 3])

    def new(self, one, two, minutes):
        tenant, at = self.tenant(one), NOW + timedelta(minutes=minutes)
        people = [*tenant.employees.order_by("pk"), None]
        employee = people[two % len(people)]
        is_internal = minutes % 7 == 0
        return build_call(tenant, next(self.sessions), two % 7, at, employee=employee, is_internal=is_internal)

    def add(self, one, two, minutes):
        self.new(one, two, minutes).save()

    def add_many(self, one, two, minutes):
        Call.objects.bulk_create(self.new(one + n, two + n, minutes + n) for n in range(4))

    def raw_add(self, one, two, minutes):
        source = self.new(one, two, minutes)
        source.save()
        columns = [field.column for field in Call._meta.concrete_fields if field.column not in {"id", "session_id"}]
        names = ", ".join(f'"{name}"' for name in columns)
        with connection.cursor() as cursor:
            copied = f"SELECT {names}, %s FROM telephony_call WHERE id = %s"  # noqa: S608 -- names of columns
            values = [next(self.sessions), source.pk]
            cursor.execute(f"INSERT INTO telephony_call ({names}, session_id) {copied}", values)

    def save(self, one, two, _minutes):
        if call := self.chosen(one).first():
            vars(call).update(KINDS[two % 7])
            call.save()

    def update(self, one, two, _minutes):
        self.chosen(one).update(**KINDS[two % 7])

    def raw_update(self, one, _two, _minutes):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE telephony_call SET result = 'ANSWERED' WHERE session_id %% 3 = %s", [one % 3])

    def bulk_update(self, one, two, _minutes):
        calls = list(self.chosen(one))
        for position, call in enumerate(calls):
            vars(call).update(KINDS[(two + position) % 7])
        Call.objects.bulk_update(calls, [*KINDS[0]])

    def move(self, one, _two, minutes):
        self.chosen(one).update(started_at=NOW + timedelta(minutes=minutes))

    def assign(self, one, two, _minutes):
        for call in self.chosen(one).select_related("tenant"):
            people = [*call.tenant.employees.order_by("pk"), None]
            Call.objects.filter(pk=call.pk).update(employee=people[two % len(people)])

    def make_internal(self, one, two, _minutes):
        self.chosen(one).update(is_internal=two % 2 == 0)

    def delete(self, one, _two, _minutes):
        self.chosen(one).delete()

    def purge(self, _one, _two, minutes):
        Call.objects.filter(started_at__lt=NOW + timedelta(minutes=minutes - 2000)).delete()

    def change_zone(self, one, two, _minutes):
        Tenant.objects.filter(pk=self.tenant(one).pk).update(time_zone=ZONES[two % len(ZONES)])
        tasks.roll_up_calls()  # A page shows the days of the earlier zone until then.

    def delete_employee(self, one, two, _minutes):
        if person := self.tenant(one).employees.order_by("pk")[two % 2 :].first():
            person.delete()

    def delete_tenant(self, one, _two, _minutes):
        self.tenant(one).delete()

    def add_tenant(self, one, _two, _minutes):
        create_tenant(next(self.tenants), ZONES[one % len(ZONES)])

    def fold(self, _one, _two, _minutes):
        CALLS.fold()

    def keep(self, _one, _two, _minutes):
        tasks.roll_up_calls()

    def check(self, one, two, _minutes):
        if Tenant.objects.count() == len(RollupZone.objects.all()):
            assert CALLS.check(day=(NOW - timedelta(days=one - two)).date()) == 0


def check_history(history):
    with transaction.atomic():
        edits = Edits()
        for edit, *arguments in history:
            edits.apply(edit, *arguments)
            assert read_with_deltas() == count_independently(), edit
        if tenant := Tenant.objects.first():
            assert read_statistics(tenant) == count_as_shown(tenant)
        tasks.roll_up_calls()
        assert not CallDelta.objects.exists()
        assert read_stored() == count_independently()
        Tenant.objects.all().delete()
        tasks.roll_up_calls()
        assert not DailyCalls.objects.exists() | DailyEmployeeCalls.objects.exists() | RollupZone.objects.exists()
        transaction.set_rollback(True)


@pytest.mark.sql
@pytest.mark.slow
@pytest.mark.django_db
@MANY
@given(HISTORY)
def test_statistics_are_a_full_count_after_each_edit(history):
    check_history(history)


@pytest.mark.exhaustive
@pytest.mark.sql
@pytest.mark.django_db
@pytest.mark.timeout(600)
@FURTHER
@given(HISTORY)
def test_statistics_are_a_full_count_after_many_edits(history):
    check_history(history)


@pytest.fixture
def tenant_alone(db):
    return create_tenant(0)


@pytest.mark.sql
def test_check_corrects_a_wrong_day(tenant_alone):
    build_call(tenant_alone, 1, 0, NOW).save()
    tasks.roll_up_calls()
    stored = DailyCalls.objects.get()
    DailyCalls.objects.update(answered=4, missed=1)
    assert CALLS.check(day=stored.day) == 2
    assert read_stored() == count_independently()
    assert CALLS.check(day=stored.day) == 0


@pytest.mark.sql
def test_trigger_that_was_missing_makes_all_tenants_be_counted(tenant_alone):
    CALLS.trigger.drop()
    build_call(tenant_alone, 1, 0, NOW).save()
    tasks.roll_up_calls()
    build_call(tenant_alone, 2, 1, NOW).save()
    assert read_with_deltas() != count_independently()
    CALLS.install()
    tasks.roll_up_calls()
    assert read_stored() == count_independently()
    build_call(tenant_alone, 3, 1, NOW).save()
    assert read_with_deltas() == count_independently()


@pytest.mark.sql
def test_change_of_other_columns_writes_no_delta(tenant_alone):
    build_call(tenant_alone, 1, 0, NOW).save()
    CallDelta.objects.all().delete()
    call = Call.objects.get()
    call.state, call.detail, call.wait_seconds = "READY", "later", 7
    call.save()
    Call.objects.update(uploaded_at=NOW, next_attempt_at=NOW)
    assert not CallDelta.objects.exists()
