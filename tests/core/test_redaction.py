"""Redaction of log records and error reports."""

import io
import json
import logging
import re
import sys
import threading
from datetime import datetime
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.contextvars import bind_contextvars

from connector_project.core import logging as core_logging
from connector_project.core import redaction
from tests.linear_time import assert_linear

HOOK = "Zk3xQ9w_hook-secret"
LINK = "https://app.uiscom.ru/system/media/talk/3960000001/0123456789abcdef0123456789abcdef/"


@pytest.mark.parametrize("name", ["", "django", "django.request", "django.security", "django.server", "django-q"])
def test_every_log_handler_redacts(name):
    """Django adds its own handlers, which write paths unredacted."""
    # Other classes are handlers of the test runner.
    own = [one for one in logging.getLogger(name).handlers if type(one) is logging.StreamHandler]
    assert [one for one in own if not isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)] == []


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        (f"POST /hooks/uis/{HOOK}/waiting/ 200", "POST /hooks/uis/***/waiting/ 200"),
        (f"GET /hooks/uis/{HOOK}?event=waiting", "GET /hooks/uis/***?event=waiting"),
        (f'"/hooks/retailcrm/{HOOK}/make-call/"', '"/hooks/retailcrm/***/make-call/"'),
        (f"/activate/{HOOK}/", "/activate/***/"),
        (f"/reconnect/{HOOK}/", "/reconnect/***/"),
        (f"/records/{HOOK}.mp3", "/records/***"),
        ("?clientId=c0ffee&code=101", "?clientId=***&code=101"),
        ("clientid=c0ffee", "clientid=***"),
        ("apiKey=abc api_key=abc access_token=abc", "apiKey=*** api_key=*** access_token=***"),
        ("token=abc; key: abc, secret = abc", "token=*** key: ***, secret = ***"),
        ("X-API-KEY: fakeApiKey0000", "X-API-KEY: ***"),
        ('{"apiKey": "abc", "code": "101"}', '{"apiKey": "***", "code": "101"}'),
        ("{'access_token': 'abc', 'code': '101'}", "{'access_token': '***', 'code': '101'}"),
        ('{\\"access_token\\": \\"abc\\"}', '{\\"access_token\\": \\"***\\"}'),
        (f"link {LINK} heard", "link [recording] heard"),
        (f'"{LINK}"', '"[recording]"'),
        ("https://media.uiscom.ru/3960000001/0123456789abcdef", "[recording]"),
        ("from 79990000001 to +74950000001", "from 7999***0001 to +7495***0001"),
        ("Call from 79990000001.", "Call from 7999***0001."),
        ("contact=79990000001,number=74950000001", "contact=7999***0001,number=7495***0001"),
        ("contact: 79990000001: busy", "contact: 7999***0001: busy"),
        ('{"phone":79990000001}', '{"phone":7999***0001}'),
        ('{"phone":"79990000001"}', '{"phone":"7999***0001"}'),
        ("?phone=%2B79990000001&x=1", "?phone=%2B7999***0001&x=1"),
        ("(79990000001)", "(7999***0001)"),
        ('{"name":"Ivan\\n79990000001 \\u002b79990000001"}', '{"name":"Ivan\\n7999***0001 \\u002b7999***0001"}'),
        ("a%3D79990000001", "a%3D7999***0001"),
        ("at +7 999 000-00-01, 8 (999) 000-00-01", "at +7999***0001, 8999***0001"),
        ("8-999-000-00-01 +7(999)0000001", "8999***0001 +7999***0001"),
        ('"(495) 000-00-01", "+372 5123 4567"', '"495***0001", "+3725***4567"'),
        (LINK.replace("/", "\\/"), "[recording]"),
        (f"file_link={quote(LINK, safe='')}&b=1", "file_link=[recording]&b=1"),
        (f"a={quote(LINK, safe='')}", "a=[recording]"),
        ('{"file_link": "https://rec.example.com/1"}', '{"file_link": "[recording]"}'),
        ('{"record_file_links":["https://rec.example.com/1"]}', '{"record_file_links":["[recording]"]}'),
        ("Petrov (102) 12345", "Petrov (102) 12345"),
        ("extension 101, number 12345", "extension 101, number 12345"),
        ("nothing to hide", "nothing to hide"),
        ("", ""),
    ],
)
def test_redact_hides_secrets_and_numbers(line, hidden):
    assert redaction.redact(line) == hidden


