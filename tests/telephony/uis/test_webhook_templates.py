"""Our webhook templates, filled in and parsed, and the faults of templates people typed."""

import functools
import json
import re
from dataclasses import asdict
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telephony.uis import webhook_templates, webhooks
from telephony.uis.call_facts import ATTRIBUTION
from telephony.uis.types import Event, ParseError, Unreadable
from telephony.uis.webhook_templates import (
    EVENTS,
    TemplateCode,
    TemplateFault,
    event_of,
    faults,
    is_fatal,
    needed,
    template,
)
from tests.fakes import uis
from tests.fakes.uis_webhooks import FakeNotification, to_query
from tests.telephony.uis.samples import MOSCOW, text

CALLER, OWN, IVAN = "79990000001", "74950000001", 300001
READABLE = [
    ("notification_waiting.flat.json", "waiting"),
    ("notification_outgoing.flat.json", "outgoing"),
    ("notification_talk_started.flat.json", "talk_started"),
    ("notification_call_end.flat.json", "call_end"),
    ("notification_call_end.flat.lost.json", "call_end"),
    ("notification_call_end.flat.real_2019.json", "call_end"),
    ("notification_call_end.nested.json", "call_end"),
    ("notification_lost_call.flat.json", "lost_call"),
    ("notification_recorded.flat.json", "recorded"),
    ("notification_recorded.nested.json", "recorded"),
    ("notification_incoming.flat.json", "incoming"),
    ("notification_talk_finished.flat.json", "talk_finished"),
]


def add_account():
    account = uis.FakeUis().add_account()
    account.add_employee(IVAN, "Иванов Иван", extension="101")
    account.add_number(OWN)
    return account


@functools.cache
def make_notification(event):
    """Return the fake's notification of a call in which this event happens."""
    call_values = {"outgoing": {"direction": "out", "talks": [(IVAN, 30)]}, "lost_call": {"rings": [IVAN]}}
    values_of_call = call_values.get(event, {"rings": [IVAN], "talks": [(IVAN, 30)]})
    return FakeNotification(add_account().call(contact=CALLER, number=OWN, **values_of_call), str(event))


def fill(template_text, event, **changed):
    """Fill in a template as UIS does: every macro becomes its JSON value."""
    values = make_notification(event).macros() | changed
    return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]], ensure_ascii=False), template_text)


def parse(body, *, path="", query=""):
    return webhooks.parse(query, body, event=path, zone=MOSCOW, region="RU")


def without(body, *names):
    """Remove the lines of these fields from a template or a filled-in body."""
    kept = [line for line in body.splitlines() if not any(f'"{name}"' in line for name in names)]
    return re.sub(r",\n\}$", "\n}", "\n".join(kept))


def codes(*args):
    return [fault.code.value for fault in faults(*args)]


# --- our templates


@pytest.mark.parametrize("event", EVENTS)
def test_filled_template_parses_like_the_full_published_one(event):
    body = fill(template(event), event)
    parsed = asdict(parse(body))
    assert parsed == asdict(parse(json.dumps(make_notification(event).flat())))
    assert parsed["event"] == event
    assert faults("", "", body) == faults(event, "", body) == []


@pytest.mark.parametrize("event", EVENTS)
def test_template_has_every_needed_macro_and_no_unused_one(event):
    names = re.findall(r"\{\{(\w+)\}\}", template(event))
    attribution = {macro for known in ATTRIBUTION.values() for macro in known.macros}
    assert set(names) <= set(webhooks._Body.model_fields) | attribution
    assert set(needed(event)) <= set(names)
    assert len(set(names)) == len(names)
    assert needed(event)[0] == "call_session_id"


@pytest.mark.parametrize("event", EVENTS)
def test_template_without_a_needed_line_has_a_fault(event):
    for name in needed(event):
        body = fill(without(template(event), name, "is_lost"), event)
        missing, no_session = TemplateFault(TemplateCode.MISSING, (name,)), TemplateFault(TemplateCode.NO_SESSION)
        assert faults(event, "", body) == [no_session if name == "call_session_id" else missing]


def test_template_has_the_format_of_the_samples():
    assert template(Event.OUTGOING) == (
        "{\n"
        '  "event": "outgoing",\n'
        '  "notification_time": {{notification_time}},\n'
        '  "virtual_phone_number": {{virtual_phone_number}},\n'
        '  "contact_phone_number": {{contact_phone_number}},\n'
        '  "employee_id": {{employee_id}},\n'
        '  "call_session_id": {{call_session_id}}\n'
        "}"
    )


