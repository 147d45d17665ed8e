"""Any notification in our words: samples, templates, and everything people do to templates."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telephony.uis import webhooks
from telephony.uis.types import (
    AnsweredEvent,
    EndedEvent,
    Event,
    OtherEvent,
    ParseError,
    RecordingEvent,
    RingingEvent,
    Unreadable,
)
from tests.telephony.uis.samples import MOSCOW, load, text

AT = datetime(2024, 10, 25, 7, 11, 46, 234000, tzinfo=UTC)
CALLER, LOST_CALLER, OWN = "79990000001", "79990000003", "74950000001"
LINK = "https://app.uiscom.ru/system/media/talk/3960000001/0123456789abcdef0123456789abcdef/"
END = {"event": "call_end", "call_session_id": 5}


def read(body: object = "", *, query: str = "", event: str = "", zone: ZoneInfo = MOSCOW, is_russian: bool = True):
    written = body if isinstance(body, str) else json.dumps(body)
    return webhooks.parse(query, written, event=event, zone=zone, is_russian=is_russian)


def end(**said: object):
    return read(END | said)


def keyless(said):
    return replace(said, key="")


# --- samples


SAMPLES = [
    (
        "notification_incoming.flat.json",
        "incoming",
        OtherEvent(event="incoming", session_id=3960000001, happened_at=AT, contact=CALLER, number=OWN, direction="in"),
    ),
    (
        "notification_waiting.flat.json",
        "waiting",
        RingingEvent(
            event="waiting",
            session_id=3960000001,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
        ),
    ),
    (
        "notification_outgoing.flat.json",
        "outgoing",
        RingingEvent(
            event="outgoing",
            session_id=3960000004,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            direction="out",
            employee_id=300001,
        ),
    ),
    (
        "notification_talk_started.flat.json",
        "talk_started",
        AnsweredEvent(
            event="talk_started",
            session_id=3960000001,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
        ),
    ),
    (
        "notification_talk_finished.flat.json",
        "talk_finished",
        OtherEvent(
            event="talk_finished",
            session_id=3960000001,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
        ),
    ),
    (
        "notification_call_end.flat.json",
        "call_end",
        EndedEvent(
            event="call_end",
            session_id=3960000001,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
            is_lost=False,
            talk_seconds=65,
            wait_seconds=11,
            total_seconds=76,
            started_at=AT,
            talker_id=300001,
            source="va",
        ),
    ),
    (
        "notification_call_end.flat.lost.json",
        "call_end",
        EndedEvent(
            event="call_end",
            session_id=3960000002,
            happened_at=AT,
            contact=LOST_CALLER,
            number=OWN,
            direction="in",
            is_lost=True,
            talk_seconds=0,
            wait_seconds=30,
            total_seconds=30,
            started_at=datetime(2024, 10, 25, 7, 20, 0, 101000, tzinfo=UTC),
            source="va",
        ),
    ),
    (
        "notification_call_end.flat.real_2019.json",
        "call_end",
        EndedEvent(
            event="call_end",
            session_id=998000001,
            happened_at=datetime(2019, 12, 16, 11, 40, 47, 234000, tzinfo=UTC),
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
            is_lost=False,
            talk_seconds=12,
            wait_seconds=11,
            total_seconds=23,
            started_at=datetime(2019, 12, 16, 11, 40, 24, 234000, tzinfo=UTC),
            talker_id=300001,
            source="va",
        ),
    ),
    (
        "notification_call_end.nested.json",
        "call_end",
        EndedEvent(
            event="call_end",
            session_id=3960000001,
            happened_at=datetime(2024, 10, 25, 7, 13, 2, 511000, tzinfo=UTC),
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
            is_lost=False,
            talk_seconds=65,
            wait_seconds=11,
            total_seconds=76,
            started_at=datetime(2024, 10, 25, 7, 11, 46, 511000, tzinfo=UTC),
            talker_id=300001,
            source="va",
        ),
    ),
    (
        "notification_lost_call.flat.json",
        "lost_call",
        EndedEvent(
            event="lost_call",
            session_id=3960000002,
            happened_at=AT,
            contact=LOST_CALLER,
            number=OWN,
            direction="in",
            is_lost=True,
            wait_seconds=30,
            started_at=AT - timedelta(seconds=30),
            rung_employee_ids=(300001, 300002),
        ),
    ),
    (
        "notification_recorded.flat.json",
        "recorded",
        RecordingEvent(
            event="recorded",
            session_id=3960000001,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            employee_id=300001,
            link=LINK,
        ),
    ),
    (
        "notification_recorded.nested.json",
        "recorded",
        RecordingEvent(
            event="recorded",
            session_id=3960000001,
            happened_at=datetime(2024, 10, 25, 7, 13, 20, 4000, tzinfo=UTC),
            contact=CALLER,
            number=OWN,
            direction="in",
            employee_id=300001,
            link=LINK,
        ),
    ),
    (
        "notification_unresolved_macros.json",
        "call_end",
        EndedEvent(
            event="call_end",
            session_id=3960000001,
            happened_at=datetime(2024, 10, 25, 7, 13, 2, 511000, tzinfo=UTC),
            number=OWN,
            started_at=datetime(2024, 10, 25, 7, 13, 2, 511000, tzinfo=UTC),
        ),
    ),
    (
        "notification_call_end.double_quoted.txt",
        "call_end",
        EndedEvent(event="call_end", session_id=3960000001, contact=CALLER, employee_id=300001, talker_id=300001),
    ),
]


@pytest.mark.parametrize(("name", "event", "expected"), SAMPLES, ids=[name for name, _event, _said in SAMPLES])
def test_sample_is_read(name, event, expected):
    assert keyless(read(text(name), event=event)) == expected


@pytest.mark.parametrize(("name", "event", "expected"), SAMPLES, ids=[name for name, _event, _said in SAMPLES])
def test_sample_without_an_event_is_unreadable(name, event, expected):
    assert keyless(read(text(name))) == Unreadable(ParseError.NO_EVENT)


def test_sample_of_a_get_is_read():
    query = text("notification_lost_call.get_query.txt").split("?", 1)[1].split(" ", 1)[0]
    assert keyless(read(query=query)) == EndedEvent(
        event="lost_call",
        session_id=3960000002,
        happened_at=datetime(2024, 10, 25, 7, 20, 30, 101000, tzinfo=UTC),
        contact=LOST_CALLER,
        number=OWN,
        direction="in",
        is_lost=True,
        started_at=datetime(2024, 10, 25, 7, 20, 30, 101000, tzinfo=UTC),
    )


# --- templates

MACROS = (
    load("notification_call_end.flat.json")
    | load("notification_waiting.flat.json")
    | {
        "employee_ids": [300001, 300002],
        "file_link": LINK,
        "file_duration": 65,
    }
)


def filled(name: str, **macros: object) -> str:
    """Fill in a template as UIS does: every macro by its JSON form."""
    values = MACROS | macros
    return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]], ensure_ascii=False), text(name))


COMMON = {"session_id": 3960000001, "happened_at": AT, "contact": CALLER, "number": OWN, "direction": "in"}
TEMPLATES = [
    ("templates/waiting.txt", RingingEvent(event="waiting", employee_id=300001, **COMMON)),
    (
        "templates/call_end.txt",
        EndedEvent(
            event="call_end",
            employee_id=300001,
            is_lost=False,
            talk_seconds=65,
            wait_seconds=11,
            total_seconds=76,
            started_at=AT,
            talker_id=300001,
            source="va",
            **COMMON,
        ),
    ),
    (
        "templates/lost_call.txt",
        EndedEvent(
            event="lost_call",
            is_lost=True,
            wait_seconds=11,
            started_at=AT - timedelta(seconds=11),
            rung_employee_ids=(300001, 300002),
            **COMMON,
        ),
    ),
    (
        "templates/recorded.txt",
        RecordingEvent(event="recorded", employee_id=300001, link=LINK, **COMMON | {"direction": ""}),
    ),
]


@pytest.mark.parametrize(("name", "expected"), TEMPLATES)
def test_template_reads_when_filled_in(name, expected):
    assert keyless(read(filled(name))) == expected


@pytest.mark.parametrize(("name", "expected"), TEMPLATES)
def test_template_reads_with_quotes_put_round_its_macros(name, expected):
    quoted = re.sub(r"\{\{(\w+)\}\}", r'"{{\1}}"', text(name))
    values = {macro: json.dumps(value, ensure_ascii=False) for macro, value in MACROS.items()}
    body = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], quoted)
    assert keyless(read(body)) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("templates/waiting.txt", RingingEvent),
        ("templates/call_end.txt", EndedEvent),
        ("templates/lost_call.txt", EndedEvent),
        ("templates/recorded.txt", RecordingEvent),
    ],
)
@pytest.mark.parametrize("spelling", ["{{%s}}", '"{{%s}}"', "%s", '"%s"', "null", '""', '"null"', '"{{ %s }}"'])
def test_template_nobody_filled_in_still_tells_its_session(name, kind, spelling):
    body = re.sub(
        r"\{\{(\w+)\}\}",
        lambda found: "7" if found[1] == "call_session_id" else spelling.replace("%s", found[1]),
        text(name),
    )
    said = read(body)
    assert (type(said), said.session_id) == (kind, 7)
    assert (said.happened_at, said.contact, said.number, said.employee_id) == (None, "", "", None)


def test_template_with_a_null_external_id_reads_as_missing():
    assert read(filled("templates/call_end.txt", external_id=None)).external_id == ""
    assert read(filled("templates/call_end.txt", external_id="crm-0001")).external_id == "crm-0001"


def test_template_survives_a_name_full_of_quotes_and_breaks():
    said = read(filled("templates/call_end.txt", employee_full_name='Иванов "Ваня"\nИван'))
    assert said.session_id == 3960000001


def test_template_survives_a_line_break_that_was_not_escaped():
    assert read('{"event": "call_end", "employee_full_name": "a\nb\tc", "call_session_id": 5}').session_id == 5


def test_doubled_quotes_survive_quotes_inside():
    body = '{"event": ""call_end"", "employee_full_name": ""ООО \\"Ромашка\\""", "call_session_id": 5}'
    assert read(body).session_id == 5


