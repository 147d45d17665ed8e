"""Parsing of notifications: samples, templates, and every way people change templates."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from tests.linear_time import assert_linear
from tests.telephony.uis.samples import MOSCOW, load, text

AT = datetime(2024, 10, 25, 7, 11, 46, 234000, tzinfo=UTC)
CALLER, LOST_CALLER, OWN = "79990000001", "79990000003", "74950000001"
LINK = "https://app.uiscom.ru/system/media/talk/3960000001/0123456789abcdef0123456789abcdef/"
END = {"event": "call_end", "call_session_id": 5}


def parse(body: object = "", *, query: str = "", event: str = "", zone: ZoneInfo = MOSCOW, region: str = "RU"):
    body_text = body if isinstance(body, str) else json.dumps(body)
    return webhooks.parse(query, body_text, event=event, zone=zone, region=region)


def parse_end(**values: object):
    return parse(END | values)


def without_key(event):
    return replace(event, key="")


# --- samples


SCENARIO = "Основной сценарий"
SAMPLES = [
    (
        "notification_incoming.flat.json",
        "incoming",
        OtherEvent(
            event="incoming",
            session_id=3960000001,
            happened_at=AT,
            contact=CALLER,
            number=OWN,
            direction="in",
            attribution={"scenario": SCENARIO},
        ),
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
            attribution={"source": "va"},
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
            attribution={"source": "va"},
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
            attribution={"source": "va", "scenario": SCENARIO},
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
            attribution={"source": "va", "scenario": SCENARIO},
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
            attribution={"source": "va", "scenario": SCENARIO},
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
            attribution={"source": "va", "scenario": SCENARIO},
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
            attribution={"source": "va", "scenario": SCENARIO},
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
            attribution={"scenario": SCENARIO},
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
            attribution={"scenario": SCENARIO, "tags": ()},
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
            attribution={"scenario": SCENARIO, "tags": ()},
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


@pytest.mark.parametrize(("name", "event", "expected"), SAMPLES, ids=[name for name, _event, _expected in SAMPLES])
def test_sample_is_parsed(name, event, expected):
    assert without_key(parse(text(name), event=event)) == expected


@pytest.mark.parametrize(("name", "event", "expected"), SAMPLES, ids=[name for name, _event, _expected in SAMPLES])
def test_sample_without_an_event_is_unreadable(name, event, expected):
    assert without_key(parse(text(name))) == Unreadable(ParseError.NO_EVENT)


def test_sample_of_a_get_request_is_parsed():
    query = text("notification_lost_call.get_query.txt").split("?", 1)[1].split(" ", 1)[0]
    assert without_key(parse(query=query)) == EndedEvent(
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


def fill_template(name: str, **macros: object) -> str:
    """Fill in a template as UIS does: every macro becomes its JSON value."""
    values = MACROS | macros
    return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]], ensure_ascii=False), text(name))


COMMON = {"session_id": 3960000001, "happened_at": AT, "contact": CALLER, "number": OWN, "direction": "in"}
TEMPLATES = [
    (
        "templates/waiting.txt",
        RingingEvent(event="waiting", employee_id=300001, attribution={"source": "va"}, **COMMON),
    ),
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
            attribution={"source": "va", "scenario": SCENARIO},
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
            attribution={"scenario": SCENARIO},
            **COMMON,
        ),
    ),
    (
        "templates/recorded.txt",
        RecordingEvent(event="recorded", employee_id=300001, link=LINK, **COMMON | {"direction": ""}),
    ),
]


@pytest.mark.parametrize(("name", "expected"), TEMPLATES)
def test_filled_template_is_parsed(name, expected):
    assert without_key(parse(fill_template(name))) == expected


@pytest.mark.parametrize(("name", "expected"), TEMPLATES)
def test_template_with_quotes_around_its_macros_is_parsed(name, expected):
    quoted = re.sub(r"\{\{(\w+)\}\}", r'"{{\1}}"', text(name))
    values = {macro: json.dumps(value, ensure_ascii=False) for macro, value in MACROS.items()}
    body = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], quoted)
    assert without_key(parse(body)) == expected


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
def test_template_with_unresolved_macros_still_has_its_session(name, kind, spelling):
    body = re.sub(
        r"\{\{(\w+)\}\}",
        lambda found: "7" if found[1] == "call_session_id" else spelling.replace("%s", found[1]),
        text(name),
    )
    parsed = parse(body)
    assert (type(parsed), parsed.session_id) == (kind, 7)
    assert (parsed.happened_at, parsed.contact, parsed.number, parsed.employee_id) == (None, "", "", None)


def test_null_external_id_is_parsed_as_missing():
    assert parse(fill_template("templates/call_end.txt", external_id=None)).external_id == ""
    assert parse(fill_template("templates/call_end.txt", external_id="crm-0001")).external_id == "crm-0001"


def test_employee_name_with_quotes_and_line_breaks_is_parsed():
    parsed = parse(fill_template("templates/call_end.txt", employee_full_name='Иванов "Ваня"\nИван'))
    assert parsed.session_id == 3960000001


def test_unescaped_line_break_is_parsed():
    assert parse('{"event": "call_end", "employee_full_name": "a\nb\tc", "call_session_id": 5}').session_id == 5


def test_doubled_quotes_around_escaped_quotes_are_parsed():
    body = '{"event": ""call_end"", "employee_full_name": ""ООО \\"Ромашка\\""", "call_session_id": 5}'
    assert parse(body).session_id == 5