@pytest.mark.parametrize("event", ["waiting", "call_end", "lost_call", "recorded"])
def test_template_has_the_lines_of_the_published_one_in_order(event):
    published = text(f"templates/{event}.txt").replace(",\n", "\n").splitlines()
    ours = template(Event(event)).replace(",\n", "\n").splitlines()
    # Of other published templates of the same event: docs/call-facts.md.
    elsewhere = {"call_end": "cpn_region_name", "recorded": "tag_names"}.get(event, "")
    assert [line for line in published if line in ours] == [
        line for line in ours if not elsewhere or elsewhere not in line
    ]
    omitted = {"notification_name", "notification_mnemonic", "contact_id", "employee_full_name", "file_duration"}
    assert {re.findall(r"\w+", line)[0] for line in published if line not in ours} <= omitted


def test_titles_are_those_of_the_uis_account():
    assert webhook_templates.title(Event.WAITING) == webhook_templates.Title(
        "Ожидание ответа", "Waiting for the answer"
    )
    assert [webhook_templates.title(event).russian for event in EVENTS] == [
        "Ожидание ответа",
        "Исходящий звонок",
        "Начало разговора",
        "Завершение звонка",
        "Потерянный звонок",
        "Записанный разговор",
    ]


# --- no faults


@pytest.mark.parametrize(("name", "event"), READABLE)
def test_sample_with_its_event_in_the_url_has_no_fault(name, event):
    assert faults(event, "", text(name)) == []


@pytest.mark.parametrize("event", EVENTS)
def test_default_body_of_uis_has_no_fault(event):
    body = make_notification(event).nested()
    assert faults("", "", json.dumps(body)) == []
    del body["event"]
    assert faults(event, "", json.dumps(body)) == []


@pytest.mark.parametrize("event", EVENTS)
def test_query_string_has_no_fault(event):
    assert faults("", to_query(make_notification(event).flat()), "") == []


def test_form_body_has_no_fault():
    assert faults("", "", to_query(make_notification("waiting").flat())) == []


@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("event", EVENTS)
def test_empty_value_is_not_a_missing_field(event, empty):
    empty_values = dict.fromkeys(needed(event)[1:], empty)
    assert faults(event, "", fill(template(event), event, **empty_values)) == []


def test_field_with_the_same_information_replaces_a_missing_one():
    body = without(fill(template(Event.CALL_END), "call_end"), "talk_time_duration", "notification_time")
    assert codes("", "", body) == ["MISSING"]
    body = body.replace("{", '{"notification_timestamp": 1729840306,')
    assert faults("", "", body) == []
    assert faults("", "", without(body, "is_lost")) == [TemplateFault(TemplateCode.MISSING, ("talk_time_duration",))]


def test_event_without_a_template_of_ours_has_no_missing_field():
    assert faults("talk_finished", "", '{"call_session_id": 5}') == []


# --- one fault


@pytest.mark.parametrize("body", ["", " \n", "{}", "\ufeff"])
def test_empty_body_is_a_fault(body):
    assert faults("waiting", "", body) == [TemplateFault(TemplateCode.EMPTY)]


@pytest.mark.parametrize("body", ["waiting", "[]", '{"event": "waiting"', '{"event": waiting}', "{“event”: “waiting”}"])
def test_body_that_is_not_json_is_a_fault(body):
    assert faults("waiting", "", body) == [TemplateFault(TemplateCode.NOT_JSON)]


@pytest.mark.parametrize("event", EVENTS)
def test_quotes_around_macros_are_a_fault(event):
    body = fill(template(event).replace("{{", '"{{').replace("}}", '}}"'), event)
    doubled = re.findall(r'"(\w+)": ""', body)
    assert "contact_phone_number" in doubled
    assert faults("", "", body) == [TemplateFault(TemplateCode.QUOTED, tuple(doubled))]
    assert not isinstance(parse(body), Unreadable)


def test_quoted_field_is_listed_once_and_only_with_a_plain_name():
    body = '{"event": "incoming", "call_session_id": 5, "a": {"b": ""x""}, "c": {"b": ""x""}, "d-e": ""x""}'
    assert faults("", "", body) == [TemplateFault(TemplateCode.QUOTED, ("b",))]


def test_quotes_inside_a_value_or_a_form_are_no_fault():
    body = fill(template(Event.WAITING), "waiting", external_id='say ""x"", "a": ""y""')
    assert faults("", "", body) == []
    assert codes("", "", 'event=waiting&a="b": ""x"", &call_session_id=5') == ["MISSING"]


@pytest.mark.parametrize("left", ['"{{leg_id}}"', "{{leg_id}}", "{{ leg_id }}", '"leg_id"', "leg_id", '"{{leg_no}}"'])
def test_unresolved_macro_in_a_body_is_a_fault(left):
    body = fill(template(Event.WAITING).replace("{{leg_id}}", "@@"), "waiting").replace("@@", left)
    assert faults("", "", body) == [TemplateFault(TemplateCode.UNRESOLVED, ("leg_id",))]
    assert not isinstance(parse(body), Unreadable)