def test_doubled_quotes_leave_empty_texts_alone():
    body = '{"event": "", "contact_phone_number": "", "external_id": ""x"", "call_session_id": 5}'
    said = read(body, event="call_end")
    assert (said.contact, said.external_id) == ("", "x")


# --- GET and forms


GET = {"call_session_id": 3960000002, "contact_phone_number": '"79990000003"', "is_lost": "true"}


@pytest.mark.parametrize("joined", ["&", ""])
@pytest.mark.parametrize(
    "order",
    [
        ["call_session_id", "contact_phone_number", "is_lost"],
        ["is_lost", "call_session_id", "contact_phone_number"],
        ["contact_phone_number", "is_lost", "call_session_id"],
    ],
)
def test_query_is_read_with_and_without_its_ampersands(joined, order):
    query = joined.join(f"{name}={quote(str(GET[name]))}" for name in order)
    said = read(query=query, event="call_end")
    assert (said.session_id, said.contact, said.is_lost) == (3960000002, LOST_CALLER, True)


@pytest.mark.parametrize("before", ["null", "false", "true", "5", "%22x%22"])
def test_missing_ampersand_is_found_behind_every_kind_of_value(before):
    said = read(query=f"is_internal={before}employee_id=3&call_session_id=5", event="call_end")
    assert said.employee_id == 3