def test_empty_texts_are_not_taken_for_doubled_quotes():
    body = '{"event": "", "contact_phone_number": "", "external_id": ""x"", "call_session_id": 5}'
    parsed = parse(body, event="call_end")
    assert (parsed.contact, parsed.external_id) == ("", "x")


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
def test_query_string_is_parsed_with_and_without_ampersands(joined, order):
    query = joined.join(f"{name}={quote(str(GET[name]))}" for name in order)
    parsed = parse(query=query, event="call_end")
    assert (parsed.session_id, parsed.contact, parsed.is_lost) == (3960000002, LOST_CALLER, True)


@pytest.mark.parametrize("before", ["null", "false", "true", "5", "%22x%22"])
def test_missing_ampersand_is_found_after_every_kind_of_value(before):
    parsed = parse(query=f"is_internal={before}employee_id=3&call_session_id=5", event="call_end")
    assert parsed.employee_id == 3


def test_field_name_inside_a_longer_name_is_not_split():
    query = "call_session_id=5&last_talked_employee_id=7&employee_id=8"
    parsed = parse(query=query, event="call_end")
    assert (parsed.talker_id, parsed.employee_id) == (7, 8)


@pytest.mark.parametrize("quotes", ["", "%22"])
def test_query_string_is_parsed_with_and_without_quotes(quotes):
    query = f"event={quotes}waiting{quotes}&call_session_id={quotes}5{quotes}&direction={quotes}in{quotes}"
    parsed = parse(query=query)
    assert (type(parsed), parsed.session_id, parsed.direction) == (RingingEvent, 5, "in")


@pytest.mark.parametrize("value", ["null", "", "%22%22", "{{employee_id}}", "%7B%7Bemployee_id%7D%7D", "employee_id"])
def test_empty_value_in_a_query_string_is_none(value):
    assert parse(query=f"event=waiting&call_session_id=5&employee_id={value}").employee_id is None


def test_form_body_is_parsed():
    parsed = parse(urlencode(load("notification_waiting.flat.json") | {"event": "waiting"}))
    assert (parsed.session_id, parsed.employee_id, parsed.contact) == (3960000001, 300001, CALLER)


def test_form_body_that_is_not_utf8_is_parsed_where_possible():
    assert parse("event=waiting&employee_full_name=%C8%E2%E0%ED&call_session_id=5").session_id == 5


def test_body_takes_precedence_over_the_query_string():
    parsed = parse({"call_session_id": 6}, query="call_session_id=5&employee_id=7", event="waiting")
    assert (parsed.session_id, parsed.employee_id) == (6, 7)


def test_byte_order_mark_is_ignored():
    assert parse("\ufeff" + json.dumps(END)).session_id == 5


# --- nested groups


def test_top_level_field_takes_precedence_over_a_group():
    body = END | {"direction": "out", "call_info": {"direction": "in", "call_session_id": 9, "call_source": "va"}}
    parsed = parse(body)
    assert (parsed.session_id, parsed.direction, parsed.attribution) == (5, "out", {"source": "va"})


def test_first_group_takes_precedence_over_a_later_one():
    body = {"employee_info": {"employee_id": 1}, "call_info": {"employee_id": 2, "call_session_id": 5}}
    assert parse(body, event="call_end").employee_id == 1


@pytest.mark.parametrize("group", [None, [], "text", 5])
def test_group_that_is_not_an_object_is_ignored(group):
    assert parse(END | {"call_info": group}).session_id == 5


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
def test_event_is_parsed_from_the_path_or_the_body(event, kind):
    assert type(parse({"call_session_id": 5}, event=event.value)) is kind
    assert type(parse({"call_session_id": 5, "event": f" {event.value.upper()} "})) is kind


