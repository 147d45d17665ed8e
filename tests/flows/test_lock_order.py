"""Whoever locks several calls does so in the order of their primary keys: otherwise two wait for each other."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from crm.employee_mapping import actions
from telephony.calls import manual, steps
from telephony.calls.steps import Moved
from telephony.models import Call, State, Step
from tests import needs
from tests.conftest import CONTACT, IVAN, NUMBER


@pytest.fixture
def calls(tenant):
    """Create calls of which the first began last."""
    now = timezone.now()
    return [
        Call.objects.create(
            tenant=tenant,
            session_id=number,
            state=State.READY,
            contact=CONTACT,
            number=NUMBER,
            started_at=now - timedelta(hours=number),
            ended_at=now,
            next_attempt_at=now,
            retry_window_started_at=now,
        )
        for number in range(2)
    ]


def run_while_first_is_locked(first, second, act):
    """Lock one call, let `act` run into it in another thread, then lock the other. Return what `act` raised."""
    errors = []

    def run():
        try:
            act()
        except DatabaseError as exc:
            errors.append(exc)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        Call.objects.select_for_update().get(pk=first.pk)
        thread.start()
        time.sleep(0.3)
        Call.objects.select_for_update().get(pk=second.pk)
    thread.join(5)
    return errors


@needs.two_connections
@pytest.mark.django_db(transaction=True)
def test_worker_that_finishes_waits_for_whoever_holds_the_first_call(calls, tenant):
    batch = Call.objects.claim(tenant.pk, State.READY, limit=2, now=timezone.now())
    results = [(call, Moved(state=State.UPLOADED)) for call in batch]

    def finish():
        steps.finish(results, Step.UPLOAD, started=time.monotonic(), now=timezone.now())

    assert run_while_first_is_locked(*calls, finish) == []
    assert set(Call.objects.values_list("state", flat=True)) == {State.UPLOADED}


@needs.two_connections
@pytest.mark.django_db(transaction=True)
def test_worker_that_claims_passes_over_a_call_that_another_transaction_holds(calls, tenant):
    taken = []

    def claim():
        taken.extend(Call.objects.claim(tenant.pk, State.READY, limit=2, now=timezone.now()))

    first, second = calls
    assert run_while_first_is_locked(first, second, claim) == []
    assert [call.pk for call in taken] == [second.pk]
    claim()
    assert {call.pk for call in taken} == {first.pk, second.pk}


@needs.two_connections
@pytest.mark.django_db(transaction=True)
def test_calls_that_become_due_wait_for_whoever_holds_the_first(calls, tenant):
    now = timezone.now()
    Call.objects.update(reason="CRM_UNAVAILABLE", next_attempt_at=now + timedelta(hours=1))

    def wake():
        Call.objects.make_due(tenant.pk, [State.READY], ["CRM_UNAVAILABLE"], now=now)

    assert run_while_first_is_locked(*calls, wake) == []
    assert not Call.objects.filter(next_attempt_at__gt=now).exists()


@needs.two_connections
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("order", ["started_at", "-started_at"])
def test_retry_of_a_selection_waits_for_whoever_holds_the_first_call(calls, order):
    """In whatever order the page shows the calls."""
    now = timezone.now()

    @transaction.atomic
    def retry():
        manual.apply_to_each(Call.objects.order_by(order), lambda call: manual.retry(call, now=now))

    assert run_while_first_is_locked(*calls, retry) == []


@needs.two_connections
@pytest.mark.django_db(transaction=True)
def test_calls_that_are_sent_again_wait_for_whoever_holds_the_first(calls, tenant):
    ivan = tenant.employees.get(uis_id=IVAN)
    Call.objects.update(employee=ivan)
    assert run_while_first_is_locked(*calls, lambda: actions.resend_calls(ivan, now=timezone.now())) == []
    assert Call.objects.filter(history__step=Step.RETRIED).count() == 2