def test_missing_ampersand_is_not_seen_inside_a_longer_name():
    query = "call_session_id=5&last_talked_employee_id=7&employee_id=8"
    said = read(query=query, event="call_end")
    assert (said.talker_id, said.employee_id) == (7, 8)


@pytest.mark.parametrize("quotes", ["", "%22"])
def test_query_may_keep_its_quotes(quotes):
    query = f"event={quotes}waiting{quotes}&call_session_id={quotes}5{quotes}&direction={quotes}in{quotes}"
    said = read(query=query)
    assert (type(said), said.session_id, said.direction) == (RingingEvent, 5, "in")


@pytest.mark.parametrize("value", ["null", "", "%22%22", "{{employee_id}}", "%7B%7Bemployee_id%7D%7D", "employee_id"])
def test_query_has_many_ways_of_saying_nothing(value):
    assert read(query=f"event=waiting&call_session_id=5&employee_id={value}").employee_id is None


def test_form_is_read_whatever_its_content_type():
    said = read(urlencode(load("notification_waiting.flat.json") | {"event": "waiting"}))
    assert (said.session_id, said.employee_id, said.contact) == (3960000001, 300001, CALLER)


def test_form_that_is_no_utf8_is_read_as_far_as_it_goes():
    assert read("event=waiting&employee_full_name=%C8%E2%E0%ED&call_session_id=5").session_id == 5