@pytest.mark.parametrize("left", ["{{leg_id}}", "%7B%7Bleg_id%7D%7D", "leg_id", "%22leg_id%22"])
def test_unresolved_macro_in_a_query_string_is_a_fault(left):
    query = re.sub(r"leg_id=\d+", f"leg_id={left}", to_query(make_notification("waiting").flat()))
    assert faults("", query, "") == [TemplateFault(TemplateCode.UNRESOLVED, ("leg_id",))]


def test_unresolved_macro_in_a_group_is_a_fault():
    body = make_notification("waiting").nested()
    body["employee_info"] = {"employee_id": IVAN, "employee_email": "{{employee_email}}"}
    assert faults("", "", json.dumps(body)) == [TemplateFault(TemplateCode.UNRESOLVED, ("employee_email",))]


def test_body_of_another_event_than_the_url_is_a_fault():
    body = fill(template(Event.CALL_END), "call_end")
    assert faults("waiting", "", body) == [TemplateFault(TemplateCode.WRONG_EVENT, ("waiting", "call_end"))]


def test_unknown_event_in_the_body_contradicts_the_url():
    body = fill(template(Event.WAITING), "waiting").replace('"event": "waiting"', '"event": "Ringing"')
    assert faults("waiting", "", body) == [TemplateFault(TemplateCode.WRONG_EVENT, ("waiting", "ringing"))]


def test_event_in_another_letter_case_has_no_fault():
    body = fill(template(Event.WAITING), "waiting").replace('"event": "waiting"', '"event": " Waiting"')
    assert faults("WAITING ", "", body) == []


def test_missing_event_is_a_fault():
    body = without(fill(template(Event.WAITING), "waiting"), "event")
    assert faults("", "", body) == [TemplateFault(TemplateCode.NO_EVENT)]


@pytest.mark.parametrize(("path", "word"), [("", "ringing"), ("wating", "wating")])
def test_unknown_event_is_a_fault(path, word):
    body = fill(template(Event.WAITING), "waiting")
    if not path:
        body = body.replace('"event": "waiting"', '"event": "ringing"')
    assert faults(path, "", body) == [TemplateFault(TemplateCode.UNKNOWN_EVENT, (word,))]


@pytest.mark.parametrize("session", [None, "", 0, "invalid", -1])
def test_invalid_session_is_a_fault(session):
    body = fill(template(Event.WAITING), "waiting", call_session_id=session)
    assert faults("", "", body) == [TemplateFault(TemplateCode.NO_SESSION)]


# --- several faults


def test_several_faults_are_sorted_by_severity():
    body = (
        '{"event": "call_end", "contact_phone_number": ""79990000001"", "call_session_id": {{call_session_id}}, '
        '"employee_id": "employee_id"}'
    )
    assert faults("waiting", "", body) == [
        TemplateFault(TemplateCode.NO_SESSION),
        TemplateFault(TemplateCode.WRONG_EVENT, ("waiting", "call_end")),
        TemplateFault(TemplateCode.QUOTED, ("contact_phone_number",)),
        TemplateFault(TemplateCode.UNRESOLVED, ("call_session_id", "employee_id")),
        TemplateFault(TemplateCode.MISSING, ("notification_time", "virtual_phone_number", "direction")),
    ]


def test_quotes_in_a_body_that_cannot_be_repaired_are_a_fault():
    body = '{"event": "waiting", "external_id": ""a"", "tag_names": "["b"]"}'
    assert faults("", "", body) == [
        TemplateFault(TemplateCode.NOT_JSON),
        TemplateFault(TemplateCode.QUOTED, ("external_id",)),
    ]


def test_samples_of_broken_templates_have_their_faults():
    assert faults("call_end", "", text("notification_unresolved_macros.json")) == [
        TemplateFault(TemplateCode.UNRESOLVED, ("is_lost", "employee_id")),
        TemplateFault(TemplateCode.MISSING, ("contact_phone_number", "direction")),
    ]
    assert codes("call_end", "", text("notification_call_end.double_quoted.txt")) == ["QUOTED", "MISSING"]


def test_field_names_of_a_fault_are_limited_and_printable():
    many = {f"{number}" + "x" * 5000: "{{a}}" for number in range(100)}
    found = faults("incoming", "", json.dumps({"call_session_id": 5, "\0\ud800": "{{a}}"} | many))
    assert [fault.code for fault in found] == [TemplateCode.UNRESOLVED]
    assert len(found[0].names) == 20
    assert found[0].names[0] == "?"
    assert {len(name) for name in found[0].names[1:]} == {60}


# --- fatal faults


@pytest.mark.parametrize("code", [fault.value for fault in ParseError])
def test_unreadable_body_is_a_fatal_fault(code):
    assert is_fatal(TemplateFault(TemplateCode(code)), Event.RECORDED)