SECRET = "S3cr3tUisToken_1234567890-abc"


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer {}",
        "-H 'Authorization: Bearer {}'",
        "bearer {}",
        "{{'Authorization': 'Bearer {}'}}",
        '{{"authorization":"Basic {}="}}',
        "Authorization: {}",
        "Cookie: a=b; sessionid={}",
        "{{'HTTP_COOKIE': 'csrftoken={}; sessionid={}'}}",
        "X-API-KEY: {}",
        "manage.py add_tenant Daisy --uis-token {} --crm-key {}",
        "manage.py add_tenant --uis-token={} --crm-key={}",
        "['manage.py', 'add_tenant', '--uis-token', '{}', '--crm-key', '{}']",
        '["--password", "{}"]',
        "unrecognized arguments: --crm-key {}",
        "hook={}",
        "old_hook: {}",
        "{{'hook': '{}'}}",
        "password={}",
        "password: '{} with blanks {}'",
        'passwd="{}"',
        "postgres://user:{}@host/db",
        "postgres://user:{}/with/slashes@host:5432/db",
        "postgres://user:{}@with@at@host/db",
        "redis://:{}@10.0.0.1:6379/0",
        "smtp+tls://me%40example.com:{}@mail.example.com:587",
        "https://{}@sentry.example.com/1",
        "dsn={}",
        "access_token {}",
        "clientId {}",
        "api_key  {}",
        "the key {} is used",
        "token {}",
        "SECRET_KEY={}",
        "FIELD_ENCRYPTION_KEYS={}",
        "UIS_TOKEN={}",
        '{{"secret_key": "{}"}}',
        "{{'tokens': '{}'}}",
        "whsec_{}",
        "gAAAAABm{}{}",
        "/hooks/uis/{}/call_end",
        "%2Fhooks%2Fuis%2F{}%2Fcall_end",
        "\\/hooks\\/retailcrm\\/{}\\/make-call",
        "?next=%2Factivate%2F{}%2F",
        "?token={}&x=1",
        "%3Ftoken%3D{}",
        "[('X-API-KEY', '{}'), ('a', 'b')]",
        "(b'X-API-KEY', b'{}')",
        '["apiKey", "{}"]',
    ],
)
def test_secret_is_hidden_in_every_form(line):
    assert SECRET not in redaction.redact(line.format(*[SECRET] * line.count("{}")))
    assert SECRET[1:] not in redaction.redact(line.format(*[SECRET] * line.count("{}")))


@pytest.mark.parametrize(
    "line",
    [
        "The key file keys.txt has no key in its first line.",
        "token expired; the key is unknown or revoked",
        "access_token is invalid",
        "password is too short",
        "secret of the tenant romashka",
        "basic settings, bearer of",
        "https://connector.example.com/admin/tenants/tenant/1/change/?q=a@example.com",
        "from olga@example.com to http://127.0.0.1:8000/",
        "FATAL: password authentication failed for user",
        "duplicate key value violates unique constraint",
        "manage.py add_tenant --crm-key-file keys.txt --uis-token-file -",
        "GET /hooks/uis/ 404",
    ],
)
def test_text_without_secrets_stays_readable(line):
    assert redaction.redact(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "tenant=romashka call=3960000001",
        "session=3960000001 ended",
        "notification=1234567890",
        "command=1234567890 pk=1234567890",
        "externalId uis-3960000001",
        "at 1730000000.1234567890",
        "2026-11-23 09:16:11,123 INFO",
        "port 127.0.0.1:5432",
        "2026-11-23T09:16:11+03:00 +0300",
        "8 2026-11-23 10 of 12 (28) 3",
        "digest 1234567890abcdef1234567890",
    ],
)
def test_redact_keeps_ids_and_times(line):
    assert redaction.redact(line) == line


def test_session_id_without_a_prefix_is_masked_like_a_phone_number():
    assert redaction.redact("3960000001") == "396***0001"


@given(st.text(max_size=300))
def test_redact_is_idempotent(line):
    assert redaction.redact(redaction.redact(line)) == redaction.redact(line)


@pytest.mark.parametrize(
    "prefix",
    ["https://", "file_link=", "+7 ", "(123)", "8 ", "token", "--", "--a-", "://a:", "Bearer ", "Cookie:", "key "],
)
def test_repeated_prefixes_are_redacted_in_linear_time(prefix):
    assert_linear(redaction.redact, prefix * 10_000)


@pytest.fixture(params=["stdlib", "structlog"])
def log(request):
    """Return what our handler writes for a record of the standard library, and for one of ours."""

    def write(style, message, *, fault=None, **fields):
        stream, config = io.StringIO(), core_logging.logging_config(level="INFO", style=style)
        formatter = dict(config["formatters"]["redacted"])
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter.pop("()")(**formatter))
        target = logging.getLogger("connector.test")
        target.addHandler(handler)
        logger = core_logging.logger("connector.test") if request.param == "structlog" else target
        if request.param == "stdlib" and fields:
            message, fields = f"{message} {fields}", {}
        try:
            _log(logger, message, fault, fields)
        finally:
            target.removeHandler(handler)
        return stream.getvalue()

    structlog.contextvars.clear_contextvars()
    yield write
    structlog.contextvars.clear_contextvars()


def _log(logger, message, fault, fields):
    if fault is None:
        logger.warning(message, **fields)
        return
    try:
        raise fault
    except type(fault):
        logger.exception(message, **fields)