def test_body_beats_the_query():
    said = read({"call_session_id": 6}, query="call_session_id=5&employee_id=7", event="waiting")
    assert (said.session_id, said.employee_id) == (6, 7)


def test_byte_order_mark_is_no_obstacle():
    assert read("\ufeff" + json.dumps(END)).session_id == 5


# --- where a name stands


def test_top_level_beats_a_group():
    body = END | {"direction": "out", "call_info": {"direction": "in", "call_session_id": 9, "call_source": "va"}}
    said = read(body)
    assert (said.session_id, said.direction, said.source) == (5, "out", "va")


def test_first_group_beats_a_later_one():
    body = {"employee_info": {"employee_id": 1}, "call_info": {"employee_id": 2, "call_session_id": 5}}
    assert read(body, event="call_end").employee_id == 1


@pytest.mark.parametrize("group", [None, [], "text", 5])
def test_group_that_is_none_is_ignored(group):
    assert read(END | {"call_info": group}).session_id == 5


# --- events


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event.INCOMING, OtherEvent),
        (Event.WAITING, RingingEvent),
        (Event.OUTGOING, RingingEvent),
        (Event.TALK_STARTED, AnsweredEvent),
        (Event.TALK_FINISHED, OtherEvent),
        (Event.CALL_END, EndedEvent),
        (Event.LOST_CALL, EndedEvent),
        (Event.RECORDED, RecordingEvent),
    ],
)
def test_every_event_is_read_from_the_path_and_from_the_body(event, kind):
    assert type(read({"call_session_id": 5}, event=event.value)) is kind
    assert type(read({"call_session_id": 5, "event": f" {event.value.upper()} "})) is kind


def test_event_in_the_path_beats_the_body():
    assert type(read(END, event="waiting")) is RingingEvent


@pytest.mark.parametrize("event", ["set_mark", "Завершение звонка", "call-end", "5"])
def test_event_nobody_knows_is_unreadable(event):
    assert keyless(read({"event": event, "call_session_id": 5})) == Unreadable(ParseError.UNKNOWN_EVENT, event.lower())
    assert keyless(read({"call_session_id": 5}, event=event)) == Unreadable(ParseError.UNKNOWN_EVENT, event.lower())


def test_event_nobody_knows_is_cut_in_the_detail():
    assert read({"event": "x" * 1000}).detail == "x" * 60


@pytest.mark.parametrize("event", [None, "", "null", "{{event}}", "event", ["call_end"], {"a": 1}, True])
def test_event_that_is_missing_is_unreadable(event):
    assert keyless(read({"event": event, "call_session_id": 5})) == Unreadable(ParseError.NO_EVENT)


