"""Every invalid value prevents the start with an error that names its variable."""

import base64
import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from connector_project import env
from connector_project.env import reader

NAME = "CONNECTOR_TEST"
KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


def database(name: str):
    return env.database(name, default="sqlite:///x")


def base_url(name: str):
    return env.base_url(name, default="")


def fernet_keys(name: str):
    return env.fernet_keys(name, is_debug=False, debug_default=KEY)


def number(name: str):
    return env.number(name, default=4)


def one_of(name: str):
    return env.one_of(name, default="a", allowed=("a", "b"))


def secret(name: str):
    return env.secret(name, is_debug=False, debug_default="default")


def webhook(name: str):
    return env.webhook(name, trusted=["127.0.0.1:9000", "ops.internal:80"])


def webhook_secret(name: str):
    return env.webhook_secret(name, is_needed=True)


def alert_receivers(name: str):
    return env.mail_addresses(name, languages=("ru", "en"))


def mail_sender(name: str):
    return env.mail_sender(name, default="connector@example.com")


def signing(size: int) -> str:
    return "whsec_" + base64.b64encode(b"s" * size).decode()


@pytest.fixture
def set_to(monkeypatch):
    """Set the variable; None removes it."""
    monkeypatch.setattr(reader.ENVIRON, "files_cache", {})

    def set_value(value: str | None) -> None:
        monkeypatch.delenv(f"{NAME}_FILE", raising=False)
        if value is None:
            monkeypatch.delenv(NAME, raising=False)
        else:
            monkeypatch.setenv(NAME, value)

    return set_value


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (secret, None),
        (secret, ""),
        (secret, "  "),
        (number, "0"),
        (number, "-1"),
        (number, "four"),
        (number, "4.5"),
        (number, "²"),
        (number, "٤"),
        (database, "mysql://user:hidden@host/name"),
        (database, "postgres"),
        (database, "postgres://user:hidden@host:port/name"),
        (database, "postgres://user:hid[den@host/name"),
        (database, "https://example.com"),
        (env.boolean, "maybe"),
        (env.boolean, "2"),
        (env.boolean, "ja"),
        (base_url, "connector.example.com"),
        (base_url, "ftp://connector.example.com"),
        (base_url, "https://"),
        (base_url, "https://host:port"),
        (base_url, "https://host:99999"),
        (base_url, "https://[::1"),
        (fernet_keys, None),
        (fernet_keys, ""),
        (fernet_keys, " , "),
        (fernet_keys, "short"),
        (fernet_keys, "ключ"),
        (fernet_keys, f"{KEY},short"),
        (fernet_keys, base64.urlsafe_b64encode(b"k" * 31).decode()),
        (env.networks, "10.0.0.0/33"),
        (env.networks, "10.0.0.1/8"),
        (env.networks, "host"),
        (env.outbound_addresses, "203.0.113.256"),
        (env.outbound_addresses, "203.0.113.10/24"),
        (env.outbound_addresses, "203.0.113.10 203.0.113.11"),
        (env.outbound_addresses, "203.0.113.10,connector.example.com"),
        (env.outbound_addresses, "https://203.0.113.10"),
        (env.outbound_addresses, "203.0.113.10:443"),
        (env.outbound_addresses, "0.0.0.0/0"),
        (env.outbound_addresses, "::/0"),
        (env.outbound_addresses, "0.0.0.0"),
        (env.outbound_addresses, "224.0.0.1"),
        (env.outbound_addresses, "2001:db8::1::2"),
        (env.networks, "10.0.0.0/8,host"),
        (env.host_ports, "host"),
        (env.host_ports, "host:"),
        (env.host_ports, ":80"),
        (env.host_ports, "host:port"),
        (env.host_ports, "host:0"),
        (env.host_ports, "host:65536"),
        (env.host_ports, "host:²"),
        (env.host_ports, "good:80,bad"),
        (one_of, "c"),
        (one_of, "A"),
        (env.mail_server, "mail.example.com"),
        (env.mail_server, "imap://user:hidden@mail.example.com"),
        (env.mail_server, "smtp://"),
        (env.mail_server, "smtp+tls://user:hidden@mail.example.com:port"),
        (env.mail_server, "smtp://user:hid[den@mail.example.com"),
        (env.mail_server, "smtp://mail.example.com?timeout=5"),
        (env.mail_addresses, "ops"),
        (env.mail_addresses, "ops@example.com,boss"),
        (alert_receivers, "de:ops@example.com"),
        (alert_receivers, ":ops@example.com"),
        (alert_receivers, "en:ops"),
        (alert_receivers, "en:"),
        (alert_receivers, "en:ru:ops@example.com"),
        (mail_sender, "Connector"),
        (mail_sender, "Connector <connector>"),
        (webhook, "ops.example.com/hidden"),
        (webhook, "http://ops.example.com/hidden"),
        (webhook, "http://127.0.0.1:9001/hidden"),
        (webhook, "https://ops.example.com:port/hidden"),
        (webhook_secret, None),
        (webhook_secret, "whsec_hidden"),
        (webhook_secret, signing(23)),
        (webhook_secret, signing(65)),
    ],
)
def test_invalid_value_raises_with_the_variable_name(set_to, read, value):
    set_to(value)
    with pytest.raises(ImproperlyConfigured) as raised:
        read(NAME)
    assert NAME in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (secret, "abc", "abc"),
        (secret, " abc\n", "abc"),
        (number, None, 4),
        (number, "", 4),
        (number, " 7 ", 7),
        (env.boolean, None, False),
        (env.boolean, "", False),
        (env.boolean, "TRUE", True),
        (env.boolean, " yes ", True),
        (env.boolean, "1", True),
        (env.boolean, "on", True),
        (env.boolean, "false", False),
        (env.boolean, "0", False),
        (env.boolean, "no", False),
        (env.boolean, "off", False),
        (env.str_list, None, []),
        (env.str_list, " a , ,b ", ["a", "b"]),
        (base_url, None, ""),
        (base_url, "https://connector.example.com/", "https://connector.example.com"),
        (base_url, "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (fernet_keys, KEY, [KEY]),
        (fernet_keys, f"{KEY}, {KEY}", [KEY, KEY]),
        (env.outbound_addresses, " 203.0.113.10/32 ,,203.0.113.10", ["203.0.113.10"]),
        (env.outbound_addresses, "203.0.113.0/28, 2001:DB8::0A", ["203.0.113.0/28", "2001:db8::a"]),
        (env.outbound_addresses, "", []),
        (env.networks, "10.0.0.0/8, fd00::/8, 127.0.0.1", ["10.0.0.0/8", "fd00::/8", "127.0.0.1"]),
        (env.host_ports, "127.0.0.1:9000, [::1]:80", ["127.0.0.1:9000", "[::1]:80"]),
        (one_of, None, "a"),
        (one_of, "b", "b"),
        (env.mail_server, None, {}),
        (env.mail_addresses, None, []),
        (env.mail_addresses, "ops@example.com, boss@example.com", ["ops@example.com", "boss@example.com"]),
        (alert_receivers, "ops@example.com, en:boss@example.com", ["ops@example.com", "en:boss@example.com"]),
        (mail_sender, None, "connector@example.com"),
        (mail_sender, "Коннектор <c@example.com>", "Коннектор <c@example.com>"),
        (webhook, None, ""),
        (webhook, "https://ops.example.com/hook?x=1", "https://ops.example.com/hook?x=1"),
        (webhook, "http://127.0.0.1:9000/hook", "http://127.0.0.1:9000/hook"),
        (webhook, "http://ops.internal/hook", "http://ops.internal/hook"),
        (webhook_secret, signing(24), signing(24)),
        (webhook_secret, signing(64), signing(64)),
    ],
)
def test_valid_value_is_parsed(set_to, read, value, expected):
    set_to(value)
    assert read(NAME) == expected


