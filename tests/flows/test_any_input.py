"""Any input at any address of the URL configuration: never 5xx, never an exception.

The requests go into the WSGI application itself, as the web server calls it. Each is made of its number alone: a
failure names it, and `-k` repeats it.
"""

import io
import json
import random
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import transaction
from django.test import Client, RequestFactory
from django.utils import timezone

from connector_project.operations.api import urls as api_urls
from connector_project.operations.models import Incident
from connector_project.wsgi import application
from telephony.models import Call, Notification
from tenants import api_keys
from tenants.models import Employee
from tests import addresses
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

TEMPLATES = addresses.templates()
ACTORS = ("stranger", "owner", "Support", "superuser")
# Percent-encoded, as they are sent.
IN_PATH = [
    *(
        "%00",
        "a%00b",
        "%C2%B2",
        "%D9%A1",
        "9" * 19,
        "9" * 4000,
        "-1",
        "0",
        "1",
        "_00",
        "%ff",
        "%ED%A0%80",
        ".",
        "%2e%2e",
    ),
    *("x" * 300, "%F0%9F%93%9E", "%0d%0aX: y", "%25", "add", "1_2f1", "RETRY", "%22%3E%3Cscript%3E"),
]
CSRF = "a" * 32
DEEP = "[" * 20_000
TEXTS = [
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "²",
        "١",
        "9" * 5000,
        "9" * 19,
        "-1",
        "1",
        "0",
        "1e999",
        "NaN",
        "Infinity",
        "\ud800",
        "\U0001f4de",
    ),
    *(
        "'\"><script>",
        "\r\nX: y",
        "%00",
        "x" * 10_000,
        "0001-01-01",
        "9999-12-31T23:59:59-23:59",
        "2026-02-30",
        "[1]",
        "{}",
    ),
    *(DEEP, '{"a":' * 5_000, '{"timezone":{"value":"\\u0000"}}', '{"timezone":{"value":"\\ud800"}}', '{"active":NaN}'),
    *('{"token":"\\ud800","apiKey":"\\u0000","systemUrl":"\\udfff"}', '{"active":' + "9" * 5000 + "}"),
    "MDAwMS0wMS0wMVQwMDowMDowMCsyMzo1OSAx",  # cursors with impossible times
    "OTk5OS0xMi0zMVQyMzo1OTo1OS0yMzo1OSAx",
    *("Europe/Moscow", "true", "busy", "2026-11-01", "RETRY", "__", "a__b", "1,2,x", "-²", "1.-2"),
]
TEXTS_WITHOUT_NUL = [text for text in TEXTS if "\0" not in text]
CHARSETS = [
    *("utf-8", "windows-1251", "rot13", "idna", "hex", "base64", "undefined", "unicode_escape", "punycode", "utf-16"),
    *("utf-7", "zlib", "nonsense", "", '"', "\xff", "a" * 300, "mbcs", "raw_unicode_escape"),
]
KINDS = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json",
    "text/plain",
    "a/b",
    "",
]
HEADERS = {
    "HTTP_ACCEPT": [
        "text/html",
        "application/xml",
        "image/png",
        "*/*",
        "x",
        "application/json; indent=9",
        ";q=\xff",
        "",
    ],
    "HTTP_ACCEPT_LANGUAGE": ["ru", "en", "x" * 600, "*", "en;q=\xb2", "a-b-c-d"],
    "HTTP_COOKIE": [
        'sessionid="\\000a"',
        'a="\\000"',
        "sessionid=\xff",
        "csrftoken=;;;=",
        "messages=x; django_language=\xb2",
    ],
    "HTTP_AUTHORIZATION": ["Bearer x", "Bearer \xff", "Basic =", "Bearer ", "x" * 5000],
    "HTTP_RANGE": ["bytes=0-", "bytes=\xb2-\xb3", "bytes=" + "9" * 5000 + "-", "x"],
    "HTTP_IF_MODIFIED_SINCE": ["x", "Sun, 99 Nov 9999 99:99:99 GMT", "Sun, 06 Nov 0001 08:49:37 GMT"],
    "HTTP_X_FORWARDED_FOR": ["\xff", "::1%x", "1.2.3.4, x"],
    "HTTP_X_FORWARDED_PROTO": ["https", "x"],
    "HTTP_HOST": ["testserver", "testserver", "\xff", "a b", "[::1", "x" * 300],
    "HTTP_REFERER": ["\xff", "http://[", "x"],
    "HTTP_ORIGIN": ["null", "http://[", "\xff"],
    "HTTP_TRANSFER_ENCODING": ["chunked", "gzip, chunked", "x"],
    "REMOTE_ADDR": ["127.0.0.1", "", "x", "::ffff:1.2.3.4", "fe80::1%eth0"],
    "CONTENT_LENGTH": ["", "0", "\xb2", "-1", "9" * 5000, "99999999"],
}