@pytest.mark.parametrize(
    "session",
    [None, 0, "0", "", "x", -5, "-5", True, 1.5, [5], {"a": 5}, 2**63, "9" * 19, "9" * 400, "٣", "1e3", "5 6"],
)
def test_session_that_is_none_is_unreadable(session):
    assert keyless(read({"event": "call_end", "call_session_id": session})) == Unreadable(
        ParseError.NO_SESSION, "call_end"
    )


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (5139032004, 5139032004),
        ("5139032004", 5139032004),
        ('"5139032004"', 5139032004),
        (" 5139032004 ", 5139032004),
        (5139032004.0, 5139032004),
        ("5139032004.00", 5139032004),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_session_may_have_64_bits_and_quotes(session, expected):
    assert read({"event": "call_end", "call_session_id": session}).session_id == expected


# --- values


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (True, True),
        ("true", True),
        ("TRUE", True),
        (1, True),
        ("1", True),
        (False, False),
        ("false", False),
        (0, False),
    ],
)
def test_boolean_has_many_spellings(raw, expected):
    assert end(direction="in", is_lost=raw).is_lost is expected


@pytest.mark.parametrize(
    ("said", "is_lost"),
    [
        ({"direction": "in", "is_lost": True, "talk_time_duration": 0}, True),
        ({"direction": "in", "is_lost": True, "talk_time_duration": 5}, False),  # whoever talked did not miss
        ({"direction": "in", "is_lost": False, "talk_time_duration": 0}, False),
        ({"direction": "in", "talk_time_duration": 0}, True),
        ({"direction": "in", "talk_time_duration": None}, True),
        ({"direction": "in"}, True),
        ({"direction": "in", "is_lost": "maybe"}, True),
        ({"direction": "in", "talk_time_duration": 12}, False),
        ({"direction": "out", "is_lost": True}, False),  # no outgoing call is missed
        ({"direction": "out", "talk_time_duration": 0}, None),
        ({"direction": "out", "talk_time_duration": 3}, False),
        ({}, None),
        ({"is_lost": True}, True),
        ({"direction": "sideways", "is_lost": False}, False),
    ],
)
def test_lost_is_decided_by_talk_then_by_the_macro_then_by_direction(said, is_lost):
    assert end(**said).is_lost is is_lost


def test_lost_call_is_lost_and_came_in():
    said = read({"event": "lost_call", "call_session_id": 5, "direction": "out", "is_lost": False})
    assert (said.is_lost, said.direction) == (True, "in")


@pytest.mark.parametrize(
    ("event", "said", "direction"),
    [
        ("incoming", None, "in"),
        ("incoming", "out", "in"),
        ("outgoing", "in", "out"),
        ("waiting", None, ""),
        ("waiting", "out", "out"),
        ("waiting", "OUT", ""),
        ("call_end", "in", "in"),
        ("call_end", "internal", ""),
    ],
)
def test_direction_is_the_events_own_or_what_was_said(event, said, direction):
    assert read({"event": event, "call_session_id": 5, "direction": said}).direction == direction


@pytest.mark.parametrize(
    ("said", "is_internal"),
    [
        ({"is_internal": True, "contact_phone_number": CALLER}, True),
        ({"is_internal": "1"}, True),
        ({"is_internal": False, "contact_phone_number": "101"}, True),
        ({"contact_phone_number": "101"}, True),
        ({"contact_phone_number": CALLER}, False),
        ({}, False),
    ],
)
def test_internal_is_said_or_seen(said, is_internal):
    assert end(**said).is_internal is is_internal


@pytest.mark.parametrize(
    ("raw", "is_russian", "contact"),
    [
        ("+7 (999) 000-00-01", True, CALLER),
        ("89990000001", True, CALLER),
        ("89990000001", False, "89990000001"),
        ("9990000001", True, CALLER),
        (79990000001, True, CALLER),
        ("74950000005...9.2.3.3", True, "74950000005"),
        ("anonymous", True, ""),
        (None, True, ""),
        (True, True, ""),
        (["79990000001"], True, ""),
        ("1" * 32, True, "1" * 32),
        ("1" * 33, True, ""),
    ],
)
def test_contact_is_digits(raw, is_russian, contact):
    assert read(END | {"contact_phone_number": raw}, is_russian=is_russian).contact == contact


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        ([300001, "300002", 300003.0, None, "x", -1], (300001, 300002, 300003)),
        ("[300001, 300002]", (300001, 300002)),
        ("300001,300002", (300001, 300002)),
        (300001, (300001,)),
        ([], ()),
        ("[]", ()),
        (None, ()),
        ({"a": 1}, ()),
    ],
)
def test_rung_employees_come_as_an_array_or_as_text(raw, ids):
    assert end(employee_ids=raw).rung_employee_ids == ids


