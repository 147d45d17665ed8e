"""What arrives at the open addresses: chunked bodies, charsets, NUL, any Accept, no last slash."""

import io
import json

import pytest
from django.core.cache import cache
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from connector_project.core.request_checks import MACHINE_PREFIXES
from connector_project.wsgi import application
from crm.models import Command
from telephony.models import Call, Notification
from telephony.webhooks import process
from tenants import api_keys
from tenants.models import UisConnection
from tests import addresses, task_queue
from tests.conftest import CONTACT, NUMBER
from tests.users import create_user

NOT_TEXT = ["rot13", "idna", "hex", "base64", "undefined", "unicode_escape", "punycode", "nonsense", "a\0", "utf8mb4"]
MACHINE = [one for one in addresses.templates() if one.startswith(MACHINE_PREFIXES)]


class Chunks(io.BytesIO):
    """The input of a web server that marks the end of a chunked body."""


class BrokenChunks(io.BytesIO):
    def read(self, _size=-1):
        raise OSError("invalid chunk size")


@pytest.fixture
def send(db):
    """Send a request to the WSGI application itself; return status and body."""

    def send_environ(method, path, body=b"", **extra):
        answers = []
        stream = body if isinstance(body, io.BytesIO) else io.BytesIO(body)
        environ = RequestFactory()._base_environ(
            **{"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": stream, "wsgi.input_terminated": True} | extra
        )
        answer = application(environ, lambda status, _headers: answers.append(int(status[:3])))
        content = b"".join(answer)
        answer.close()
        return answers[0], content

    return send_environ