def test_event_in_the_path_takes_precedence_over_the_body():
    assert type(parse(END, event="waiting")) is RingingEvent


@pytest.mark.parametrize("event", ["set_mark", "Завершение звонка", "call-end", "5"])
def test_unknown_event_is_unreadable(event):
    expected = Unreadable(ParseError.UNKNOWN_EVENT, event.lower())
    assert without_key(parse({"event": event, "call_session_id": 5})) == expected
    assert without_key(parse({"call_session_id": 5}, event=event)) == expected


def test_unknown_event_is_truncated_in_the_detail():
    assert parse({"event": "x" * 1000}).detail == "x" * 60


@pytest.mark.parametrize("event", [None, "", "null", "{{event}}", "event", ["call_end"], {"a": 1}, True])
def test_missing_event_is_unreadable(event):
    assert without_key(parse({"event": event, "call_session_id": 5})) == Unreadable(ParseError.NO_EVENT)


@pytest.mark.parametrize(
    "session",
    [None, 0, "0", "", "x", -5, "-5", True, 1.5, [5], {"a": 5}, 2**63, "9" * 19, "9" * 400, "٣", "1e3", "5 6"],
)
def test_invalid_session_is_unreadable(session):
    assert without_key(parse({"event": "call_end", "call_session_id": session})) == Unreadable(
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
def test_session_with_64_bits_or_quotes_is_parsed(session, expected):
    assert parse({"event": "call_end", "call_session_id": session}).session_id == expected


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
def test_boolean_is_parsed_in_every_spelling(raw, expected):
    assert parse_end(direction="in", is_lost=raw).is_lost is expected


@pytest.mark.parametrize(
    ("values", "is_lost"),
    [
        ({"direction": "in", "is_lost": True, "talk_time_duration": 0}, True),
        ({"direction": "in", "is_lost": True, "talk_time_duration": 5}, False),  # a talk excludes a missed call
        ({"direction": "in", "is_lost": False, "talk_time_duration": 0}, False),
        ({"direction": "in", "talk_time_duration": 0}, None),  # the report says it
        ({"direction": "in", "talk_time_duration": None}, None),
        ({"direction": "in"}, None),
        ({"direction": "in", "is_lost": "maybe"}, None),
        ({"direction": "in", "talk_time_duration": 12}, False),
        ({"direction": "out", "is_lost": True}, False),  # outgoing calls are never missed
        ({"direction": "out", "talk_time_duration": 0}, None),
        ({"direction": "out", "talk_time_duration": 3}, False),
        ({}, None),
        ({"is_lost": True}, True),
        ({"direction": "invalid", "is_lost": False}, False),
    ],
)
def test_is_lost_is_told_by_a_talk_or_the_macro(values, is_lost):
    assert parse_end(**values).is_lost is is_lost


def test_lost_call_event_is_always_lost_and_incoming():
    parsed = parse({"event": "lost_call", "call_session_id": 5, "direction": "out", "is_lost": False})
    assert (parsed.is_lost, parsed.direction) == (True, "in")


@pytest.mark.parametrize(
    ("event", "reported", "direction"),
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
def test_direction_is_that_of_the_event_or_the_reported_one(event, reported, direction):
    assert parse({"event": event, "call_session_id": 5, "direction": reported}).direction == direction


@pytest.mark.parametrize(
    ("values", "is_internal", "is_of_colleagues"),
    [
        ({"is_internal": True, "contact_phone_number": CALLER}, True, True),
        ({"is_internal": "1"}, True, True),
        ({"is_internal": False, "contact_phone_number": "112"}, False, False),
        ({"is_internal": "false", "contact_phone_number": "900"}, False, False),
        ({"is_internal": "{{is_internal}}", "contact_phone_number": "101"}, None, True),
        ({"contact_phone_number": "101"}, None, True),
        ({"contact_phone_number": CALLER}, None, False),
        ({"contact_phone_number": "0"}, None, False),
        ({}, None, False),
    ],
)
def test_is_internal_is_what_uis_says_else_derived_from_the_contact(values, is_internal, is_of_colleagues):
    event = parse_end(**values)
    assert (event.is_internal, event.is_of_colleagues) == (is_internal, is_of_colleagues)


@pytest.mark.parametrize(
    ("raw", "region", "contact"),
    [
        ("+7 (999) 000-00-01", "RU", CALLER),
        ("89990000001", "RU", CALLER),
        ("89990000001", "HK", "89990000001"),
        ("9990000001", "RU", CALLER),
        ("85221234567", "RU", "85221234567"),
        (79990000001, "RU", CALLER),
        ("74950000005...9.2.3.3", "RU", "74950000005"),
        ("anonymous", "RU", ""),
        (None, "RU", ""),
        (True, "RU", ""),
        (["79990000001"], "RU", ""),
        ("1" * 32, "RU", "1" * 32),
        ("1" * 33, "RU", ""),
    ],
)
def test_contact_is_digits_in_international_form(raw, region, contact):
    assert parse(END | {"contact_phone_number": raw}, region=region).contact == contact


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        ([300001, "300002", 300003.0, None, "x", -1], (300001, 300002, 300003)),
        ("[300001, 300002]", (300001, 300002)),
        ("300001,300002", (300001, 300002)),
        (300001, (300001,)),
        ([], ()),
        ("[]", ()),
        (None, None),
        ("x", None),
        ({"a": 1}, None),
        (True, None),
    ],
)
def test_rung_employees_are_parsed_from_an_array_or_a_text(raw, ids):
    assert parse_end(employee_ids=raw).rung_employee_ids == ids