def test_talker_is_the_last_one_who_talked():
    assert end(employee_id=1, last_talked_employee_id=2).talker_id == 2
    assert end(employee_id=1, last_talked_employee_id=None).talker_id == 1
    assert end().talker_id is None


# --- times


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2024-10-25 10:11:46.234", AT),
        ("2024-10-25 10:11:46", AT.replace(microsecond=0)),
        ("2024-10-25T10:11:46.234", AT),
        ("2024-10-25T10:11:46", AT.replace(microsecond=0)),
        ("2024-10-25 00:00:00", datetime(2024, 10, 24, 21, tzinfo=UTC)),
        ("yesterday", None),
        ("2024-02-30 10:00:00", None),
        ("0001-01-01 00:00:00", None),
        ("1999-12-31 23:59:59", None),
        ("9999-12-31 23:59:59", None),
        (1729840306, None),
        ([], None),
    ],
)
def test_time_is_local_to_the_account(raw, expected):
    assert end(notification_time=raw).happened_at == expected


@pytest.mark.parametrize(
    ("zone", "raw", "expected"),
    [
        ("Asia/Vladivostok", "2024-10-25 00:00:00", datetime(2024, 10, 24, 14, tzinfo=UTC)),
        ("Europe/Berlin", "2024-07-01 12:00:00", datetime(2024, 7, 1, 10, tzinfo=UTC)),
        ("Europe/Berlin", "2024-10-27 02:30:00", datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
        ("America/New_York", "2024-12-31 23:59:59", datetime(2025, 1, 1, 4, 59, 59, tzinfo=UTC)),
    ],
)
def test_time_knows_summer_and_midnight(zone, raw, expected):
    assert read(END | {"notification_time": raw}, zone=ZoneInfo(zone)).happened_at == expected


@pytest.mark.parametrize("raw", [1729840306, "1729840306", '"1729840306"', 1729840306.0])
def test_timestamp_beats_the_local_time(raw):
    said = end(notification_timestamp=raw, notification_time="2000-01-01 00:00:00")
    assert said.happened_at == datetime(2024, 10, 25, 7, 11, 46, tzinfo=UTC)


@pytest.mark.parametrize("raw", [None, 0, "soon", 1729840306234, 10**18, "1729840306.234"])
def test_timestamp_that_is_none_leaves_the_local_time(raw):
    said = end(notification_timestamp=raw, notification_time="2024-10-25 10:11:46")
    assert said.happened_at == AT.replace(microsecond=0)


@pytest.mark.parametrize(
    ("said", "started_at"),
    [
        ({"start_time": "2024-10-25 10:00:00", "total_time_duration": 5}, datetime(2024, 10, 25, 7, tzinfo=UTC)),
        ({"total_time_duration": 76, "wait_time_duration": 11}, AT - timedelta(seconds=76)),
        ({"wait_time_duration": 11}, AT - timedelta(seconds=11)),
        ({}, AT),
        ({"total_time_duration": 10**18}, AT),
    ],
)
def test_start_is_said_or_counted_back(said, started_at):
    assert end(notification_time="2024-10-25 10:11:46.234", **said).started_at == started_at


def test_start_is_not_known_without_any_time():
    assert end(total_time_duration=76).started_at is None


@pytest.mark.parametrize(("raw", "seconds"), [(12, 12), ("12", 12), (2**31 - 1, 2**31 - 1), (2**31, None), (-1, None)])
def test_duration_is_one_a_row_can_hold(raw, seconds):
    assert end(talk_time_duration=raw).talk_seconds == seconds


# --- keys


def key(**said: object) -> str:
    return read({"event": "waiting", "call_session_id": 5} | said).key


def test_key_of_a_repeat_is_the_same():
    body = text("notification_waiting.flat.json")
    assert read(body, event="waiting").key == read(body, event="waiting").key


def test_key_of_a_repeat_is_the_same_when_sent_a_second_later():
    assert key(employee_id=1, notification_time="2024-10-25 10:00:00") == key(
        employee_id=1, notification_time="2024-10-25 10:00:01"
    )


def test_key_of_a_second_phone_ringing_differs():
    keys = {
        key(employee_id=1, leg_id=1),
        key(employee_id=1, leg_id=2),
        key(employee_id=2, leg_id=3),
        key(),
        key(leg_id=1),
    }
    assert len(keys) == 5


def test_key_of_another_call_or_event_differs():
    same = {"employee_id": 1, "leg_id": 1}
    assert len({key(**same), key(**same, call_session_id=6), key(**same, event="talk_started")}) == 3


def test_end_told_again_is_a_repeat_however_it_is_worded():
    ends = [END, END | {"file_link": LINK}, END | {"direction": "in"}, END | {"notification_name": "another"}]
    assert len({read(body).key for body in ends}) == 1


@pytest.mark.parametrize(
    "more", [{"event": "lost_call"}, {"employee_id": 1}, {"talk_time_duration": 5}, {"is_lost": False}]
)
def test_end_that_tells_something_else_is_no_repeat(more):
    """A menu had ended before the call did."""
    assert read(END).key != read(END | more).key


def test_key_of_a_second_recording_differs_and_holds_no_link():
    first, second = (
        read({"event": "recorded", "call_session_id": 5, "file_link": link}).key for link in (LINK, LINK + "2")
    )
    assert first != second
    assert "http" not in first
    assert "0123456789abcdef0123456789abcdef" not in first


def test_key_of_two_talks_of_one_call_differs():
    started = {"event": "talk_started", "employee_id": 1}
    assert key(**started, leg_ids=[1, 2]) != key(**started, leg_ids=[1, 3])
    assert key(**started, leg_ids=[1, 2]) == key(**started, leg_ids=["1", "2"])


def test_key_stays_short_enough_for_its_column():
    largest = 2**63 - 1
    said = {"event": "talk_started", "employee_id": largest, "file_link": LINK, "call_session_id": largest}
    assert len(key(**said, leg_ids=[largest] * 1000)) <= 200
    assert len(key(**said, leg_id=largest)) <= 200


@pytest.mark.parametrize("body", ["", "junk", "[]", '{"a": 1}', '{"event": "odd"}', '{"event": "call_end"}'])
def test_key_of_the_unreadable_is_a_digest_of_all_there_is(body):
    said = read(body, query="x=1", event="")
    assert isinstance(said, Unreadable)
    assert re.fullmatch(r"[0-9a-f]{64}", said.key)
    assert said.key == read(body, query="x=1", event="").key
    assert len({said.key, read(body, query="x=2").key, read(body + " ", query="x=1").key}) == 3


# --- what cannot be read


@pytest.mark.parametrize("body", ["", "  \n", "\ufeff", "{}"])
def test_nothing_is_unreadable_as_empty(body):
    assert keyless(read(body)) == Unreadable(ParseError.EMPTY)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("plain words", "plain words"),
        ("\0junk\0" * 100, "junk" * 10),
        ("<xml/>", "<xml/>"),
        ('{"event":', "Expecting value: line 1 column 10 (char 9)"),
        ('{"event": call_end}', "Expecting value: line 1 column 11 (char 10)"),
    ],
)
def test_what_is_not_json_says_where(body, detail):
    assert keyless(read(body)) == Unreadable(ParseError.NOT_JSON, detail)