def _admin_names():
    """Return the parameters of all admin lists: filters, lookups by their fields, and Django's own."""
    names = {
        "q",
        "o",
        "p",
        "e",
        "all",
        "_popup",
        "_to_field",
        "_changelist_filters",
        "after",
        "before",
        "action",
        "index",
    }
    for model_admin in admin.site._registry.values():
        for one in model_admin.list_filter:
            field = one if isinstance(one, str) else getattr(one, "parameter_name", "x")
            names |= {field, f"{field}__exact", f"{field}__id__exact", f"{field}__isnull", f"{field}__in"}
        names |= {field.name for field in model_admin.model._meta.fields}
    return names


def _api_names():
    resources = [viewset for _prefix, viewset, _basename in api_urls.router.registry]
    return {name for resource in resources for name in resource.filterset_class.base_filters} | {"format", "lang"}


NAMES = sorted(
    _admin_names()
    | _api_names()
    | {
        "event",
        "call_session_id",
        "notification_time",
        "contact_phone_number",
        "leg_ids",
        "\0",
        "a\0",
        "x" * 500,
        "²",
        "",
    }
    | {
        "clientId",
        "userId",
        "code",
        "phone",
        "externalPhone",
        "status",
        "activity",
        "settings",
        "systemUrl",
        "register",
    }
    | {"do", "person", "card", "contact", "next", "language", "rule", "value", "clients", "act", "seen", "days", "page"}
    | {
        "_selected_action",
        "previewed_at",
        "newest",
        "reason",
        "first",
        "last",
        "note",
        "_opened",
        "username",
        "password",
    }
)
NAMES_WITHOUT_NUL = [name for name in NAMES if "\0" not in name]


@pytest.fixture
def world(tenant, notify, pbx, admin_user, monkeypatch, settings):
    """Rows of every kind, the secrets of a client, and the sessions of the staff."""
    monkeypatch.setattr("connector_project.operations.onboarding.activation.MAX_ACTIONS", 10**6)
    settings.RETAILCRM_MODULE_SECRET = "secret"
    cache.clear()
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"), "junk")
    now = timezone.now()
    Incident.objects.create(tenant=tenant, kind="NO_EVENTS", opened_at=now, last_seen_at=now)
    sessions = {}
    for actor, user in {"Support": create_user("support", "Support"), "superuser": admin_user}.items():
        browser = Client()
        browser.force_login(user)
        sessions[actor] = browser.cookies[settings.SESSION_COOKIE_NAME].value
    _row, key = api_keys.create(tenant, "x", by=admin_user, now=now)
    ids = {Call.objects.first().pk, Notification.objects.first().pk, tenant.pk, Employee.objects.first().pk, 1}
    return {
        "ids": sorted(map(str, ids)),
        "sessions": sessions,
        "key": key,
        "clientId": tenant.crm.client_id,
        "hook": tenant.uis.hook,
        "token": tenant.activation_token,
    }