def test_talker_is_the_last_talked_employee_or_the_employee():
    assert parse_end(employee_id=1, last_talked_employee_id=2).talker_id == 2
    assert parse_end(employee_id=1, last_talked_employee_id=None).talker_id == 1
    assert parse_end().talker_id is None


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
def test_time_is_in_the_accounts_time_zone(raw, expected):
    assert parse_end(notification_time=raw).happened_at == expected


@pytest.mark.parametrize(
    ("zone", "raw", "expected"),
    [
        ("Asia/Vladivostok", "2024-10-25 00:00:00", datetime(2024, 10, 24, 14, tzinfo=UTC)),
        ("Europe/Berlin", "2024-07-01 12:00:00", datetime(2024, 7, 1, 10, tzinfo=UTC)),
        ("Europe/Berlin", "2024-10-27 02:30:00", datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
        ("America/New_York", "2024-12-31 23:59:59", datetime(2025, 1, 1, 4, 59, 59, tzinfo=UTC)),
    ],
)
def test_time_is_converted_across_summer_time_and_midnight(zone, raw, expected):
    assert parse(END | {"notification_time": raw}, zone=ZoneInfo(zone)).happened_at == expected


@pytest.mark.parametrize("raw", [1729840306, "1729840306", '"1729840306"', 1729840306.0])
def test_timestamp_takes_precedence_over_the_local_time(raw):
    parsed = parse_end(notification_timestamp=raw, notification_time="2000-01-01 00:00:00")
    assert parsed.happened_at == datetime(2024, 10, 25, 7, 11, 46, tzinfo=UTC)


@pytest.mark.parametrize("raw", [None, 0, "not a number", 1729840306234, 10**18, "1729840306.234"])
def test_local_time_is_used_when_the_timestamp_is_invalid(raw):
    parsed = parse_end(notification_timestamp=raw, notification_time="2024-10-25 10:11:46")
    assert parsed.happened_at == AT.replace(microsecond=0)


@pytest.mark.parametrize(
    ("values", "started_at"),
    [
        ({"start_time": "2024-10-25 10:00:00", "total_time_duration": 5}, datetime(2024, 10, 25, 7, tzinfo=UTC)),
        ({"total_time_duration": 76, "wait_time_duration": 11}, AT - timedelta(seconds=76)),
        ({"wait_time_duration": 11}, AT - timedelta(seconds=11)),
        ({}, AT),
        ({"total_time_duration": 10**18}, AT),
    ],
)
def test_start_is_reported_or_calculated_from_the_durations(values, started_at):
    assert parse_end(notification_time="2024-10-25 10:11:46.234", **values).started_at == started_at


def test_start_is_unknown_without_any_time():
    assert parse_end(total_time_duration=76).started_at is None


@pytest.mark.parametrize(("raw", "seconds"), [(12, 12), ("12", 12), (2**31 - 1, 2**31 - 1), (2**31, None), (-1, None)])
def test_duration_beyond_the_column_is_unknown(raw, seconds):
    assert parse_end(talk_time_duration=raw).talk_seconds == seconds


# --- keys


def key(**values: object) -> str:
    return parse({"event": "waiting", "call_session_id": 5} | values).key


def test_key_of_a_repeat_is_the_same():
    body = text("notification_waiting.flat.json")
    assert parse(body, event="waiting").key == parse(body, event="waiting").key


def test_key_of_a_repeat_sent_a_second_later_is_the_same():
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


def test_repeated_end_has_the_same_key_with_any_other_fields():
    ends = [END, END | {"file_link": LINK}, END | {"direction": "in"}, END | {"notification_name": "another"}]
    assert len({parse(body).key for body in ends}) == 1


@pytest.mark.parametrize(
    "more", [{"event": "lost_call"}, {"employee_id": 1}, {"talk_time_duration": 5}, {"is_lost": False}]
)
def test_end_with_other_facts_has_another_key(more):
    """The end of a menu precedes the end of the call."""
    assert parse(END).key != parse(END | more).key


def test_key_of_a_second_recording_differs_and_contains_no_link():
    first, second = (
        parse({"event": "recorded", "call_session_id": 5, "file_link": link}).key for link in (LINK, LINK + "2")
    )
    assert first != second
    assert "http" not in first
    assert "0123456789abcdef0123456789abcdef" not in first


def test_key_of_two_talks_of_one_call_differs():
    started = {"event": "talk_started", "employee_id": 1}
    assert key(**started, leg_ids=[1, 2]) != key(**started, leg_ids=[1, 3])
    assert key(**started, leg_ids=[1, 2]) == key(**started, leg_ids=["1", "2"])


def test_key_fits_its_column():
    largest = 2**63 - 1
    values = {"event": "talk_started", "employee_id": largest, "file_link": LINK, "call_session_id": largest}
    assert len(key(**values, leg_ids=[largest] * 1000)) <= 200
    assert len(key(**values, leg_id=largest)) <= 200


@pytest.mark.parametrize("body", ["", "junk", "[]", '{"a": 1}', '{"event": "odd"}', '{"event": "call_end"}'])
def test_key_of_an_unreadable_request_is_a_digest_of_all_input(body):
    parsed = parse(body, query="x=1", event="")
    assert isinstance(parsed, Unreadable)
    assert re.fullmatch(r"[0-9a-f]{64}", parsed.key)
    assert parsed.key == parse(body, query="x=1", event="").key
    assert len({parsed.key, parse(body, query="x=2").key, parse(body + " ", query="x=1").key}) == 3


# --- unreadable requests


@pytest.mark.parametrize("body", ["", "  \n", "\ufeff", "{}"])
def test_empty_body_is_unreadable(body):
    assert without_key(parse(body)) == Unreadable(ParseError.EMPTY)


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
def test_body_that_is_not_json_has_the_position_or_text_as_detail(body, detail):
    assert without_key(parse(body)) == Unreadable(ParseError.NOT_JSON, detail)


@pytest.mark.parametrize("body", ["[]", '[{"event": "call_end", "call_session_id": 5}]', "[" * 100_000])
def test_json_that_is_not_an_object_is_not_in_the_detail(body):
    found = without_key(parse(body))
    assert (found.error, "[" in found.detail, bool(found.detail)) == (ParseError.NOT_JSON, False, True)


def test_characters_the_database_rejects_are_replaced():
    parsed = parse('{"event": "recorded", "call_session_id": 5, "file_link": "https://x/\\u0000\\ud800"}')
    assert parsed.link == "https://x/?"
    parsed = parse(
        '{"event": "call_end", "call_session_id": 5, "external_id": "a\\u0000b\\udfff", "call_source": "\\ud800"}'
    )
    assert (parsed.external_id, parsed.attribution) == ("ab?", {"source": "?"})


def test_text_is_truncated_to_its_column():
    assert len(parse_end(external_id="x" * 5000).external_id) == 100
    assert len(parse({"event": "recorded", "call_session_id": 5, "file_link": "x" * 5000}).link) == 2000


@pytest.mark.parametrize("depth", [1, 100, 500, 900, 950, 980, 1000, 1100, 30_000])
@pytest.mark.parametrize("field", ["call_session_id", "is_lost", "start_time", "employee_ids", "event", "other"])
def test_deep_nesting_is_handled(field, depth):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        body = f'{{"event": "call_end", "call_session_id": 5, "{field}": {opening * depth}1{closing * depth}}}'
        parse(body)


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
def test_64_kib_of_junk_are_parsed_in_linear_time(junk):
    assert isinstance(parse(junk), Unreadable)
    assert_linear(parse, junk)
    assert_linear(lambda part: parse(query=part), junk)


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
    | st.dictionaries(st.sampled_from(NAMES), VALUES).map(lambda values: json.dumps(END | values))
    | st.dictionaries(st.sampled_from(NAMES), st.text()).map(lambda values: urlencode(values, errors="replace"))
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
def test_parser_never_raises(body, query, event):
    parsed = parse(body, query=query, event=event)
    assert parsed.key


@pytest.mark.slow
@given(values=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_parsed_value_can_be_stored(values):
    for event in ("call_end", "recorded"):
        found = parse({"call_session_id": 5} | values, event=event)
        for value in vars(found).values():
            stored = str(value)
            stored.encode()
            assert "\0" not in stored