def test_empty_list_is_the_default(set_to):
    set_to("")
    assert env.str_list(NAME, default=("a", "b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "engine", "name"),
    [
        (None, "django.db.backends.sqlite3", "x"),
        ("sqlite:////data/db.sqlite3", "django.db.backends.sqlite3", "/data/db.sqlite3"),
        ("postgres://user:word@host:5432/name", "django.db.backends.postgresql", "name"),
        ("postgresql://user:word@host/name", "django.db.backends.postgresql", "name"),
    ],
)
def test_database_url_is_parsed(set_to, value, engine, name):
    set_to(value)
    found = database(NAME)
    assert (found["ENGINE"], found["NAME"]) == (engine, name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "smtp+tls://user:pass%40word@mail.example.com:587",
            {
                "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "EMAIL_HOST": "mail.example.com",
                "EMAIL_PORT": 587,
                "EMAIL_HOST_USER": "user",
                "EMAIL_HOST_PASSWORD": "pass@word",
                "EMAIL_USE_TLS": True,
            },
        ),
        ("smtp+ssl://mail.example.com", {"EMAIL_HOST": "mail.example.com", "EMAIL_USE_SSL": True}),
        ("filemail:///var/mail/out", {"EMAIL_FILE_PATH": "var/mail/out"}),
        ("consolemail://", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
    ],
)
def test_mail_server_url_is_parsed(set_to, value, expected):
    set_to(value)
    found = env.mail_server(NAME)
    assert {name: found.get(name) for name in expected} == expected