@pytest.mark.parametrize("body", ["[]", '[{"event": "call_end", "call_session_id": 5}]', "[" * 100_000])
def test_json_that_is_no_object_is_not_quoted(body):
    found = keyless(read(body))
    assert (found.error, "[" in found.detail, bool(found.detail)) == (ParseError.NOT_JSON, False, True)


def test_text_a_database_cannot_hold_is_cleaned():
    said = read('{"event": "recorded", "call_session_id": 5, "file_link": "https://x/\\u0000\\ud800"}')
    assert said.link == "https://x/?"
    said = read(
        '{"event": "call_end", "call_session_id": 5, "external_id": "a\\u0000b\\udfff", "call_source": "\\ud800"}'
    )
    assert (said.external_id, said.source) == ("ab?", "?")


def test_text_is_cut_to_what_a_row_holds():
    assert len(end(external_id="x" * 5000).external_id) == 100
    assert len(read({"event": "recorded", "call_session_id": 5, "file_link": "x" * 5000}).link) == 2000


@pytest.mark.parametrize("depth", [1, 100, 500, 900, 950, 980, 1000, 1100, 30_000])
@pytest.mark.parametrize("field", ["call_session_id", "is_lost", "start_time", "employee_ids", "event", "other"])
def test_depth_is_no_danger(field, depth):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        body = f'{{"event": "call_end", "call_session_id": 5, "{field}": {opening * depth}1{closing * depth}}}'
        read(body)


