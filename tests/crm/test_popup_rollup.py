"""The roll-up of pop-ups: at each moment it and the deltas are a full count, whatever changed the pop-ups."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm import tasks
from crm.models import DailyPopups, DailyPopupsOfAll, Popup, PopupDelta
from crm.popup_rollup import POPUPS
from tenants.models import Employee, Tenant
from tests.rules import begin_rules

NOW = datetime(2026, 3, 31, 22, 40, tzinfo=UTC)
ZONES = ("Europe/Moscow", "Europe/Berlin", "Asia/Kolkata")
EDITS = st.sampled_from(["ring", "ring", "accept", "refuse", "close", "delete", "change_zone", "fold", "keep", "check"])
HISTORY = st.lists(st.tuples(EDITS, st.integers(0, 9), st.integers(-3000, 3000)), min_size=1, max_size=15)


def count_independently(*, of_all=False):
    """Count every pop-up, one after another."""
    found = Counter()
    for popup in Popup.objects.select_related("tenant"):
        day = popup.received_at.astimezone(ZoneInfo(popup.tenant.time_zone)).date()
        key = (day,) if of_all else (popup.tenant_id, day)
        if popup.accepted_at:
            for name, since in (("since_ringing", popup.ringing_at), ("since_receipt", popup.received_at)):
                found[*key, name, str(round((popup.accepted_at - since) / timedelta(milliseconds=10)))] += 1
        elif popup.state == "FAILED":
            found[*key, "refused", ""] += 1
    return found


def read_stored(model):
    found = Counter()
    for row in model.objects.all():
        key = (row.day,) if model is DailyPopupsOfAll else (row.tenant_id, row.day)
        found.update({(*key, *part): number for part, number in row.parts().items()})
    return found


def read_with_deltas():
    found = read_stored(DailyPopups)
    found.update({(*key, *part): number for (_table, key, part), number in POPUPS.pending(PopupDelta.objects).items()})
    return Counter({key: number for key, number in found.items() if number})


class Edits:
    def __init__(self):
        self.sessions = iter(range(1, 10_000))
        self.people = []
        for zone in ZONES:
            tenant = begin_rules(Tenant.objects.create(name=zone, slug=zone.replace("/", "-").lower(), time_zone=zone))
            self.people.append(Employee.objects.create(tenant=tenant, uis_id=1, full_name="Person"))

    def apply(self, edit, number, minutes):
        chosen = Popup.objects.filter(session_id__in=range(number % 3, 10_000, 3))
        getattr(self, edit)(chosen, number, minutes)

    def ring(self, _chosen, number, minutes):
        person, at = self.people[number % 3], NOW + timedelta(minutes=minutes)
        Popup.objects.create(
            tenant=person.tenant,
            employee=person,
            session_id=next(self.sessions),
            direction="in",
            ringing_at=at,
            received_at=at + timedelta(milliseconds=10 * number),
            sent_at=at,
        )

    def accept(self, chosen, number, _minutes):
        for popup in chosen:
            accepted_at = popup.received_at + timedelta(milliseconds=70 * number)
            Popup.objects.filter(pk=popup.pk).update(state="OPEN", accepted_at=accepted_at)

    def refuse(self, chosen, _number, _minutes):
        chosen.update(state="FAILED")

    def close(self, chosen, _number, _minutes):
        chosen.update(state="CLOSED", closed_at=NOW)

    def delete(self, chosen, _number, _minutes):
        chosen.delete()

    def change_zone(self, _chosen, number, _minutes):
        Tenant.objects.filter(pk=self.people[0].tenant_id).update(time_zone=ZONES[number % 3])
        tasks.roll_up_popups()

    def fold(self, _chosen, _number, _minutes):
        POPUPS.fold()

    def keep(self, _chosen, _number, _minutes):
        tasks.roll_up_popups()

    def check(self, _chosen, number, _minutes):
        assert POPUPS.check(day=(NOW - timedelta(days=number - 5)).date()) == 0


def check_history(history):
    with transaction.atomic():
        edits = Edits()
        for edit, *arguments in history:
            edits.apply(edit, *arguments)
            assert read_with_deltas() == count_independently(), edit
        tasks.roll_up_popups()
        assert not PopupDelta.objects.exists()
        assert read_stored(DailyPopups) == count_independently()
        assert read_stored(DailyPopupsOfAll) == count_independently(of_all=True)
        Tenant.objects.all().delete()
        tasks.roll_up_popups()
        assert not DailyPopups.objects.exists() | DailyPopupsOfAll.objects.exists()
        transaction.set_rollback(True)


SOME = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.sql
@pytest.mark.slow
@pytest.mark.django_db
@SOME
@given(HISTORY)
def test_statistics_are_a_full_count_after_each_edit(history):
    check_history(history)


@pytest.mark.exhaustive
@pytest.mark.sql
@pytest.mark.django_db
@pytest.mark.timeout(600)
@settings(SOME, max_examples=300)
@given(HISTORY)
def test_statistics_are_a_full_count_after_many_edits(history):
    check_history(history)


@pytest.mark.sql
@pytest.mark.django_db
def test_check_corrects_a_wrong_day(caplog):
    edits = Edits()
    edits.ring(None, 0, 0)
    edits.accept(Popup.objects.all(), 3, 0)
    tasks.roll_up_popups()
    day = DailyPopups.objects.get().day
    DailyPopups.objects.update(since_ringing={"21": 4}, refused=1)
    assert POPUPS.check(day=day) == 2
    assert read_stored(DailyPopups) == count_independently()
    assert POPUPS.check(day=day) == 0
