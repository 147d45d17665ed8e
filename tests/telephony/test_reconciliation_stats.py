"""Reconciliation: each call has one of four outcomes, or is unexplained."""

import itertools
from dataclasses import asdict

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from telephony.models import Call, FailureReason
from telephony.models.daily_reconciliation import STATUS_CONDITIONS, DailyReconciliation
from telephony.reconciliation import stats
from telephony.reconciliation.stats import ReconciliationStats

TALLIES = st.builds(
    ReconciliationStats, **dict.fromkeys(asdict(ReconciliationStats()), st.integers(min_value=0, max_value=10**6))
)


def explained(state, *, rule, is_stopped, cause, is_due):
    """The rules of the contract, written a second time."""
    if state in {"UPLOADED", "SKIPPED"}:
        return ["uploaded"] if state == "UPLOADED" else ["skipped"] * bool(rule)
    if is_stopped:
        return ["failed"] * bool(cause)
    return ["waiting"] * is_due


@pytest.mark.sql
def test_every_row_is_in_one_standing_or_in_none(tenant):
    now, sessions = timezone.now(), itertools.count(1)
    expected = {}
    for state, rule, is_stopped, cause, is_due in itertools.product(
        Call.State.values, ["", "EXPIRED"], [False, True], ["", "INTERNAL_ERROR"], [False, True]
    ):
        call = Call.objects.create(
            tenant=tenant,
            session_id=next(sessions),
            state=state,
            skip_reason=rule,
            failed_at=now if is_stopped else None,
            reason=cause,
            next_attempt_at=now if is_due else None,
            started_at=now,
            ended_at=now,
            retry_window_started_at=now,
        )
        expected[call.session_id] = explained(state, rule=rule, is_stopped=is_stopped, cause=cause, is_due=is_due)
    for name, chosen in STATUS_CONDITIONS.items():
        found = set(Call.objects.filter(chosen).values_list("session_id", flat=True))
        assert found == {session_id for session_id, names in expected.items() if name in names}, name
    found = stats.count_calls(tenant, expected)
    assert found.unexplained == sum(not names for names in expected.values())
    assert found.uis_calls == len(expected)


@given(TALLIES, TALLIES)
def test_tallies_add_up_figure_by_figure(one, other):
    both = {name: value + asdict(other)[name] for name, value in asdict(one).items()}
    assert asdict(one + other) == both


@pytest.mark.parametrize(
    ("calls", "uploaded", "skipped", "share"), [(10, 8, 2, 1.0), (10, 4, 2, 0.5), (3, 0, 3, None), (0, 0, 0, None)]
)
def test_share_is_of_the_calls_that_are_due_to_the_crm(calls, uploaded, skipped, share):
    assert DailyReconciliation(uis_calls=calls, uploaded=uploaded, skipped=skipped).delivered_share == share


def test_every_cause_names_who_must_act():
    assert all(cause.responsible for cause in FailureReason)