def test_text_line_is_redacted(log):
    bind_contextvars(tenant="romashka", call=3960000001)
    written = log("text", f"from 79990000001 with token=abc by {LINK}")
    head = "WARNING connector.test from 7999***0001 with token=*** by [recording]"
    assert re.fullmatch(rf"\S+Z {re.escape(head)} call=3960000001 tenant=romashka\n", written)


@pytest.mark.parametrize("style", ["text", "json"])
def test_fields_are_redacted(log, style):
    written = log(style, "request failed", error=f"{LINK} refused 79990000001", extra={"token": "abc"})
    for secret in (LINK, "79990000001", "abc"):
        assert secret not in written
    assert "7999***0001" in written


def test_message_that_is_not_text_is_logged(log):
    assert "100 % done" in log("text", "100 % done")
    assert "abc" not in log("text", {"token": "abc"})


@pytest.mark.parametrize("style", ["text", "json"])
def test_traceback_is_redacted(log, style):
    written = log(style, "failed", fault=ValueError(f"{LINK} apiKey=abc 79990000001"))
    assert "ValueError: [recording] apiKey=*** 7999***0001" in written
    assert LINK not in written


def test_json_line_is_one_redacted_object(log):
    bind_contextvars(tenant="romashka", call=3960000001)
    written = log("json", "Иван from 79990000001")
    record = json.loads(written)
    assert written.count("\n") == 1
    assert datetime.fromisoformat(record.pop("at")).tzinfo is not None
    assert record == {
        "level": "WARNING",
        "logger": "connector.test",
        "message": "Иван from 7999***0001",
        "tenant": "romashka",
        "call": 3960000001,
    }


def test_task_begins_without_the_fields_of_another(log):
    bind_contextvars(tenant="romashka")
    core_logging.bind_task(task={"func": "crm.tasks.probe"})
    record = json.loads(log("json", "failed"))
    assert (record.get("tenant"), record["task"]) == (None, "crm.tasks.probe")


@pytest.fixture
def _hooks(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    core_logging.log_uncaught_exceptions()


@pytest.mark.usefixtures("_hooks")
@pytest.mark.parametrize("where", ["process", "thread"])
def test_uncaught_exception_is_logged_not_printed(capsys, where):
    stream, fault = io.StringIO(), ValueError("clientId=c0ffee")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(core_logging.make_formatter(style="text"))
    target = logging.getLogger(core_logging.__name__)
    target.addHandler(handler)
    target.propagate = False
    try:
        if where == "process":
            sys.excepthook(ValueError, fault, None)
        else:
            threading.excepthook(threading.ExceptHookArgs((ValueError, fault, None, None)))
    finally:
        target.propagate = True
        target.removeHandler(handler)
    assert "uncaught exception\nValueError: clientId=***\n" in stream.getvalue()
    assert "c0ffee" not in capsys.readouterr().err


@pytest.mark.usefixtures("_hooks")
def test_interrupt_is_printed_as_ever(caplog, capsys):
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert caplog.records == []
    assert "KeyboardInterrupt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("event", "redacted"),
    [
        ({"request": {"url": f"/hooks/uis/{HOOK}/"}, "level": "error"}, {"level": "error"}),
        ({"server_name": "web-1", "extra": {"sys.argv": ["a", "--b", "c"], "x": 1}}, {"extra": {"x": 1}}),
        ({"message": '{"access_token": "abc"}'}, {"message": '{"access_token": "***"}'}),
        ({"message": 'GET "/x?token=abc"'}, {"message": 'GET "/x?token=***"'}),
        ({"message": "path \\"}, {"message": "path \\"}),
        ({"extra": {"session_id": 3960000001}}, {"extra": {"session_id": 3960000001}}),
        (
            {"extra": {"access_token": "'abc'", "apiKey": "", "x": None}},
            {"extra": {"access_token": "***", "apiKey": "", "x": None}},
        ),
        (
            {"breadcrumbs": [{"message": "79990000001"}, ("79990000001", 1.5, True)]},
            {"breadcrumbs": [{"message": "7999***0001"}, ["7999***0001", 1.5, True]]},
        ),
        ({"extra": {"error": ValueError("token=abc")}}, {"extra": {"error": "token=***"}}),
        ({"exception": {"values": [{"value": LINK}]}}, {"exception": {"values": [{"value": "[recording]"}]}}),
    ],
)
def test_error_report_is_redacted_and_keeps_its_structure(event, redacted):
    assert redaction.sentry_before_send(event, None) == redacted


WORDS = st.sampled_from(["token", "message", '"token": "abc"', "token=abc\\", "79990000001"]) | st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50)
@given(st.dictionaries(WORDS, JSON, max_size=3))
def test_error_report_stays_serialisable(event):
    json.dumps(redaction.sentry_before_send(event, None))


def test_settings_import_the_same_module():
    assert sys.modules["connector_project.core.redaction"] is redaction


def test_names_in_an_error_report_are_redacted():
    event = {"extra": {"79990000001": {f"by {LINK}": 1}}}
    assert redaction.sentry_before_send(event, None) == {"extra": {"7999***0001": {"by [recording]": 1}}}
