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

STATS = st.builds(
    ReconciliationStats, **dict.fromkeys(asdict(ReconciliationStats()), st.integers(min_value=0, max_value=10**6))
)


def expected_status(state, *, rule, is_failed, reason, is_due):
    """Return the status by the rules of the contract, independently of the code under test."""
    if state in {"UPLOADED", "SKIPPED"}:
        return ["uploaded"] if state == "UPLOADED" else ["skipped"] * bool(rule)
    if is_failed:
        return ["failed"] * bool(reason)
    return ["waiting"] * is_due


@pytest.mark.sql
def test_every_row_has_at_most_one_status(tenant):
    now, sessions = timezone.now(), itertools.count(1)
    expected = {}
    for state, rule, is_failed, reason, is_due in itertools.product(
        Call.State.values, ["", "EXPIRED"], [False, True], ["", "INTERNAL_ERROR"], [False, True]
    ):
        call = Call.objects.create(
            tenant=tenant,
            session_id=next(sessions),
            state=state,
            skip_reason=rule,
            failed_at=now if is_failed else None,
            reason=reason,
            next_attempt_at=now if is_due else None,
            started_at=now,
            ended_at=now,
            retry_window_started_at=now,
        )
        expected[call.session_id] = expected_status(state, rule=rule, is_failed=is_failed, reason=reason, is_due=is_due)
    for name, condition in STATUS_CONDITIONS.items():
        found = set(Call.objects.filter(condition).values_list("session_id", flat=True))
        assert found == {session_id for session_id, names in expected.items() if name in names}, name
    found = stats.count_calls(tenant, expected)
    assert found.unexplained == sum(not names for names in expected.values())
    assert found.uis_calls == len(expected)


@given(STATS, STATS)
def test_stats_are_added_field_by_field(one, other):
    both = {name: value + asdict(other)[name] for name, value in asdict(one).items()}
    assert asdict(one + other) == both


@pytest.mark.parametrize(
    ("calls", "uploaded", "skipped", "share"), [(10, 8, 2, 1.0), (10, 4, 2, 0.5), (3, 0, 3, None), (0, 0, 0, None)]
)
def test_delivered_share_is_of_the_calls_not_skipped(calls, uploaded, skipped, share):
    assert DailyReconciliation(uis_calls=calls, uploaded=uploaded, skipped=skipped).delivered_share == share


def test_every_failure_reason_has_a_responsible_party():
    assert all(reason.responsible for reason in FailureReason)