@pytest.fixture
def lost(pbx):
    return json.dumps(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")).encode()


def counted():
    return UisConnection.objects.get().oversized_webhooks


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_TYPE": "application/json"}


def test_chunked_notification_is_read(send, hook, lost, crm):
    assert send("POST", hook, Chunks(lost), **CHUNKED) == (200, b"")
    task_queue.drain()
    assert len(crm.calls) == 1


def test_chunked_notification_over_the_limit_is_refused_and_counted(send, hook):
    assert send("POST", hook, Chunks(b"x" * (64 * 1024 + 1)), **CHUNKED)[0] == 413
    assert (Notification.objects.count(), counted()) == (0, 1)


@pytest.mark.parametrize("extra", [{}, CHUNKED | {"wsgi.input_terminated": False}])
def test_notification_without_a_length_is_refused_and_counted(send, hook, extra):
    assert send("POST", hook, **extra)[0] == 411
    assert (Notification.objects.count(), counted()) == (0, 1)


def test_broken_chunks_are_refused_and_counted(send, hook):
    assert send("POST", hook, BrokenChunks(), **CHUNKED)[0] == 411
    assert counted() == 1


def test_body_without_a_length_for_an_unknown_hook_is_not_found(send, tenant):
    assert send("POST", "/hooks/uis/unknown/")[0] == 404
    assert counted() == 0


def test_chunked_click_is_read(send, tenant):
    form = f"clientId={tenant.crm.client_id}&userId=27&phone=79990000001".encode()
    address = f"/hooks/retailcrm/{tenant.crm.hook}/make-call/"
    more = CHUNKED | {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    assert send("POST", address, Chunks(form), **more)[0] == 200
    assert send("POST", address, **more | {"wsgi.input_terminated": False})[0] == 411


def test_charset_that_is_none_is_refused_everywhere_else(send, tenant):
    query = f"clientId={tenant.crm.client_id}"
    pages = ("/", "/api/v1/docs/", "/connect/retailcrm/", "/admin/login/", f"/activate/{tenant.activation_token}/")
    for charset in NOT_TEXT:
        for path in (*pages, f"/hooks/retailcrm/{tenant.crm.hook}/make-call/"):
            assert send("GET", path, CONTENT_TYPE=f"a/b; charset={charset}", QUERY_STRING=query)[0] == 400


@pytest.mark.parametrize("charset", ["rot13", "idna", "a\0", '"', "\xff"])
def test_notification_of_any_charset_is_read_if_it_is_utf_8(send, hook, lost, crm, charset):
    kind = f"application/json; charset={charset}"
    assert send("POST", hook, lost, CONTENT_TYPE=kind, CONTENT_LENGTH=str(len(lost)))[0] == 200
    task_queue.drain()
    assert len(crm.calls) == 1


@pytest.mark.parametrize(
    ("charset", "is_known"), [("=windows-1251", True), ("=koi8-r", True), ("=rot13", False), ("*=zz''x", False)]
)
def test_notification_that_is_not_utf_8_is_stored(send, hook, pbx, charset, is_known):
    fields = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call") | {"contact_full_name": "Иван"}
    body = json.dumps(fields, ensure_ascii=False).encode("koi8-r" if "koi8" in charset else "cp1251")
    kind = f"application/json; charset{charset}"
    assert send("POST", hook, body, CONTENT_TYPE=kind, CONTENT_LENGTH=str(len(body)))[0] == 200
    task_queue.drain()
    stored = Notification.objects.get()
    assert ("Иван" in stored.body, Call.objects.exists()) == (is_known, is_known)
    assert is_known or (stored.outcome, stored.reason) == ("UNREADABLE", "BAD_CHARSET")


def test_notification_of_an_unknown_charset_can_be_reprocessed(send, hook, lost, run_queue, crm):
    body = lost.replace(b"}", b', "contact_full_name": "\xe8\xf1"}')
    kind = "application/json; charset=nonsense"
    assert send("POST", hook, body, CONTENT_TYPE=kind, CONTENT_LENGTH=str(len(body)))[0] == 200
    run_queue()
    assert process.reprocess(Notification.objects.get(), now=timezone.now())
    run_queue()
    assert len(crm.calls) == 1


@pytest.mark.parametrize(
    "path", ["/activate/%00/", "/hooks/uis/\0/", "/hooks/retailcrm/a\0/make-call/", "/records/\0/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nul_in_the_path_is_not_found(send, tenant, path, method):
    status, content = send(method, path.replace("%00", "\0"), CONTENT_LENGTH="0")
    assert (status, content) == send("GET", "/nothing/here/")


@pytest.mark.parametrize("name", ["make-call", "change-user-status", "activity", "settings"])
def test_nul_in_a_callback_is_refused(send, client, tenant, name):
    address = f"/hooks/retailcrm/{tenant.crm.hook}/{name}/"
    form = {"clientId": tenant.crm.client_id, "userId": "27", "x": "\0"}
    assert client.post(address, form).status_code == 400
    assert client.post(f"{address}?x=%00", {"clientId": tenant.crm.client_id}).status_code == 400
    assert client.post(address, form | {"x": "1", "\0": "2"}).status_code == 400
    assert not Command.objects.exists()


@pytest.mark.parametrize("user_id", ["²", "١", "9" * 5000, "9" * 30])
def test_odd_numbers_name_nobody(client, tenant, user_id):
    form = {"clientId": tenant.crm.client_id, "userId": user_id, "phone": "79990000009"}
    assert client.post(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form).status_code == 400
    assert Command.objects.get().state == Command.State.REFUSED


@pytest.mark.parametrize("phone", ["9" * 10_000, "9" * 33, "+7 999 000-00-01 " * 20])
def test_number_that_is_too_long_is_refused(client, tenant, phone):
    form = {"clientId": tenant.crm.client_id, "userId": "27", "phone": phone, "externalPhone": phone}
    assert client.post(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form).status_code == 400
    command = Command.objects.get()
    assert (command.state, command.reason, command.contact) == (Command.State.REFUSED, Command.Reason.BAD_PHONE, "")


@pytest.mark.parametrize("zone", ["\\u0000", "\\ud800"])
def test_escapes_that_are_no_text_are_refused(client, tenant, zone):
    form = {"clientId": tenant.crm.client_id, "settings": f'{{"timezone":{{"value":"{zone}"}}}}'}
    assert client.post(f"/hooks/retailcrm/{tenant.crm.hook}/settings/", form).status_code == 400
    assert Command.objects.get().state == Command.State.REFUSED


def test_nul_in_a_notification_loses_nothing(client, hook, pbx, crm):
    fields = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call") | {"contact_full_name": "a\0b"}
    assert client.post(hook, fields, content_type="application/json").status_code == 200
    assert client.post(f"{hook}?x=%00", b"\0", content_type="text/plain").status_code == 200
    task_queue.drain()
    outcomes = list(Notification.objects.order_by("pk").values_list("outcome", "reason"))
    assert (len(crm.calls), outcomes[1]) == (1, ("UNREADABLE", "NOT_JSON"))


def test_nul_in_a_cookie_is_refused(send):
    assert send("GET", "/admin/", HTTP_COOKIE='sessionid="\\000a"')[0] == 400


@pytest.fixture
def address(tenant, admin_user, settings):
    """Fill in a template of an address; return it with the headers of who may use it."""
    settings.RETAILCRM_MODULE_SECRET = "secret"
    cache.clear()
    _row, key = api_keys.create(tenant, "x", by=create_user("olga", "Operator"), now=timezone.now())

    def fill(template):
        hook = tenant.crm.hook if "retailcrm" in template else tenant.uis.hook
        return template.format(hook=hook, event="call_end", token="x", pk=1), f"Bearer {key}"

    return fill


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["text/html", "image/png", ";q=x"])
def test_any_accept_is_served(client, address, tenant, accept):
    for template in MACHINE:
        path, key = address(template)
        sent = {"Authorization": key, "Accept": accept}
        plain = client.get(path, headers={"Authorization": key})
        assert (found := client.get(path, headers=sent)).status_code == plain.status_code != 406
        assert found.headers.get("Content-Type") == plain.headers.get("Content-Type")
        if path.startswith("/api/") and path != reverse("docs"):
            assert "json" in found.headers["Content-Type"]
    assert client.post(address("/hooks/uis/{hook}/")[0], "x", "a/b", headers={"Accept": accept}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_machine_addresses_answer_the_same_without_the_last_slash(client, address, method):
    """Nothing is redirected: a POST would lose its body."""
    form = {} if method in {"GET", "HEAD"} else {"data": "x=1", "content_type": "application/x-www-form-urlencoded"}
    for template in MACHINE:
        path, key = address(template)
        with_slash, without = (
            client.generic(method, one, headers={"Authorization": key}, **form) for one in (path, path.rstrip("/"))
        )
        assert with_slash.status_code == without.status_code, path
        assert without.status_code not in {301, 302, 307, 308}, path
        assert getattr(without, "content", b"") == getattr(with_slash, "content", b""), path


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"event": "lost_call", "call_session_id": 7}'),
        ("text/plain", '{"event": "lost_call", "call_session_id": 7}'),
        ("application/x-www-form-urlencoded", "event=lost_call&call_session_id=7"),
        ("application/json", "not json"),
        ("application/json", '{"name": "Иван"}'),
    ],
)
def test_notification_keeps_its_body_with_and_without_the_last_slash(client, tenant, content_type, body, end):
    for path in (f"/hooks/uis/{tenant.uis.hook}{end}", f"/hooks/uis/{tenant.uis.hook}/call_end{end}"):
        assert client.post(path, body, content_type).status_code == 200
        assert tenant.notifications.latest("pk").body == body


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("kind", ["make-call", "change-user-status", "activity", "settings"])
def test_callback_keeps_its_form_with_and_without_the_last_slash(client, tenant, kind, end):
    form = {"clientId": tenant.crm.client_id, "phone": "+79990000001", "status": "busy", "userId": "27"}
    form |= {"activity": '{"active": true}', "settings": "{}"}
    client.post(f"/hooks/retailcrm/{tenant.crm.hook}/{kind}{end}", form)
    stored = tenant.commands.get().params
    assert {name: stored[name] for name in form if name in stored}
    assert stored.get("userId", "27") == "27"


def test_page_that_cannot_be_read_says_so(admin_client):
    answer = admin_client.post(reverse("admin:tenants_user_add"), {"username": "a\0b"})
    assert answer.status_code == 400
    assert answer.content.count(b"<h1>") == 1