class Sender:
    """Makes one request of its number, and sends it."""

    def __init__(self, world, template, actor, number):
        self.world, self.template, self.actor = world, template, actor
        self.choice = random.Random(f"{template} {actor} {number}")

    def path(self):
        known = {"hook": self.world["hook"], "token": self.world["token"]} if self.actor != "stranger" else {}
        values = {}
        for name in addresses.parts(self.template):
            value = known.get(name) or self.choice.choice(self.world["ids"])
            values[name] = self.choice.choice(IN_PATH) if self.choice.random() < 0.4 else value
        path = self.template.format(**values)
        return path.rstrip("/") or "/" if self.choice.random() < 0.2 else path

    def pairs(self):
        pairs = [(self._name(), self._text()) for _n in range(self.choice.randrange(5))]
        return [*pairs, ("clientId", self.world["clientId"])] if self.actor == "owner" else pairs

    def _name(self):
        return self.choice.choice(NAMES if self.choice.random() < 0.1 else NAMES_WITHOUT_NUL)

    def _text(self):
        """Return a value; one that is refused at the door is rare, so that others get beyond it."""
        if self.choice.random() < 0.2:
            return self.choice.choice(self.world["ids"])
        return self.choice.choice(TEXTS if self.choice.random() < 0.1 else TEXTS_WITHOUT_NUL)

    def body(self, kind):
        pairs = self.pairs()
        if kind.startswith("multipart"):
            part = '--x\r\nContent-Disposition: form-data; {}="{}"\r\n\r\n{}\r\n'
            star = self.choice.choice(["name", "name", "name*", "name*=rot13''%41; filename"])
            text = "".join(part.format(star, quote(name), value) for name, value in pairs) + "--x--\r\n"
        elif kind == "application/json":
            text = self.choice.choice([json.dumps(dict(pairs)), *TEXTS])
        else:
            text = urlencode(pairs, errors="surrogatepass")
        return text.encode(errors="surrogatepass")

    def environ(self):
        kind = self.choice.choice(KINDS)
        body = self.body(kind)
        charset = f"; charset={self.choice.choice(CHARSETS)}" if self.choice.random() < 0.15 else ""
        charset = "; charset*=zz''%00" if self.choice.random() < 0.03 else charset
        method = self.choice.choice(["GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "OPTIONS"])
        extra = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(self.path()).decode("latin-1"),
            "QUERY_STRING": urlencode(self.pairs(), errors="surrogatepass") if self.choice.random() < 0.6 else "",
            "CONTENT_TYPE": kind + charset,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "HTTP_AUTHORIZATION": f"Bearer {self.world['key']}",
            "HTTP_COOKIE": f"sessionid={self.world['sessions'].get(self.actor, '')}; csrftoken={CSRF}",
            "HTTP_X_CSRFTOKEN": CSRF,
        }
        for name in self.choice.sample(sorted(HEADERS), self.choice.randrange(3)):
            extra[name] = self.choice.choice(HEADERS[name])
        return RequestFactory()._base_environ(**extra)

    def send(self):
        answers = []
        with transaction.atomic():
            answer = application(self.environ(), lambda status, _headers: answers.append(int(status[:3])))
            b"".join(answer)
            answer.close()
            transaction.set_rollback(True)
        return answers[0]


@pytest.fixture
def failures(world):
    """Send requests to an address; return those that failed."""
    raised = []

    def note(request, **_signal):
        raised.append(request.path)

    def send_all(template, requests):
        failed = []
        for actor, number in requests:
            raised.clear()
            try:
                status = Sender(world, template, actor, number).send()
            except Exception as exc:  # noqa: BLE001 -- an exception that leaves the application is what is looked for
                status = repr(exc)
            if raised or not isinstance(status, int) or (status >= 500 and status != 503):
                failed.append((actor, number, status))
        return failed

    got_request_exception.connect(note)
    yield send_all
    got_request_exception.disconnect(note)


@pytest.mark.slow
def test_a_request_to_each_address_is_no_failure(failures):
    failed = {
        template: found
        for number, template in enumerate(TEMPLATES)
        if (found := failures(template, [(ACTORS[number % len(ACTORS)], number)]))
    }
    assert failed == {}


@pytest.mark.exhaustive
@pytest.mark.parametrize("template", TEMPLATES)
def test_many_requests_to_an_address_are_no_failure(failures, template):
    assert failures(template, [(actor, number) for number in range(25) for actor in ACTORS]) == []