def test_webhook_secret_may_be_missing_if_not_needed(set_to):
    set_to(None)
    assert env.webhook_secret(NAME, is_needed=False) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ALARM_EMAILS": "ops@example.com"}, "EMAIL_URL"),
        ({"ALARM_WEBHOOK_URL": "https://ops.example.com/hook"}, "ALARM_WEBHOOK_SECRET"),
        ({"ALARM_WEBHOOK_URL": "http://ops.example.com/hook"}, "ALARM_WEBHOOK_URL"),
        ({"EMAIL_URL": "nonsense"}, "EMAIL_URL"),
        ({"DEFAULT_FROM_EMAIL": "nonsense"}, "DEFAULT_FROM_EMAIL"),
    ],
)
def test_start_fails_with_the_name_of_the_invalid_variable(given, named):
    code = "import connector_project.settings"
    variables = {"PATH": os.environ["PATH"], "DEBUG": "true"} | given
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=env.BASE_DIR, env=variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert f"ImproperlyConfigured: {named}" in ended.stderr or f"needs {named}" in ended.stderr


def test_debug_allows_public_defaults(set_to):
    set_to(None)
    assert env.secret(NAME, is_debug=True, debug_default="default") == "default"
    assert env.fernet_keys(NAME, is_debug=True, debug_default=KEY) == [KEY]
    set_to("mine")
    assert env.secret(NAME, is_debug=True, debug_default="default") == "mine"


@pytest.mark.parametrize(("read", "value"), [(secret, "abc"), (fernet_keys, KEY), (number, "7")])
def test_value_may_be_in_a_file(set_to, monkeypatch, tmp_path, read, value):
    (tmp_path / "secret").write_text(f"{value}\n")
    set_to("not this one")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "secret"))
    assert read(NAME) in (value, [value], 7)


@pytest.mark.parametrize("read", [secret, fernet_keys, number, env.boolean, env.str_list, base_url, database, one_of])
def test_unreadable_file_raises_with_the_variable_name(set_to, monkeypatch, tmp_path, read):
    set_to(None)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "binary"):
        monkeypatch.setenv(f"{NAME}_FILE", str(path))
        with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE"):
            read(NAME)