@pytest.mark.parametrize(
    ("code", "names", "event", "is_fatal_fault"),
    [
        ("MISSING", ["notification_time", "employee_id"], Event.WAITING, True),
        ("MISSING", ["notification_time"], Event.WAITING, False),
        ("MISSING", ["contact_phone_number"], Event.LOST_CALL, True),
        ("MISSING", ["talk_time_duration"], Event.CALL_END, True),
        ("MISSING", ["direction"], Event.CALL_END, False),
        ("UNRESOLVED", ["file_link"], Event.RECORDED, True),
        ("UNRESOLVED", ["employee_id"], Event.RECORDED, False),
        ("UNRESOLVED", ["call_session_id"], Event.RECORDED, True),
        ("QUOTED", ["file_link"], Event.RECORDED, False),
        ("WRONG_EVENT", ["waiting", "call_end"], Event.WAITING, True),
        ("WRONG_EVENT", ["waiting", "ringing"], Event.WAITING, False),
    ],
)
def test_fault_in_an_important_field_is_fatal(code, names, event, is_fatal_fault):
    assert is_fatal(TemplateFault(TemplateCode(code), tuple(names)), event) is is_fatal_fault


# --- recognising the event


@pytest.mark.parametrize(
    ("path", "query", "body", "event"),
    [
        ("waiting", "", '{"event": "call_end"}', "waiting"),
        (" Waiting", "", "", "waiting"),
        ("wating", "", '{"event": "waiting"}', "waiting"),
        ("", "event=recorded", "", "recorded"),
        ("", "event=%22recorded%22", '{"broken', "recorded"),
        ("", "", '{"event": "Call_End "}', "call_end"),
        ("", "", '{"event": ""call_end""}', "call_end"),
        ("", "", '{"event": "call_end", broken', "call_end"),
        ("", "", "{event: call_end}", "call_end"),
        ("", "", "{“event”: “call_end”}", "call_end"),
        ("", "", "[{'EVENT' : 'lost_call'}]", "lost_call"),
        ("", "", '{"event": "ringing", "event": "waiting"', "waiting"),
        ("", "", '{"my_event": "waiting", "event_name": "waiting"', ""),
        ("", "", '{"event": "ringing"}', ""),
        ("", "", '{"event": ["waiting"]}', "waiting"),
        ("", "", '{"event": {}}', ""),
        ("", "", "", ""),
        ("ringing", "a=1", "words", ""),
    ],
)
def test_event_is_recognised_in_an_invalid_request(path, query, body, event):
    assert event_of(path, query, body) == event


# --- any input

PIECES = ['"', "{", "}", ":", ",", "{{a}}", '"event"', "call_end", "[", "]", "=", "&", "\\", " ", '""', "\n", "\ud800"]
NAMES = st.sampled_from(["event", *needed(Event.WAITING), "talk_time_duration", "is_lost", "contact_info", "\ud800"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(["{{x}}", "null", "", "employee_id", "waiting", "event", " CALL_END", "\0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
BODIES = (
    st.binary().map(lambda raw: raw.decode(errors="replace"))
    | st.lists(st.sampled_from(PIECES)).map("".join)
    | st.dictionaries(NAMES, VALUES).map(json.dumps)
    | st.tuples(st.sampled_from([template(event) for event in EVENTS]), st.integers(0, 400)).map(
        lambda cut: cut[0][: cut[1]]
    )
)
PATHS = st.sampled_from(["", " ", "waiting", "CALL_END", "talk_finished", "odd", "\ud800", "\0"])


@given(path=PATHS, query=BODIES, body=BODIES)
@example(path="", query="", body='{"event": "\\u0000waiting", "call_session_id": 5}')
@example(path="\ud800", query="\ud800", body="\ud800")
def test_faults_agree_with_the_parser_for_any_input(path, query, body):
    found = faults(path, query, body)
    cleaned = [part.replace("\0", "").encode(errors="replace").decode() for part in (query, body, path)]
    parsed = webhooks.parse(cleaned[0], cleaned[1], event=cleaned[2], zone=ZoneInfo("UTC"), region="RU")
    unreadable = [fault.code.value for fault in found if fault.code.value in set(ParseError)]
    assert unreadable == ([parsed.error.value] if isinstance(parsed, Unreadable) else [])
    for fault in found:
        for name in fault.names:
            name.encode()
    if not unreadable:
        assert event_of(path, query, body) == parsed.event


@pytest.mark.parametrize("depth", [100, 980, 1000, 30_000])
def test_deep_nesting_is_handled(depth):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        body = f'{{"event": {opening * depth}1{closing * depth}, "call_session_id": 5}}'
        assert codes("", "", body)[0] in {"NO_EVENT", "NOT_JSON"}
        event_of("", "", body)
