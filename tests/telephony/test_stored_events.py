"""What is stored of a parsed event is read back as it was."""

import json
from dataclasses import fields
from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.calls import stored_events
from telephony.uis.types import AnsweredEvent, CallEvent, EndedEvent, OtherEvent, RecordingEvent, RingingEvent

MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
IDS = st.integers(min_value=1, max_value=2**63 - 1)
VALUES = {
    "event": st.text(max_size=20),
    "session_id": IDS,
    "happened_at": MOMENTS,
    "started_at": MOMENTS,
    "employee_id": st.none() | IDS,
    "talker_id": st.none() | IDS,
    "is_internal": st.booleans(),
    "is_lost": st.none() | st.booleans(),
    "rung_employee_ids": st.lists(IDS, max_size=3).map(tuple),
    "talk_seconds": st.none() | st.integers(min_value=0, max_value=2**31 - 1),
    "contact": st.text(max_size=32),
    "link": st.text(max_size=50),
}


def events():
    kinds = [RingingEvent, AnsweredEvent, EndedEvent, RecordingEvent, OtherEvent]
    return st.one_of(
        st.builds(kind, **{field.name: VALUES[field.name] for field in fields(kind) if field.name in VALUES})
        for kind in kinds
    )


@settings(max_examples=60, deadline=None)
@given(events())
def test_stored_event_is_read_back_unchanged(event: CallEvent):
    stored = json.loads(json.dumps(stored_events.dump(event)))
    read = stored_events.load(stored)
    assert (type(read), read) == (type(event), event)


def test_event_of_an_unknown_version_is_refused():
    stored = stored_events.dump(OtherEvent(event="incoming", session_id=1)) | {"version": stored_events.VERSION + 1}
    with pytest.raises(stored_events.UnknownVersion):
        stored_events.load(stored)
