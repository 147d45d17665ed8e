"""Only what UIS's report tells, and tells otherwise than our row, is a difference."""

from datetime import UTC, datetime, timedelta

import pytest

from telephony.reconciliation.differences import Difference, KnownFacts, find_differences, of_report
from telephony.uis.types import EndedEvent, Result

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
MISSED = KnownFacts(direction="in", contact="79990000001", result="NO_ANSWER", started_at=NOW)
ANSWERED = KnownFacts(has_talk=True, direction="in", contact="79990000001", result="ANSWERED", started_at=NOW)


def row(**told):
    """Return a report row that tells only this, and the start."""
    return EndedEvent(**{"event": "report", "session_id": 1, "started_at": NOW} | told)


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        (MISSED, {"talk_seconds": 52}, {"TALK"}),
        (MISSED, {"talk_seconds": 0}, set()),
        (MISSED, {"talk_seconds": None}, set()),
        (ANSWERED, {"talk_seconds": 52}, set()),
        (ANSWERED, {"talk_seconds": 0, "is_lost": True, "result": Result.NO_ANSWER}, set()),
        (MISSED, {"direction": "out"}, {"DIRECTION"}),
        (MISSED, {"direction": "in"}, set()),
        (KnownFacts(direction="out"), {"direction": "in", "external_id": "click-1"}, set()),
        (MISSED, {"direction": ""}, set()),
        (KnownFacts(), {"direction": "in"}, {"DIRECTION"}),
        (MISSED, {"contact": "79990000002"}, {"CONTACT"}),
        (MISSED, {"contact": "79990000001"}, set()),
        (MISSED, {"contact": ""}, set()),
        (KnownFacts(direction="in"), {"contact": "79990000002"}, {"CONTACT"}),
        (MISSED, {"result": Result.NOT_ALLOWED}, {"RESULT"}),
        (MISSED, {"result": Result.NO_ANSWER}, set()),
        (MISSED, {"result": Result.UNKNOWN}, set()),
        (MISSED, {"result": None}, set()),
        (KnownFacts(result="UNKNOWN"), {"result": Result.BUSY}, set()),
        (KnownFacts(), {"result": Result.BUSY}, set()),
        (MISSED, {"started_at": NOW + timedelta(days=1)}, {"START"}),
        (MISSED, {"started_at": NOW - timedelta(days=1)}, {"START"}),
        (MISSED, {"started_at": NOW + timedelta(seconds=59)}, set()),
        (MISSED, {"started_at": None}, set()),
        (KnownFacts(), {}, set()),
        (MISSED, {}, set()),
        (
            MISSED,
            {"talk_seconds": 9, "result": Result.ANSWERED, "contact": "1", "direction": "out"},
            {"TALK", "RESULT", "CONTACT", "DIRECTION"},
        ),
    ],
)
def test_differences_are_what_the_report_tells_otherwise(known, told, expected):
    assert find_differences(known, row(**told)) == {Difference(name) for name in expected}


def test_row_does_not_differ_from_itself():
    whole = row(talk_seconds=52, direction="in", contact="79990000001", result=Result.ANSWERED)
    assert find_differences(of_report(whole), whole) == frozenset()