@pytest.mark.parametrize(
    "junk",
    [
        "x" * 65_536,
        "\0" * 65_536,
        '"' * 65_536,
        "{" * 65_536,
        "=" * 65_536,
        "&" * 65_536,
        "event=" * 10_900,
        "{" + '"a": ""x,' * 7_000,
        "{" + ': ""x' * 13_000,
        "{" + ":" + " " * 65_000,
        "{" + ":{{a" * 16_000,
        "{" + '"a":a ' * 10_900,
        "{" + "\\" * 65_000,
    ],
    ids=range(13),
)
def test_64_kib_of_junk_are_read_at_once(junk):
    began_at = monotonic()
    assert isinstance(read(junk), Unreadable)
    assert isinstance(read(query=junk), Unreadable)
    assert monotonic() - began_at < 3


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(sorted(MACROS)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(MACROS)) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = sorted(set(webhooks._Body.model_fields) | set(MACROS) | {"contact_info", "employee_info", "call_info"})
VALUES = JSON | st.sampled_from(
    ["2024-10-25 10:11:46", "0001-01-01 00:00:00", 10**13, 10**30, "-1", "in", "true", '""x""', "{{x}}", "\ud800", "\0"]
)
BODIES = (
    st.text()
    | st.binary().map(lambda raw: raw.decode(errors="replace"))
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from(NAMES), VALUES).map(lambda said: json.dumps(END | said))
    | st.dictionaries(st.sampled_from(NAMES), st.text()).map(lambda said: urlencode(said, errors="replace"))
    | st.lists(
        st.sampled_from(['"', "{", "}", ":", ",", "{{a}}", "event", "call_end", "[", "]", "=", "&", "\\", " "])
    ).map("".join)
)


@pytest.mark.slow
@given(body=BODIES, query=BODIES, event=st.sampled_from(["", *Event]) | st.text())
@example(body='{"event":"call_end","call_session_id":5,"file_link":"\\ud800"}', query="", event="")
@example(body='{"call_session_id":5,"notification_timestamp":1729840306234}', query="", event="call_end")
@example(body='{"call_session_id":5,"start_time":"0001-01-01 00:00:00"}', query="", event="call_end")
@example(body='{"call_session_id":5,"total_time_duration":9999999999999999}', query="", event="call_end")
def test_read_never_raises(body, query, event):
    said = read(body, query=query, event=event)
    assert said.key


@pytest.mark.slow
@given(said=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_whatever_is_said_fits_into_a_row(said):
    for event in ("call_end", "recorded"):
        found = read({"call_session_id": 5} | said, event=event)
        for value in vars(found).values():
            written = str(value)
            written.encode()
            assert "\0" not in written
